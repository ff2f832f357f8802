package main

// What comes with clientv3 beside the calls themselves: namespaces, mirrors, leasing, ordering, naming, recipes.

import (
	"context"
	"fmt"
	"sort"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/ordering"
)

var helperChecks = []check{
	{"helpers/namespace", namespaces}, {"helpers/mirror", mirrors}, {"helpers/leasing", leasings},
	{"helpers/ordering", orderings}, {"helpers/naming", namings}, {"helpers/queues", queues},
	{"helpers/barriers", barriers}, {"helpers/rwmutex", rwmutex}, {"helpers/util", utils},
}

func namespaces(s *suite) string {
	base := s.revision()
	kv := namespace.NewKV(s.client.KV, "ns/")
	watcher := namespace.NewWatcher(s.client.Watcher, "ns/")
	lessor := namespace.NewLease(s.client.Lease, "ns/")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := watcher.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(base+1))
	lease := got(lessor.Grant(s.ctx, 600))
	got(kv.Put(s.ctx, "a", "1", clientv3.WithLease(lease.ID)))
	got(kv.Txn(s.ctx).If(clientv3.Compare(clientv3.Value("a"), "=", "1")).Then(clientv3.OpPut("b", "2")).Commit())
	events := s.events(watch, 2)
	inside := got(kv.Get(s.ctx, "", clientv3.WithPrefix()))
	keys := got(lessor.TimeToLive(s.ctx, lease.ID, clientv3.WithAttachedKeys())).Keys
	outside := s.get("ns/", clientv3.WithPrefix())
	got(lessor.Revoke(s.ctx, lease.ID))
	got(kv.Delete(s.ctx, "b"))
	return fmt.Sprintf("%s; %s; %s; %s", toldEvents(events, base), told(inside.Kvs, base), told(outside.Kvs, base), keys)
}

func mirrors(s *suite) string {
	base := s.revision()
	// More than one page of the mirror's thousand.
	for n := range 30 {
		var operations []clientv3.Op
		for m := range 100 {
			operations = append(operations, clientv3.OpPut(fmt.Sprintf("mi/%02d-%02d", n, m), "x"))
		}
		got(s.client.Txn(s.ctx).Then(operations...).Commit())
	}
	syncer := mirror.NewSyncer(s.client, "mi/", 0)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	answers, failures := syncer.SyncBase(ctx)
	count, pages := 0, 0
	for answer := range answers {
		count += len(answer.Kvs)
		pages++
	}
	for err := range failures {
		must(err)
	}
	updates := syncer.SyncUpdates(ctx)
	s.put("mi/new", "1")
	events := toldEvents(s.events(updates, 1), base)
	cancel()
	s.clear("mi/")
	return fmt.Sprintf("%d in %d; %s", count, pages, events)
}

func leasings(s *suite) string {
	base := s.revision()
	one, closeOne, err := leasing.NewKV(s.client, "lk/")
	must(err)
	two, closeTwo, err := leasing.NewKV(s.client, "lk/")
	must(err)
	defer closeOne()
	defer closeTwo()
	s.put("leased", "1")
	got(one.Get(s.ctx, "leased"))
	cached := got(one.Get(s.ctx, "leased"))
	// The other one has to take the lease away before it may write.
	got(two.Put(s.ctx, "leased", "2"))
	after := got(one.Get(s.ctx, "leased"))
	txn := got(one.Txn(s.ctx).If(clientv3.Compare(clientv3.Value("leased"), "=", "2")).Then(clientv3.OpPut("leased", "3")).Commit())
	want("txn", txn.Succeeded, true)
	third := got(two.Get(s.ctx, "leased"))
	gone := got(two.Delete(s.ctx, "leased"))
	want("deleted", gone.Deleted, 1)
	want("really", got(one.Get(s.ctx, "leased")).Count, 0)
	_ = base
	return fmt.Sprintf("%s %s %s", valueOf(cached), valueOf(after), valueOf(third))
}

func orderings(s *suite) string {
	kv := ordering.NewKV(s.client.KV, ordering.NewOrderViolationSwitchEndpointClosure(s.at(s.endpoints[0])))
	for n := range 20 {
		got(kv.Put(s.ctx, "od/a", fmt.Sprint(n)))
		got(kv.Get(s.ctx, "od/a"))
	}
	return string(valueOf(got(kv.Get(s.ctx, "od/a"))))
}

func namings(s *suite) string {
	manager := got(endpoints.NewManager(s.client, "service/echo"))
	watch := got(manager.NewWatchChannel(s.ctx))
	must(manager.AddEndpoint(s.ctx, "service/echo/1", endpoints.Endpoint{Addr: "10.0.0.1:80", Metadata: "first"}))
	first := next(s, watch)
	must(manager.Update(s.ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewAddUpdateOpts("service/echo/2", endpoints.Endpoint{Addr: "10.0.0.2:80"}),
		endpoints.NewDeleteUpdateOpts("service/echo/1"),
	}))
	second := next(s, watch)
	// The library lists serializably: a member may be behind.
	s.until("the member has the update", func() bool {
		list := got(manager.List(s.ctx))
		return len(list) == 1 && list["service/echo/2"].Addr == "10.0.0.2:80"
	})
	return fmt.Sprint(first[0].Endpoint.Addr, " ", len(second))
}

func queues(s *suite) string {
	queue := recipe.NewQueue(s.client, "qu")
	for _, word := range []string{"a", "b"} {
		must(queue.Enqueue(word))
	}
	waiting := make(chan string, 1)
	words := []string{got(queue.Dequeue()), got(queue.Dequeue())}
	go func() { waiting <- got(queue.Dequeue()) }()
	must(queue.Enqueue("c"))
	words = append(words, next(s, waiting))
	priority := recipe.NewPriorityQueue(s.client, "pq")
	for n, word := range []string{"last", "first", "middle"} {
		must(priority.Enqueue(word, uint16([]int{9, 1, 5}[n])))
	}
	for range 3 {
		words = append(words, got(priority.Dequeue()))
	}
	return strings.Join(words, " ")
}

func barriers(s *suite) string {
	barrier := recipe.NewBarrier(s.client, "ba")
	must(barrier.Hold())
	passed := make(chan error, 3)
	go func() { passed <- barrier.Wait() }()
	taken := barrier.Hold()
	must(barrier.Release())
	must(next(s, passed))
	// Nobody enters before all three are there.
	for range 3 {
		session := s.session()
		defer session.Close()
		double := recipe.NewDoubleBarrier(session, "db", 3)
		go func() {
			err := double.Enter()
			if err == nil {
				err = double.Leave()
			}
			passed <- err
		}()
	}
	for range 3 {
		must(next(s, passed))
	}
	return refused(taken)
}

func rwmutex(s *suite) string {
	one, two := s.session(), s.session()
	defer one.Close()
	defer two.Close()
	reader, writer := recipe.NewRWMutex(one, "rw"), recipe.NewRWMutex(two, "rw")
	must(reader.RLock())
	locked := make(chan error, 1)
	go func() { locked <- writer.Lock() }()
	s.until("the writer waits", func() bool { return s.get("rw/write", clientv3.WithPrefix()).Count == 1 })
	early := len(locked)
	must(reader.RUnlock())
	must(next(s, locked))
	must(writer.Unlock())
	return fmt.Sprint(early)
}

func utils(s *suite) string {
	create := s.client.Txn(s.ctx).If(clientv3util.KeyMissing("ut")).Then(clientv3.OpPut("ut", "1"))
	first := got(create.Commit()).Succeeded
	// With a get: a transaction without operations is answered by any member from what it has.
	exists := got(s.client.Txn(s.ctx).If(clientv3util.KeyExists("ut")).Then(clientv3.OpGet("ut")).Commit()).Succeeded
	must(s.client.Sync(s.ctx))
	synced := s.client.Endpoints()
	known := append([]string{}, s.endpoints...)
	sort.Strings(synced)
	sort.Strings(known)
	want("endpoints that members advertise", synced, known)
	return fmt.Sprint(first, exists)
}
