package main

// Put, get, range, txn, delete, compact, and what is refused.

import (
	"context"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

var kvChecks = []check{
	{"kv/put-get", putGet}, {"kv/put-options", putOptions}, {"kv/range", ranges}, {"kv/order", orders},
	{"kv/txn", txns}, {"kv/nested-txn", nestedTxn}, {"kv/delete", deletes}, {"kv/compact", compacts},
	{"kv/refused", refusals}, {"kv/cancelled", cancelled},
}

// told writes keys with everything that is the same in every run.
func told(kvs []*mvccpb.KeyValue, base int64) string {
	var words []string
	for _, kv := range kvs {
		words = append(words, fmt.Sprintf("%s=%s/c%+d/m%+d/v%d", kv.Key, kv.Value,
			kv.CreateRevision-base, kv.ModRevision-base, kv.Version))
	}
	return strings.Join(words, " ")
}

// revision is the store's now.
func (s *suite) revision() int64 {
	return got(s.client.Get(s.ctx, "none")).Header.Revision
}

func (s *suite) put(key, value string, options ...clientv3.OpOption) *clientv3.PutResponse {
	return got(s.client.Put(s.ctx, key, value, options...))
}

func (s *suite) get(key string, options ...clientv3.OpOption) *clientv3.GetResponse {
	return got(s.client.Get(s.ctx, key, options...))
}

func (s *suite) clear(prefix string) { got(s.client.Delete(s.ctx, prefix, clientv3.WithPrefix())) }

func putGet(s *suite) string {
	base := s.revision()
	want("the first put's revision", s.put("kv/a", "1").Header.Revision-base, 1)
	s.put("kv/a", "2")
	binary := s.put("kv/\x00\xff", "\x00\x01\xfe")
	answer := s.get("kv/\x00\xff")
	want("a binary value", string(answer.Kvs[0].Value), "\x00\x01\xfe")
	want("revision", answer.Header.Revision, binary.Header.Revision)
	want("a key that is not there", len(s.get("kv/none").Kvs), 0)
	old := s.get("kv/a", clientv3.WithRev(base+1))
	serial := s.get("kv/a", clientv3.WithSerializable())
	want("serializable count", serial.Count, 1)
	if h := answer.Header; h.ClusterId == 0 || h.MemberId == 0 || h.RaftTerm == 0 {
		panic(fmt.Sprintf("header %v", h))
	}
	return told(s.get("kv/a").Kvs, base) + "; before: " + told(old.Kvs, base)
}

func putOptions(s *suite) string {
	base := s.revision()
	lease := got(s.client.Grant(s.ctx, 600))
	first := s.put("po/a", "1", clientv3.WithLease(lease.ID), clientv3.WithPrevKV())
	if first.PrevKv != nil {
		panic("a first put has no earlier pair")
	}
	second := s.put("po/a", "2", clientv3.WithIgnoreLease(), clientv3.WithPrevKV())
	want("lease is kept", s.get("po/a").Kvs[0].Lease == int64(lease.ID), true)
	third := s.put("po/a", "", clientv3.WithIgnoreValue(), clientv3.WithPrevKV())
	want("lease is gone", s.get("po/a").Kvs[0].Lease, 0)
	_, ignored := s.client.Put(s.ctx, "po/none", "", clientv3.WithIgnoreValue())
	_, unknown := s.client.Put(s.ctx, "po/b", "", clientv3.WithLease(4711))
	got(s.client.Revoke(s.ctx, lease.ID))
	return told([]*mvccpb.KeyValue{second.PrevKv, third.PrevKv}, base) + "; " + refused(ignored) + "; " + refused(unknown)
}

func ranges(s *suite) string {
	base := s.revision()
	for n := range 10 {
		s.put(fmt.Sprintf("r/%d", n), fmt.Sprint(n*n))
	}
	s.put("r/3", "again")
	page := s.get("r/", clientv3.WithPrefix(), clientv3.WithLimit(3))
	want("more", page.More, true)
	want("count beside a limit", page.Count, 10)
	all := s.get("r/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	want("keys only", len(all.Kvs[4].Value), 0)
	counted := s.get("r/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	want("count only", fmt.Sprint(counted.Count, len(counted.Kvs)), "10 0")
	between := s.get("r/2", clientv3.WithRange("r/5"))
	from := s.get("r/8", clientv3.WithFromKey(), clientv3.WithLimit(2))
	past := s.get("r/", clientv3.WithPrefix(), clientv3.WithRev(base+2))
	min := s.get("r/", clientv3.WithPrefix(), clientv3.WithMinModRev(base+10))
	max := s.get("r/", clientv3.WithPrefix(), clientv3.WithMaxCreateRev(base+2))
	var parts []string
	for _, r := range []*clientv3.GetResponse{page, between, from, past, min, max} {
		parts = append(parts, fmt.Sprintf("%s (%d %v)", told(r.Kvs, base), r.Count, r.More))
	}
	return strings.Join(parts, "; ")
}

func orders(s *suite) string {
	base := s.revision()
	for _, pair := range []string{"b 3", "a 1", "c 2", "a 9"} {
		key, value, _ := strings.Cut(pair, " ")
		s.put("o/"+key, value)
	}
	targets := []clientv3.SortTarget{clientv3.SortByKey, clientv3.SortByVersion, clientv3.SortByCreateRevision,
		clientv3.SortByModRevision, clientv3.SortByValue}
	var parts []string
	for _, target := range targets {
		for _, order := range []clientv3.SortOrder{clientv3.SortAscend, clientv3.SortDescend} {
			r := s.get("o/", clientv3.WithPrefix(), clientv3.WithSort(target, order), clientv3.WithLimit(2))
			parts = append(parts, told(r.Kvs, base))
		}
	}
	first := append(clientv3.WithFirstCreate(), clientv3.WithPrefix())
	parts = append(parts, told(s.get("o/", first...).Kvs, base), told(s.get("o/", clientv3.WithLastKey()...).Kvs, base))
	return strings.Join(parts, "; ")
}

func txns(s *suite) string {
	s.put("t/a", "1")
	base := s.revision()
	yes := got(s.client.Txn(s.ctx).If(
		clientv3.Compare(clientv3.Value("t/a"), "=", "1"), clientv3.Compare(clientv3.Version("t/a"), ">", 0),
		clientv3.Compare(clientv3.CreateRevision("t/none"), "=", 0), clientv3.Compare(clientv3.LeaseValue("t/a"), "=", 0),
		clientv3.Compare(clientv3.ModRevision("t/a"), "<", base+1), clientv3.Compare(clientv3.Value("t/a"), "!=", "2"),
		clientv3.Compare(clientv3.Version("t/"), "=", 1).WithPrefix(),
	).Then(
		clientv3.OpPut("t/a", "2"), clientv3.OpGet("t/", clientv3.WithPrefix()), clientv3.OpPut("t/b", "3", clientv3.WithPrevKV()),
		clientv3.OpDelete("t/c"), clientv3.OpGet("t/", clientv3.WithPrefix(), clientv3.WithCountOnly()),
	).Else(clientv3.OpGet("t/a")).Commit())
	want("succeeded", yes.Succeeded, true)
	want("answers", len(yes.Responses), 5)
	no := got(s.client.Txn(s.ctx).If(clientv3.Compare(clientv3.Value("t/a"), "=", "1")).Then(
		clientv3.OpPut("t/a", "wrong")).Else(clientv3.OpGet("t/a")).Commit())
	want("failed", no.Succeeded, false)
	want("a read raises no revision", no.Header.Revision, yes.Header.Revision)
	_, twice := s.client.Txn(s.ctx).Then(clientv3.OpPut("t/x", "1"), clientv3.OpPut("t/x", "2")).Commit()
	_, overlap := s.client.Txn(s.ctx).Then(clientv3.OpPut("t/x", "1"), clientv3.OpDelete("t/", clientv3.WithPrefix())).Commit()
	return told(yes.Responses[1].GetResponseRange().Kvs, base) + "; " + told(no.Responses[0].GetResponseRange().Kvs, base) +
		"; " + refused(twice) + "; " + refused(overlap)
}

func nestedTxn(s *suite) string {
	base := s.revision()
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Version("n/a"), "=", 0)},
		[]clientv3.Op{clientv3.OpPut("n/b", "inner")}, []clientv3.Op{clientv3.OpPut("n/b", "wrong")})
	answer := got(s.client.Txn(s.ctx).Then(inner, clientv3.OpPut("n/a", "outer"), clientv3.OpGet("n/", clientv3.WithPrefix())).Commit())
	want("inner", answer.Responses[0].GetResponseTxn().Succeeded, true)
	by := got(s.client.Do(s.ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpGet("n/a")}, nil)))
	want("by Do", len(by.Txn().Responses), 1)
	return told(answer.Responses[2].GetResponseRange().Kvs, base)
}

func deletes(s *suite) string {
	base := s.revision()
	for _, key := range []string{"d/a", "d/b", "d/c", "d/d"} {
		s.put(key, "x")
	}
	one := got(s.client.Delete(s.ctx, "d/a", clientv3.WithPrevKV()))
	none := got(s.client.Delete(s.ctx, "d/a"))
	want("a delete of nothing raises no revision", none.Header.Revision, one.Header.Revision)
	two := got(s.client.Delete(s.ctx, "d/b", clientv3.WithRange("d/d"), clientv3.WithPrevKV()))
	s.put("d/a", "anew")
	rest := s.get("d/", clientv3.WithPrefix())
	s.clear("d/")
	return fmt.Sprintf("%d %d %d; %s; %s; %s", one.Deleted, none.Deleted, two.Deleted, told(one.PrevKvs, base),
		told(two.PrevKvs, base), told(rest.Kvs, base))
}

func compacts(s *suite) string {
	s.put("c/a", "1")
	second := s.put("c/a", "2").Header.Revision
	got(s.client.Compact(s.ctx, second, clientv3.WithCompactPhysical()))
	_, gone := s.client.Get(s.ctx, "c/a", clientv3.WithRev(second-1))
	_, again := s.client.Compact(s.ctx, second)
	_, future := s.client.Compact(s.ctx, second+1000)
	_, notYet := s.client.Get(s.ctx, "c/a", clientv3.WithRev(second+1000))
	want("at the compacted revision", string(s.get("c/a", clientv3.WithRev(second)).Kvs[0].Value), "2")
	want("the library's own error", gone, rpctypes.ErrCompacted)
	return strings.Join([]string{refused(gone), refused(again), refused(future), refused(notYet)}, "; ")
}

func refusals(s *suite) string {
	_, empty := s.client.Put(s.ctx, "", "x")
	_, large := s.client.Put(s.ctx, "big", strings.Repeat("x", 1700*1024))
	var operations []clientv3.Op
	for n := range 129 {
		operations = append(operations, clientv3.OpPut(fmt.Sprintf("many/%d", n), ""))
	}
	_, many := s.client.Txn(s.ctx).Then(operations...).Commit()
	want("the library's own error", empty, rpctypes.ErrEmptyKey)
	typed, isTyped := empty.(rpctypes.EtcdError)
	want("the error's code", fmt.Sprint(isTyped, typed.Code()), fmt.Sprint(true, codes.InvalidArgument))
	return refused(empty) + "; " + refused(large) + "; " + refused(many)
}

func cancelled(s *suite) string {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	_, err := s.client.Get(ctx, "a")
	return refused(err)
}
