package main

// The member that a client is connected to dies by kill -9: watches resume without a gap or a repeat, leases are kept,
// locks stay locked, calls go on.

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var killChecks = []check{{"kill/watch", killWatched}, {"kill/leader", killLeader}}

// url is where the member with this id answers.
func (s *suite) url(id uint64) string {
	for _, member := range got(s.client.MemberList(s.ctx)).Members {
		if member.ID == id {
			return member.ClientURLs[0]
		}
	}
	panic("a member that is not in the list has answered")
}

// survive kills a member and writes on; what the watch tells must be what was written. Each check has keys of its own:
// a watch without a revision may begin before the last delete of another, at a member that is behind.
func survive(s *suite, client *clientv3.Client, watch clientv3.WatchChan, prefix, victim string) string {
	session := got(concurrency.NewSession(client, concurrency.WithTTL(30), concurrency.WithContext(s.ctx)))
	mutex := concurrency.NewMutex(session, prefix+"lock")
	must(mutex.Lock(s.ctx))
	write := func(from, to int) {
		for n := from; n < to; n++ {
			// A write during the kill may have taken place though its answer was lost: by a create it cannot happen twice.
			key := fmt.Sprintf("%sw/%03d", prefix, n)
			s.until("a write is answered", func() bool {
				_, err := client.Txn(s.ctx).If(clientv3.Compare(clientv3.Version(key), "=", 0)).Then(clientv3.OpPut(key, "")).Commit()
				return err == nil
			})
		}
	}
	write(0, 20)
	s.driver.kill(victim)
	write(20, 40)
	events := s.events(watch, 40)
	story := toldEvents(events, s.revision())
	for n, event := range events {
		want("event of "+story, string(event.Kv.Key), fmt.Sprintf("%sw/%03d", prefix, n))
		want("order of "+story, n == 0 || event.Kv.ModRevision > events[n-1].Kv.ModRevision, true)
	}
	s.until("the lock is asked for", func() bool {
		answer, err := client.Txn(s.ctx).If(mutex.IsOwner()).Commit()
		return err == nil && answer.Succeeded
	})
	s.driver.start(victim)
	write(40, 50)
	want("events after its return", len(s.events(watch, 10)), 10)
	s.until("the lock is given back", func() bool { return mutex.Unlock(s.ctx) == nil })
	must(session.Close())
	s.clear(prefix)
	return fmt.Sprint(len(events), " without a gap")
}

func killWatched(s *suite) string {
	client := s.connect(s.machine, "", "")
	defer client.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := client.Watch(ctx, "kill/a/w/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	created := next(s, watch)
	return survive(s, client, watch, "kill/a/", s.url(created.Header.MemberId))
}

func killLeader(s *suite) string {
	client := s.connect(s.machine, "", "")
	defer client.Close()
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	watch := client.Watch(ctx, "kill/b/w/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	next(s, watch)
	// A member that has just come back may not know yet.
	var leader uint64
	s.until("the leader is known", func() bool {
		leader = got(client.Status(s.ctx, s.endpoints[0])).Leader
		return leader != 0
	})
	return survive(s, client, watch, "kill/b/", s.url(leader))
}
