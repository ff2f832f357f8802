package main

// Users, roles and permissions, by password and by the CommonName of a certificate.

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var authChecks = []check{
	{"auth/set-up", authSetUp}, {"auth/enabled", authEnabled}, {"auth/rights", authRights}, {"auth/changes", authChanges},
	{"auth/names", authNames}, {"auth/disabled", authDisabled},
}

func authSetUp(s *suite) string {
	_, early := s.client.AuthEnable(s.ctx)
	got(s.client.UserAdd(s.ctx, "root", "root's word"))
	got(s.client.UserAdd(s.ctx, "alice", "alice's word"))
	got(s.client.UserAddWithOptions(s.ctx, "cert", "", &clientv3.UserAddOptions{NoPassword: true}))
	_, twice := s.client.UserAdd(s.ctx, "alice", "x")
	_, nameless := s.client.UserAdd(s.ctx, "", "x")
	got(s.client.RoleAdd(s.ctx, "root"))
	got(s.client.RoleAdd(s.ctx, "alice's"))
	_, again := s.client.RoleAdd(s.ctx, "alice's")
	got(s.client.UserGrantRole(s.ctx, "root", "root"))
	got(s.client.UserGrantRole(s.ctx, "alice", "alice's"))
	_, unknown := s.client.UserGrantRole(s.ctx, "alice", "none")
	grant := func(key, end string, kind clientv3.PermissionType) {
		got(s.client.RoleGrantPermission(s.ctx, "alice's", key, end, kind))
	}
	grant("au/", clientv3.GetPrefixRangeEnd("au/"), clientv3.PermissionType(clientv3.PermReadWrite))
	grant("ro", "", clientv3.PermissionType(clientv3.PermRead))
	var rights []string
	for _, right := range got(s.client.RoleGet(s.ctx, "alice's")).Perm {
		rights = append(rights, fmt.Sprintf("%s %s-%s", right.PermType, right.Key, right.RangeEnd))
	}
	users, roles := got(s.client.UserList(s.ctx)).Users, got(s.client.RoleList(s.ctx)).Roles
	alice := got(s.client.UserGet(s.ctx, "alice")).Roles
	_, off := s.client.Authenticate(s.ctx, "alice", "alice's word")
	// A stream that was opened before, by the certificate of root, is root's afterwards.
	root := s.byRoot()
	defer root.Close()
	next(s, root.Watch(s.ctx, "before", clientv3.WithCreatedNotify()))
	got(s.client.AuthEnable(s.ctx))
	// A read that waited at a member that is behind is judged by what the member has learnt meanwhile.
	_, stranger := s.client.Get(s.ctx, "au/a")
	want("a stranger's refusal", stranger, rpctypes.ErrPermissionDenied)
	// A write is judged by what its member knew when it came, in etcd too.
	s.until("root writes", func() bool { _, err := root.Put(s.ctx, "by root", "1"); return err == nil })
	after := next(s, root.Watch(s.ctx, "after", clientv3.WithCreatedNotify()))
	want("created", fmt.Sprint(after.Created, after.Err()), "true <nil>")
	return strings.Join([]string{refused(early), refused(twice), refused(nameless), refused(again), refused(unknown),
		strings.Join(rights, ","), fmt.Sprint(users, roles, alice), refused(off)}, "; ")
}

// byRoot is a client that may do everything, by its certificate.
func (s *suite) byRoot() *clientv3.Client { return s.connect(s.root, "", "") }

// settle waits until all members have what is committed: one that is behind judges by the rights it knows, and its
// answer "revision of auth store is old" is for the caller to try again.
func (s *suite) settle() {
	for _, endpoint := range s.endpoints {
		one := *s
		one.endpoints = []string{endpoint}
		root := one.byRoot()
		got(root.Get(s.ctx, "none"))
		root.Close()
	}
}

func authEnabled(s *suite) string {
	_, nobody := s.client.Get(s.ctx, "au/a")
	_, wrong := s.tryConnect(s.machine, "alice", "wrong")
	_, none := s.tryConnect(s.machine, "bob", "wrong")
	_, passwordless := s.tryConnect(s.machine, "cert", "x")
	root := s.connect(s.machine, "root", "root's word")
	defer root.Close()
	got(root.Put(s.ctx, "anywhere", "1"))
	byName := s.byRoot()
	defer byName.Close()
	answer := got(byName.Get(s.ctx, "anywhere"))
	want("the library's own error", nobody, rpctypes.ErrPermissionDenied)
	return strings.Join([]string{refused(nobody), refused(wrong), refused(none), refused(passwordless),
		string(valueOf(answer))}, "; ")
}

func authRights(s *suite) string {
	alice := s.connect(s.machine, "alice", "alice's word")
	defer alice.Close()
	root := s.byRoot()
	defer root.Close()
	got(alice.Put(s.ctx, "au/a", "1"))
	got(alice.Get(s.ctx, "au/", clientv3.WithPrefix()))
	got(alice.Get(s.ctx, "ro"))
	var texts []string
	try := func(what string, err error) { texts = append(texts, what+" "+refused(err)) }
	_, err := alice.Put(s.ctx, "ro", "1")
	try("put", err)
	_, err = alice.Get(s.ctx, "au/", clientv3.WithFromKey())
	try("range", err)
	_, err = alice.Delete(s.ctx, "a", clientv3.WithRange("b"))
	try("delete", err)
	_, err = alice.Txn(s.ctx).If(clientv3.Compare(clientv3.Version("secret"), "=", 0)).Commit()
	try("compare", err)
	_, err = alice.Txn(s.ctx).Then(clientv3.OpGet("au/a")).Else(clientv3.OpPut("secret", "1")).Commit()
	try("branch", err)
	_, err = alice.UserAdd(s.ctx, "eve", "x")
	try("user", err)
	_, err = alice.MemberList(s.ctx)
	texts = append(texts, fmt.Sprint("members ", err))
	_, err = alice.Defragment(s.ctx, s.endpoints[0])
	try("defragment", err)
	lease := got(root.Grant(s.ctx, 600))
	got(root.Put(s.ctx, "secret", "1", clientv3.WithLease(lease.ID)))
	_, err = alice.Revoke(s.ctx, lease.ID)
	try("revoke", err)
	// The library ends the channel with the error, or, when its stream is torn down first, without it; and a member of
	// etcd that is behind may not know the token yet.
	if denied, isOpen := <-alice.Watch(s.ctx, "secret"); isOpen {
		refused(denied.Err())
	}
	var watch clientv3.WatchChan
	s.until("a watch is open", func() bool {
		watch = alice.Watch(s.ctx, "au/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		created, isOpen := <-watch
		return isOpen && created.Created
	})
	got(root.Put(s.ctx, "au/b", "2"))
	want("an event", len(s.events(watch, 1)), 1)
	return strings.Join(texts, "; ")
}

// Rights and passwords change while a client is there; its token is made anew by the library.
func authChanges(s *suite) string {
	alice := s.connect(s.machine, "alice", "alice's word")
	defer alice.Close()
	root := s.byRoot()
	defer root.Close()
	got(alice.Put(s.ctx, "au/a", "2"))
	got(root.RoleRevokePermission(s.ctx, "alice's", "au/", clientv3.GetPrefixRangeEnd("au/")))
	s.settle()
	_, lost := alice.Put(s.ctx, "au/a", "3")
	got(root.RoleGrantPermission(s.ctx, "alice's", "au/", "\x00", clientv3.PermissionType(clientv3.PermReadWrite)))
	s.settle()
	got(alice.Put(s.ctx, "zz", "by a right from au/ on"))
	got(root.UserChangePassword(s.ctx, "alice", "another"))
	s.settle()
	_, old := s.tryConnect(s.machine, "alice", "alice's word")
	fresh := s.connect(s.machine, "alice", "another")
	defer fresh.Close()
	got(fresh.Put(s.ctx, "au/a", "4"))
	got(root.UserRevokeRole(s.ctx, "alice", "alice's"))
	s.settle()
	_, roleless := fresh.Get(s.ctx, "au/a")
	got(root.RoleDelete(s.ctx, "alice's"))
	s.settle()
	_, noRole := root.RoleGet(s.ctx, "alice's")
	got(root.UserDelete(s.ctx, "alice"))
	s.settle()
	_, noUser := root.UserGet(s.ctx, "alice")
	_, last := root.UserDelete(s.ctx, "root")
	return strings.Join([]string{refused(lost), refused(old), refused(roleless), refused(noRole), refused(noUser), refused(last)}, "; ")
}

// A certificate's name is a user, and what a password says goes before it.
func authNames(s *suite) string {
	root := s.byRoot()
	defer root.Close()
	_, stranger := s.client.Get(s.ctx, "au/a")
	got(root.UserAddWithOptions(s.ctx, "machine", "", &clientv3.UserAddOptions{NoPassword: true}))
	_, poor := s.client.Get(s.ctx, "au/a")
	got(root.UserGrantRole(s.ctx, "machine", "root"))
	s.settle()
	got(s.client.Put(s.ctx, "au/a", "5"))
	status := got(s.client.UserList(s.ctx)).Users
	return strings.Join([]string{refused(stranger), refused(poor), fmt.Sprint(status)}, "; ")
}

func authDisabled(s *suite) string {
	root := s.byRoot()
	defer root.Close()
	got(root.AuthDisable(s.ctx))
	s.put("open", "again")
	return string(valueOf(s.get("open")))
}
