package main

// The requests of a Kubernetes API server, in the exact shapes of its storage layer: compare on ModRevision, one
// operation per branch, pages of a list at one revision, watches with prev_kv and asked-for progress, and the agreement
// of several servers on one compaction.

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var kubernetesChecks = []check{
	{"kubernetes/start", k8sStart}, {"kubernetes/objects", k8sObjects}, {"kubernetes/conflict", k8sConflict},
	{"kubernetes/list", k8sList}, {"kubernetes/watch", k8sWatch}, {"kubernetes/leases", k8sLeases},
	{"kubernetes/compaction", k8sCompaction},
}

// optimistic is create (revision 0), update, or delete.
func (s *suite) optimistic(key string, revision int64, then clientv3.Op, getsOnFailure bool) *clientv3.TxnResponse {
	txn := s.client.KV.Txn(s.ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).Then(then)
	if getsOnFailure {
		txn = txn.Else(clientv3.OpGet(key))
	}
	return got(txn.Commit())
}

func (s *suite) create(key, value string, options ...clientv3.OpOption) int64 {
	answer := s.optimistic(key, 0, clientv3.OpPut(key, value, options...), false)
	want("created", answer.Succeeded, true)
	return answer.Header.Revision
}

// A server starts: is etcd healthy, which features has it, where are we.
func k8sStart(s *suite) string {
	health := s.get("/registry/health")
	version := got(s.client.Status(s.ctx, s.endpoints[0])).Version
	want("a progress-capable etcd", strings.HasPrefix(version, "3.7."), true)
	now := s.get("/registry/", clientv3.WithPrefix(), clientv3.WithLimit(1))
	want("current revision", now.Header.Revision >= health.Header.Revision, true)
	return fmt.Sprint(version, " ", health.Count, now.Count)
}

func k8sObjects(s *suite) string {
	base := s.revision()
	key := "/registry/pods/default/web-0"
	created := s.create(key, "spec 1")
	one := s.get(key, clientv3.WithLimit(1), clientv3.WithRev(0))
	want("resource version", one.Kvs[0].ModRevision, created)
	updated := s.optimistic(key, created, clientv3.OpPut(key, "spec 2"), true)
	want("updated", updated.Succeeded, true)
	past := s.get(key, clientv3.WithLimit(1), clientv3.WithRev(created))
	deleted := s.optimistic(key, updated.Header.Revision, clientv3.OpDelete(key), true)
	want("deleted", deleted.Succeeded, true)
	return fmt.Sprintf("%s; %s; %d %d", told(one.Kvs, base), told(past.Kvs, base),
		deleted.Responses[0].GetResponseDeleteRange().Deleted, deleted.Header.Revision-base)
}

func k8sConflict(s *suite) string {
	base := s.revision()
	key := "/registry/pods/default/web-1"
	created := s.create(key, "1")
	again := s.optimistic(key, 0, clientv3.OpPut(key, "2"), false)
	stale := s.optimistic(key, created-1, clientv3.OpPut(key, "2"), true)
	gone := s.optimistic(key, created+7, clientv3.OpDelete(key), true)
	none := s.optimistic(key+"x", 5, clientv3.OpPut(key+"x", "2"), true)
	want("revision stands still", none.Header.Revision, created)
	return fmt.Sprintf("%v %d; %v %s; %v %s; %v %d", again.Succeeded, len(again.Responses),
		stale.Succeeded, told(stale.Responses[0].GetResponseRange().Kvs, base),
		gone.Succeeded, told(gone.Responses[0].GetResponseRange().Kvs, base),
		none.Succeeded, len(none.Responses[0].GetResponseRange().Kvs))
}

// Pages at the revision of the first one, while objects come and go.
func k8sList(s *suite) string {
	prefix := "/registry/configmaps/"
	for n := range 25 {
		s.create(fmt.Sprintf("%sns/%02d", prefix, n), fmt.Sprint(n))
	}
	start, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	var revision int64
	var pages []string
	for {
		page := s.get(start, clientv3.WithRange(end), clientv3.WithLimit(10), clientv3.WithRev(revision))
		if revision == 0 {
			revision = page.Header.Revision
		}
		last := page.Kvs[len(page.Kvs)-1]
		pages = append(pages, fmt.Sprintf("%d of %d to %s", len(page.Kvs), page.Count, last.Key))
		if !page.More {
			break
		}
		start = string(last.Key) + "\x00"
		s.create(fmt.Sprintf("%sns/%s-late", prefix, last.Value), "late")
		got(s.client.Delete(s.ctx, prefix+"ns/24"))
	}
	count := s.get(prefix, clientv3.WithRange(end), clientv3.WithCountOnly())
	keys := s.get(prefix, clientv3.WithRange(end), clientv3.WithKeysOnly())
	want("keys only", len(keys.Kvs[0].Value), 0)
	return fmt.Sprintf("%s; now %d", strings.Join(pages, "; "), count.Count)
}

// The watch cache: a list, a watch from its revision, bookmarks by progress, and consistent reads by asked-for progress.
func k8sWatch(s *suite) string {
	prefix := "/registry/secrets/"
	s.create(prefix+"a", "1")
	list := s.get(prefix, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)))
	base := list.Header.Revision
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	watcher := clientv3.NewWatcher(s.client)
	defer watcher.Close()
	watch := watcher.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(base+1), clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	created := s.create(prefix+"b", "1")
	s.optimistic(prefix+"a", base, clientv3.OpPut(prefix+"a", "2"), true)
	s.optimistic(prefix+"b", created, clientv3.OpDelete(prefix+"b"), true)
	events := s.events(watch, 3)
	must(watcher.RequestProgress(ctx))
	latest := s.create("/registry/other/a", "1")
	// Revisions never go back, and progress comes to what was written elsewhere.
	var seen int64
	for seen < latest {
		answer := next(s, watch)
		must(answer.Err())
		want("no events", len(answer.Events), 0)
		want("forward", answer.Header.Revision >= seen, true)
		seen = answer.Header.Revision
		if seen < latest {
			must(watcher.RequestProgress(ctx))
		}
	}
	return toldEvents(events, base)
}

func k8sLeases(s *suite) string {
	// Events hang on a lease, many on one.
	lease := got(s.client.Grant(s.ctx, 3600))
	for n := range 5 {
		s.create(fmt.Sprintf("/registry/events/default/%d", n), "e", clientv3.WithLease(lease.ID))
	}
	got(s.client.Revoke(s.ctx, lease.ID))
	return fmt.Sprint(s.get("/registry/events/", clientv3.WithPrefix(), clientv3.WithCountOnly()).Count)
}

// Each server tries to write the time and revision of the next compaction; who succeeds compacts at the last revision.
func (s *suite) compactRound(time, revision int64) (int64, int64, error) {
	const key = "compact_rev_key"
	answer := got(s.client.KV.Txn(s.ctx).If(clientv3.Compare(clientv3.Version(key), "=", time)).Then(
		clientv3.OpPut(key, fmt.Sprint(revision))).Else(clientv3.OpGet(key)).Commit())
	current := answer.Header.Revision
	if !answer.Succeeded {
		return answer.Responses[0].GetResponseRange().Kvs[0].Version, current, nil
	}
	if revision == 0 {
		return time + 1, current, nil
	}
	_, err := s.client.Compact(s.ctx, revision)
	return time + 1, current, err
}

func k8sCompaction(s *suite) string {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "compact_rev_key", clientv3.WithRev(s.revision()+1))
	first, revision, err := s.compactRound(0, 0)
	must(err)
	other, _, err := s.compactRound(0, 0)
	must(err)
	want("who comes second learns the time", other, first)
	old := s.create("/registry/x", "1")
	second, _, err := s.compactRound(first, s.revision())
	must(err)
	lost, _, err := s.compactRound(first, s.revision())
	must(err)
	want("who comes second does not compact", lost, second)
	_, gone := s.client.Get(s.ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(revision))
	want("the error that servers look for", gone, rpctypes.ErrCompacted)
	answer := next(s, s.client.Watch(s.ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(old-1)))
	want("watch of the past", answer.Err(), rpctypes.ErrCompacted)
	agreed := s.events(watch, 2)
	return fmt.Sprintf("%d %d %d", first, second, agreed[1].Kv.Version)
}
