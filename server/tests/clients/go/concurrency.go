package main

// The package concurrency: sessions, mutexes, elections and software transactional memory.

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var concurrencyChecks = []check{
	{"concurrency/session", sessions}, {"concurrency/mutex", mutexes}, {"concurrency/try-lock", tryLock},
	{"concurrency/lock-lost", lockLost}, {"concurrency/locker", locker}, {"concurrency/election", election},
	{"concurrency/stm", stm},
}

func (s *suite) session(options ...concurrency.SessionOption) *concurrency.Session {
	return got(concurrency.NewSession(s.client, append(options, concurrency.WithContext(s.ctx))...))
}

func sessions(s *suite) string {
	one := s.session(concurrency.WithTTL(5))
	left := got(s.client.TimeToLive(s.ctx, one.Lease()))
	lease := got(s.client.Grant(s.ctx, 30))
	two := s.session(concurrency.WithLease(lease.ID))
	want("lease of our own", two.Lease(), lease.ID)
	must(one.Close())
	closed(s, one.Done())
	two.Orphan()
	closed(s, two.Done())
	want("an orphan's lease lives", got(s.client.TimeToLive(s.ctx, lease.ID)).GrantedTTL, 30)
	got(s.client.Revoke(s.ctx, lease.ID))
	return fmt.Sprint(left.GrantedTTL, got(s.client.TimeToLive(s.ctx, one.Lease())).TTL)
}

// Ten sessions each raise a number under one lock: none is lost, and never are two inside.
func mutexes(s *suite) string {
	var inside int
	var wait sync.WaitGroup
	failures := make(chan any, 10)
	for range 10 {
		session := s.session()
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer func() {
				if why := recover(); why != nil {
					failures <- why
				}
			}()
			mutex := concurrency.NewMutex(session, "cm/lock")
			must(mutex.Lock(s.ctx))
			inside++
			want("inside", inside, 1)
			number, _ := strconv.Atoi(string(append([]byte("0"), valueOf(s.get("cm/number"))...)))
			answer := got(s.client.Txn(s.ctx).If(mutex.IsOwner()).Then(clientv3.OpPut("cm/number", fmt.Sprint(number+1))).Commit())
			want("owner", answer.Succeeded, true)
			inside--
			must(mutex.Unlock(s.ctx))
			must(session.Close())
		}()
	}
	wait.Wait()
	select {
	case why := <-failures:
		panic(why)
	default:
	}
	want("no key of the lock is left", s.get("cm/lock", clientv3.WithPrefix()).Count, 0)
	return string(valueOf(s.get("cm/number")))
}

func valueOf(answer *clientv3.GetResponse) []byte {
	if len(answer.Kvs) == 0 {
		return nil
	}
	return answer.Kvs[0].Value
}

func tryLock(s *suite) string {
	one, two := s.session(), s.session()
	defer one.Close()
	defer two.Close()
	first, second := concurrency.NewMutex(one, "ct"), concurrency.NewMutex(two, "ct")
	must(first.TryLock(s.ctx))
	taken := refused(second.TryLock(s.ctx))
	must(first.Unlock(s.ctx))
	must(second.TryLock(s.ctx))
	must(second.Unlock(s.ctx))
	return taken
}

// A lock whose session ends passes on by itself.
func lockLost(s *suite) string {
	one, two := s.session(), s.session()
	defer two.Close()
	first, second := concurrency.NewMutex(one, "cl"), concurrency.NewMutex(two, "cl")
	must(first.Lock(s.ctx))
	locked := make(chan error, 1)
	go func() { locked <- second.Lock(s.ctx) }()
	must(one.Close())
	must(next(s, locked))
	answer := got(s.client.Txn(s.ctx).If(first.IsOwner()).Then(clientv3.OpGet("cl")).Commit())
	must(second.Unlock(s.ctx))
	return fmt.Sprint("the first still owns it: ", answer.Succeeded)
}

func locker(s *suite) string {
	session := s.session()
	defer session.Close()
	lock := concurrency.NewLocker(session, "cc")
	lock.Lock()
	held := s.get("cc", clientv3.WithPrefix()).Count
	lock.Unlock()
	return fmt.Sprint(held, s.get("cc", clientv3.WithPrefix()).Count)
}

func election(s *suite) string {
	one, two := s.session(), s.session()
	defer one.Close()
	defer two.Close()
	first, second := concurrency.NewElection(one, "ce"), concurrency.NewElection(two, "ce")
	_, nobody := first.Leader(s.ctx)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	seen := second.Observe(ctx)
	must(first.Campaign(s.ctx, "one"))
	story := string(valueOf(observed(next(s, seen))))
	must(first.Proclaim(s.ctx, "one again"))
	story += ", " + string(valueOf(observed(next(s, seen))))
	elected := make(chan error, 1)
	go func() { elected <- second.Campaign(s.ctx, "two") }()
	s.until("the second waits", func() bool { return s.get("ce", clientv3.WithPrefix()).Count == 2 })
	leader := got(first.Leader(s.ctx))
	story += "; leads " + string(valueOf(leader))
	resumed := concurrency.ResumeElection(one, "ce", first.Key(), first.Rev())
	must(resumed.Resign(s.ctx))
	must(next(s, elected))
	story += ", " + string(valueOf(observed(next(s, seen))))
	late := first.Proclaim(s.ctx, "late")
	must(second.Resign(s.ctx))
	return refused(nobody) + "; " + story + "; " + refused(late)
}

// Money moves between accounts, many at a time, under every isolation.
func stm(s *suite) string {
	levels := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable,
		concurrency.RepeatableReads}
	for _, level := range levels {
		for n := range 4 {
			s.put(fmt.Sprintf("stm/%d", n), "100")
		}
		var wait sync.WaitGroup
		failures := make(chan error, 8)
		for n := range 8 {
			wait.Add(1)
			go func() {
				defer wait.Done()
				from, to := fmt.Sprintf("stm/%d", n%4), fmt.Sprintf("stm/%d", (n+1)%4)
				_, err := concurrency.NewSTM(s.client, func(txn concurrency.STM) error {
					a, _ := strconv.Atoi(txn.Get(from))
					b, _ := strconv.Atoi(txn.Get(to))
					txn.Put(from, fmt.Sprint(a-n))
					txn.Put(to, fmt.Sprint(b+n))
					return nil
				}, concurrency.WithIsolation(level), concurrency.WithPrefetch(from, to), concurrency.WithAbortContext(s.ctx))
				failures <- err
			}()
		}
		wait.Wait()
		for range 8 {
			must(<-failures)
		}
	}
	got(concurrency.NewSTM(s.client, func(txn concurrency.STM) error {
		want("revision is told", txn.Rev("stm/1") > 0, true)
		txn.Del("stm/0")
		return nil
	}, concurrency.WithIsolation(concurrency.ReadCommitted)))
	var values []string
	for _, kv := range s.get("stm/", clientv3.WithPrefix()).Kvs {
		values = append(values, string(kv.Value))
	}
	return fmt.Sprint(values)
}
