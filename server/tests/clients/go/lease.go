package main

// Leases: granted, kept alive, revoked, run out.

import (
	"context"
	"fmt"
	"sort"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseChecks = []check{
	{"lease/grant", leaseGrant}, {"lease/keep-alive", leaseKeepAlive}, {"lease/revoke", leaseRevoke},
	{"lease/expiry", leaseExpiry}, {"lease/unknown", leaseUnknown},
}

func leaseGrant(s *suite) string {
	before := len(got(s.client.Leases(s.ctx)).Leases)
	lease := got(s.client.Grant(s.ctx, 500))
	s.put("l/a", "1", clientv3.WithLease(lease.ID))
	s.put("l/b", "2", clientv3.WithLease(lease.ID))
	left := got(s.client.TimeToLive(s.ctx, lease.ID, clientv3.WithAttachedKeys()))
	want("time left", left.TTL > 490 && left.TTL <= 500, true)
	// etcd tells them in no order.
	sort.Slice(left.Keys, func(a, b int) bool { return string(left.Keys[a]) < string(left.Keys[b]) })
	bare := got(s.client.TimeToLive(s.ctx, lease.ID))
	want("leases", len(got(s.client.Leases(s.ctx)).Leases)-before, 1)
	_, long := s.client.Grant(s.ctx, 10_000_000_000)
	got(s.client.Revoke(s.ctx, lease.ID))
	return fmt.Sprintf("%d %d %s %d; %s", lease.TTL, left.GrantedTTL, left.Keys, len(bare.Keys), refused(long))
}

func leaseKeepAlive(s *suite) string {
	lease := got(s.client.Grant(s.ctx, 2))
	s.put("ka/a", "1", clientv3.WithLease(lease.ID))
	once := got(s.client.KeepAliveOnce(s.ctx, lease.ID))
	ctx, cancel := context.WithCancel(s.ctx)
	alive := got(s.client.KeepAlive(ctx, lease.ID))
	// Past twice its time to live, and only because it is kept.
	end := time.Now().Add(4500 * time.Millisecond)
	answers := 0
	for time.Now().Before(end) {
		want("the time that is given anew", next(s, alive).TTL, lease.TTL)
		answers++
	}
	want("still there", s.get("ka/a").Count, 1)
	cancel()
	got(s.client.Revoke(s.ctx, lease.ID))
	want("gone", s.get("ka/a").Count, 0)
	return fmt.Sprint(once.TTL, lease.TTL, answers > 2)
}

func leaseRevoke(s *suite) string {
	base := s.revision()
	lease := got(s.client.Grant(s.ctx, 600))
	s.put("lr/a", "1", clientv3.WithLease(lease.ID))
	s.put("lr/b", "2", clientv3.WithLease(lease.ID))
	s.put("lr/b", "3")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "lr/", clientv3.WithPrefix(), clientv3.WithRev(base+4))
	alive := got(s.client.KeepAlive(ctx, lease.ID))
	got(s.client.Revoke(s.ctx, lease.ID))
	events := s.events(watch, 1)
	_, again := s.client.Revoke(s.ctx, lease.ID)
	_, once := s.client.KeepAliveOnce(s.ctx, lease.ID)
	left := got(s.client.TimeToLive(s.ctx, lease.ID))
	go func() { <-alive }()
	return fmt.Sprintf("%s; %s; %s; %d %d", toldEvents(events, base), refused(again), refused(once), left.TTL, left.GrantedTTL)
}

func leaseExpiry(s *suite) string {
	base := s.revision()
	lease := got(s.client.Grant(s.ctx, 1))
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	watch := s.client.Watch(ctx, "le/", clientv3.WithPrefix(), clientv3.WithRev(base+1), clientv3.WithPrevKV())
	s.put("le/a", "1", clientv3.WithLease(lease.ID))
	s.put("le/b", "2", clientv3.WithLease(lease.ID))
	return toldEvents(s.events(watch, 4), base)
}

func leaseUnknown(s *suite) string {
	_, revoked := s.client.Revoke(s.ctx, 4711)
	_, once := s.client.KeepAliveOnce(s.ctx, 4711)
	alive := got(s.client.KeepAlive(s.ctx, 4711))
	closed(s, alive)
	left := got(s.client.TimeToLive(s.ctx, 4711))
	return fmt.Sprintf("%s; %s; %d", refused(revoked), refused(once), left.TTL)
}
