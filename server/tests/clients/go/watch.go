package main

// Watches: what they tell, in which order, and how they end.

import (
	"context"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var watchChecks = []check{
	{"watch/events", watchEvents}, {"watch/history", watchHistory}, {"watch/filters", watchFilters},
	{"watch/txn", watchTxn}, {"watch/progress", watchProgress}, {"watch/compacted", watchCompacted},
	{"watch/fragments", watchFragments}, {"watch/many", watchMany}, {"watch/cancel", watchCancel},
}

// events collects the next `count` events of a watch.
func (s *suite) events(watch clientv3.WatchChan, count int) []*clientv3.Event {
	var events []*clientv3.Event
	for len(events) < count {
		answer := next(s, watch)
		must(answer.Err())
		events = append(events, answer.Events...)
	}
	return events
}

func toldEvents(events []*clientv3.Event, base int64) string {
	var words []string
	for _, event := range events {
		word := fmt.Sprintf("%v %s=%.20s/c%+d/m%+d/v%d", event.Type, event.Kv.Key, event.Kv.Value,
			event.Kv.CreateRevision-base, event.Kv.ModRevision-base, event.Kv.Version)
		if event.Kv.CreateRevision == 0 {
			word = fmt.Sprintf("%v %s/m%+d", event.Type, event.Kv.Key, event.Kv.ModRevision-base)
		}
		if event.PrevKv != nil {
			word += fmt.Sprintf(" was %s", event.PrevKv.Value)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func watchEvents(s *suite) string {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	base := s.revision()
	watch := s.client.Watch(ctx, "w/", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	created := next(s, watch)
	want("created", created.Created, true)
	s.put("w/a", "1")
	s.put("w/a", "2")
	s.put("x/other", "")
	got(s.client.Delete(s.ctx, "w/a"))
	events := s.events(watch, 3)
	want("create and modify", fmt.Sprint(events[0].IsCreate(), events[1].IsModify()), "true true")
	return toldEvents(events, base)
}

func watchHistory(s *suite) string {
	base := s.revision()
	for n := range 5 {
		s.put("h/a", fmt.Sprint(n))
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "h/a", clientv3.WithRev(base+2))
	s.put("h/a", "now")
	return toldEvents(s.events(watch, 5), base)
}

func watchFilters(s *suite) string {
	base := s.revision()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	puts := s.client.Watch(ctx, "f/", clientv3.WithPrefix(), clientv3.WithFilterDelete(), clientv3.WithRev(base+1))
	deletes := s.client.Watch(ctx, "f/", clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithRev(base+1))
	from := s.client.Watch(ctx, "f/b", clientv3.WithRange("f/c"), clientv3.WithRev(base+1))
	s.put("f/a", "1")
	s.put("f/b", "2")
	s.clear("f/")
	return toldEvents(s.events(puts, 2), base) + "; " + toldEvents(s.events(deletes, 2), base) + "; " +
		toldEvents(s.events(from, 2), base)
}

func watchTxn(s *suite) string {
	base := s.revision()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "wt/", clientv3.WithPrefix(), clientv3.WithRev(base+1))
	got(s.client.Txn(s.ctx).Then(clientv3.OpPut("wt/a", "1"), clientv3.OpPut("wt/b", "2"), clientv3.OpPut("wt/c", "3")).Commit())
	answer := next(s, watch)
	want("events of one txn come together", len(answer.Events), 3)
	return toldEvents(answer.Events, base)
}

func watchProgress(s *suite) string {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "p/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	next(s, watch)
	base := s.put("q/elsewhere", "").Header.Revision
	// A member that is behind may tell of an earlier revision; a client asks again.
	asked := 0
	for told := int64(0); told < base; asked++ {
		must(s.client.RequestProgress(ctx))
		answer := next(s, watch)
		want("progress", answer.IsProgressNotify(), true)
		told = answer.Header.Revision
	}
	notified := s.client.Watch(clientv3.WithRequireLeader(ctx), "p/", clientv3.WithPrefix(), clientv3.WithProgressNotify())
	answer := next(s, notified)
	want("progress by itself", answer.IsProgressNotify(), true)
	want("of this revision", answer.Header.Revision, base)
	return fmt.Sprint("asked ", asked > 0)
}

func watchCompacted(s *suite) string {
	base := s.put("wc/a", "1").Header.Revision
	now := s.put("wc/a", "2").Header.Revision
	got(s.client.Compact(s.ctx, now))
	answer := next(s, s.client.Watch(s.ctx, "wc/a", clientv3.WithRev(base)))
	want("cancelled", answer.Canceled, true)
	want("compact revision", answer.CompactRevision, now)
	return refused(answer.Err())
}

func watchFragments(s *suite) string {
	base := s.revision()
	large := strings.Repeat("x", 1024*1024)
	for n := range 4 {
		s.put(fmt.Sprintf("wf/%d", n), large)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "wf/", clientv3.WithPrefix(), clientv3.WithFragment(), clientv3.WithRev(base+1))
	events := s.events(watch, 4)
	want("length", len(events[3].Kv.Value), len(large))
	s.clear("wf/")
	return toldEvents(events, base)
}

func watchMany(s *suite) string {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	base := s.revision()
	var watches []clientv3.WatchChan
	for range 100 {
		watches = append(watches, s.client.Watch(ctx, "wm/a", clientv3.WithRev(base+1)))
	}
	other := clientv3.NewWatcher(s.client)
	watches = append(watches, other.Watch(ctx, "wm/a", clientv3.WithRev(base+1)))
	s.put("wm/a", "1")
	for _, watch := range watches {
		want("event", toldEvents(s.events(watch, 1), base), "PUT wm/a=1/c+1/m+1/v1")
	}
	must(other.Close())
	closed(s, watches[100])
	return fmt.Sprint(len(watches))
}

func watchCancel(s *suite) string {
	ctx, cancel := context.WithCancel(s.ctx)
	watch := s.client.Watch(ctx, "wx/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	next(s, watch)
	cancel()
	closed(s, watch)
	return "closed"
}
