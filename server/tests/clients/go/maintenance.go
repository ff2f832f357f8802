package main

// Status, hashes, alarms, defragmentation, leadership, and a snapshot that real etcd restores.

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var maintenanceChecks = []check{
	{"maintenance/status", status}, {"maintenance/hash", hashes}, {"maintenance/alarm", alarms},
	{"maintenance/defragment", defragment}, {"maintenance/leader", moveLeader}, {"maintenance/snapshot", snapshots},
}

func status(s *suite) string {
	var version string
	leaders := map[uint64]bool{}
	for _, endpoint := range s.endpoints {
		answer := got(s.client.Status(s.ctx, endpoint))
		want("a size", answer.DbSize >= answer.DbSizeInUse && answer.DbSizeInUse > 0, true)
		want("indexes", answer.RaftAppliedIndex > 0 && answer.RaftIndex >= answer.RaftAppliedIndex, true)
		want("errors", len(answer.Errors), 0)
		leaders[answer.Leader] = true
		version = answer.Version
	}
	_, nowhere := clientv3.New(clientv3.Config{})
	return fmt.Sprint(version, " ", len(leaders), "; ", refused(nowhere))
}

// All members have the same keys at one revision.
func hashes(s *suite) string {
	revision := s.put("hash", "1").Header.Revision
	all := map[string]bool{}
	for _, endpoint := range s.endpoints {
		s.until("the member has the revision", func() bool {
			return got(s.at(endpoint).Get(s.ctx, "hash", clientv3.WithSerializable())).Header.Revision >= revision
		})
		answer := got(s.client.HashKV(s.ctx, endpoint, revision))
		all[fmt.Sprint(answer.Hash, answer.CompactRevision)] = true
	}
	_, future := s.client.HashKV(s.ctx, s.endpoints[0], revision+1000)
	return fmt.Sprint(len(all), "; ", refused(future))
}

func alarms(s *suite) string {
	none := len(got(s.client.AlarmList(s.ctx)).Alarms)
	member := got(s.client.Status(s.ctx, s.endpoints[0])).Header.MemberId
	raw := pb.NewMaintenanceClient(s.client.ActiveConnection())
	got(raw.Alarm(s.ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: member, Alarm: pb.AlarmType_CORRUPT}))
	var texts []string
	for _, alarm := range got(s.client.AlarmList(s.ctx)).Alarms {
		want("member", alarm.MemberID, member)
		texts = append(texts, alarm.Alarm.String())
	}
	_, refusal := s.client.Put(s.ctx, "alarmed", "1")
	texts = append(texts, refused(refusal))
	alarm := got(s.client.AlarmList(s.ctx)).Alarms[0]
	gone := got(s.client.AlarmDisarm(s.ctx, (*clientv3.AlarmMember)(alarm)))
	s.put("alarmed", "2")
	all := got(s.client.AlarmDisarm(s.ctx, &clientv3.AlarmMember{}))
	return fmt.Sprint(none, strings.Join(texts, " "), len(gone.Alarms), len(all.Alarms))
}

func defragment(s *suite) string {
	for _, endpoint := range s.endpoints {
		want("no header", got(s.client.Defragment(s.ctx, endpoint)).Header == nil, true)
		s.put("defragmented", endpoint)
	}
	return "all"
}

func moveLeader(s *suite) string {
	var leader, follower string
	var target uint64
	for _, endpoint := range s.endpoints {
		answer := got(s.client.Status(s.ctx, endpoint))
		if answer.Leader == answer.Header.MemberId {
			leader = endpoint
		} else {
			follower, target = endpoint, answer.Header.MemberId
		}
	}
	_, wrong := s.at(follower).MoveLeader(s.ctx, target)
	got(s.at(leader).MoveLeader(s.ctx, target))
	s.until("it leads", func() bool { return got(s.client.Status(s.ctx, follower)).Leader == target })
	s.put("moved", "1")
	return refused(wrong)
}

func snapshots(s *suite) string {
	s.put("snapshot", "kept", clientv3.WithLease(got(s.client.Grant(s.ctx, 3600)).ID))
	revision := s.put("snapshot", "kept twice").Header.Revision
	stream := got(s.at(s.endpoints[2]).Snapshot(s.ctx))
	bytes := got(io.ReadAll(stream))
	must(stream.Close())
	sum := sha256.Sum256(bytes[:len(bytes)-32])
	want("checksum", string(sum[:]), string(bytes[len(bytes)-32:]))
	path := s.folder + "/snapshot.db"
	must(os.WriteFile(path, bytes, 0o600))

	restored := got(clientv3.New(clientv3.Config{Endpoints: []string{s.driver.restore(path)}}))
	defer restored.Close()
	answer := got(restored.Get(s.ctx, "snapshot"))
	want("the same pair", fmt.Sprint(answer.Kvs), fmt.Sprint(s.get("snapshot").Kvs))
	all := got(restored.Get(s.ctx, "", clientv3.WithPrefix()))
	ours := s.get("", clientv3.WithPrefix(), clientv3.WithRev(revision))
	want("all pairs", fmt.Sprint(all.Kvs), fmt.Sprint(ours.Kvs))
	want("leases", len(got(restored.Leases(s.ctx)).Leases), len(got(s.client.Leases(s.ctx)).Leases))
	return fmt.Sprintf("%s of %d", valueOf(answer), all.Count)
}
