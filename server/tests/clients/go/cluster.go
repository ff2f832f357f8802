package main

// Members: listed, added as learner and as voter, changed, removed.

import (
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var clusterChecks = []check{{"cluster/list", memberList}, {"cluster/learner", learner}, {"cluster/refused", memberRefusals}}

func memberList(s *suite) string {
	answer := got(s.client.MemberList(s.ctx))
	var names []string
	for _, member := range answer.Members {
		names = append(names, member.Name)
		want("a client URL of ours", strings.Contains(strings.Join(s.endpoints, ","), member.ClientURLs[0]), true)
	}
	return fmt.Sprintf("%d %v", len(answer.Members), len(strings.Join(names, "")))
}

// retried asks again while members hold the cluster for unhealthy: they do so for seconds after a start.
func retried[T any](s *suite, call func() (T, error)) T {
	var value T
	s.until("the cluster is healthy", func() bool {
		answer, err := call()
		if err != nil && strings.Contains(err.Error(), "unhealthy cluster") {
			return false
		}
		value = got(answer, err)
		return true
	})
	return value
}

func learner(s *suite) string {
	added := retried(s, func() (*clientv3.MemberAddResponse, error) {
		return s.client.MemberAddAsLearner(s.ctx, []string{"https://127.0.0.1:1"})
	})
	id := added.Member.ID
	_, promoted := s.client.MemberPromote(s.ctx, id)
	_, second := s.client.MemberAddAsLearner(s.ctx, []string{"https://127.0.0.1:2"})
	got(s.client.MemberUpdate(s.ctx, id, []string{"https://127.0.0.1:3", "https://127.0.0.1:4"}))
	var story string
	for _, member := range got(s.client.MemberList(s.ctx)).Members {
		if member.ID == id {
			story = fmt.Sprintf("%v %q %v %v", member.IsLearner, member.Name, member.PeerURLs, member.ClientURLs)
		}
	}
	removed := got(s.client.MemberRemove(s.ctx, id))
	return fmt.Sprintf("%v %d; %s; %s; %s; %d", added.Member.IsLearner, len(added.Members), refused(promoted),
		refused(second), story, len(removed.Members))
}

func memberRefusals(s *suite) string {
	_, none := s.client.MemberRemove(s.ctx, 4711)
	_, update := s.client.MemberUpdate(s.ctx, 4711, []string{"https://127.0.0.1:3"})
	_, promote := s.client.MemberPromote(s.ctx, 4711)
	_, bad := s.client.MemberAdd(s.ctx, []string{"no url"})
	voter := got(s.client.MemberList(s.ctx)).Members[0]
	_, twice := s.client.MemberPromote(s.ctx, voter.ID)
	_, taken := s.client.MemberAdd(s.ctx, voter.PeerURLs)
	return strings.Join([]string{refused(none), refused(update), refused(promote), refused(twice), refused(taken),
		fmt.Sprint(bad != nil)}, "; ")
}
