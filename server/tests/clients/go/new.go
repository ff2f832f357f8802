//go:build !old

package main

// What clientv3 3.7 has and 3.5 has not: the Kubernetes interface, streamed ranges, snapshots with a version, downgrade.

import (
	"fmt"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

var newChecks = []check{
	{"new/kubernetes", newKubernetes}, {"new/stream", newStream}, {"new/snapshot", newSnapshot},
	{"new/downgrade", newDowngrade}, {"new/members", newMembers}, {"new/auth-status", newAuthStatus},
}

func newKubernetes(s *suite) string {
	base := s.revision()
	client := kubernetes.Client{Client: s.client}
	key := "/registry/new/a"
	put := got(client.OptimisticPut(s.ctx, key, []byte("1"), 0, kubernetes.PutOptions{}))
	lost := got(client.OptimisticPut(s.ctx, key, []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true}))
	for _, name := range []string{"b", "c"} {
		got(client.OptimisticPut(s.ctx, "/registry/new/"+name, nil, 0, kubernetes.PutOptions{}))
	}
	page := got(client.List(s.ctx, "/registry/new/", kubernetes.ListOptions{Limit: 2}))
	rest := got(client.List(s.ctx, "/registry/new/", kubernetes.ListOptions{
		Revision: page.Revision, Continue: string(page.Kvs[1].Key) + "\x00"}))
	count := got(client.Count(s.ctx, "/registry/new/", kubernetes.CountOptions{}))
	kept := got(client.OptimisticDelete(s.ctx, key, put.Revision+1, kubernetes.DeleteOptions{GetOnFailure: true}))
	gone := got(client.OptimisticDelete(s.ctx, key, put.Revision, kubernetes.DeleteOptions{}))
	none := got(client.Get(s.ctx, key, kubernetes.GetOptions{}))
	past := got(client.Get(s.ctx, key, kubernetes.GetOptions{Revision: put.Revision}))
	return fmt.Sprint(put.Succeeded, lost.Succeeded, string(lost.KV.Value), len(page.Kvs), page.Count, len(rest.Kvs), count,
		kept.Succeeded, gone.Succeeded, none.KV == nil, string(past.KV.Value), gone.Revision-base)
}

func newStream(s *suite) string {
	for n := range 50 {
		s.put(fmt.Sprintf("st/%02d", n), fmt.Sprint(n))
	}
	whole := got(clientv3.GetStreamToGetResponse(got(s.client.GetStream(s.ctx, "st/", clientv3.WithPrefix()))))
	page := got(clientv3.GetStreamToGetResponse(got(s.client.GetStream(s.ctx, "st/", clientv3.WithPrefix(), clientv3.WithLimit(7)))))
	want("in order", string(whole.Kvs[49].Key), "st/49")
	return fmt.Sprint(len(whole.Kvs), whole.Count, whole.More, len(page.Kvs), page.Count, page.More)
}

func newSnapshot(s *suite) string {
	snapshot := got(s.client.SnapshotWithVersion(s.ctx))
	defer snapshot.Snapshot.Close()
	bytes := got(io.ReadAll(snapshot.Snapshot))
	want("a database and its checksum", len(bytes)%512, 32)
	return snapshot.Version
}

func newDowngrade(s *suite) string {
	good := got(s.client.Downgrade(s.ctx, clientv3.DowngradeValidate, "3.6.0"))
	_, far := s.client.Downgrade(s.ctx, clientv3.DowngradeValidate, "3.4.0")
	_, none := s.client.Downgrade(s.ctx, clientv3.DowngradeCancel, "")
	return fmt.Sprint(good.Version, "; ", far, "; ", none)
}

func newMembers(s *suite) string {
	serial := got(s.client.MemberList(s.ctx, clientv3.WithSerializable()))
	status := got(s.client.Status(s.ctx, s.endpoints[1]))
	want("no learner", status.IsLearner, false)
	return fmt.Sprint(len(serial.Members), status.StorageVersion, status.DbSizeQuota, status.DowngradeInfo.GetEnabled())
}

func newAuthStatus(s *suite) string {
	status := got(s.client.AuthStatus(s.ctx))
	return fmt.Sprint(status.Enabled, status.AuthRevision)
}

// observed is what an election tells; clientv3 3.5 tells it in another type.
func observed(answer *clientv3.GetResponse) *clientv3.GetResponse { return answer }
