"""Users, roles and permissions. The library only signs in; the calls that set up rights go by its own generated stubs."""

from etcd3 import etcdrpc
from etcd3.etcdrpc import auth_pb2
from suite import refused, want


def call(client, method, request="", **fields):
    """One call of the service Auth with a client's credentials."""
    message = getattr(etcdrpc, f"Auth{request or method}Request")(**fields)
    return getattr(etcdrpc.AuthStub(client.channel), method)(
        message, 20, credentials=client.call_credentials, metadata=client.metadata)


def set_up(suite):
    etcd = suite.client
    call(etcd, "UserAdd", name="root", password="root's word")
    call(etcd, "UserAdd", name="alice", password="alice's word")
    for role, user in (("root", "root"), ("alice's", "alice")):
        call(etcd, "RoleAdd", name=role)
        call(etcd, "UserGrantRole", user=user, role=role)
    right = auth_pb2.Permission(permType=auth_pb2.Permission.READWRITE, key=b"au/", range_end=b"au0")
    call(etcd, "RoleGrantPermission", name="alice's", perm=right)
    twice = refused(call, etcd, "UserAdd", name="alice", password="x")
    early = refused(suite.connect, user="alice", password="alice's word")
    call(etcd, "AuthEnable", "Enable")
    return f"{twice}; {early}"


def passwords(suite):
    nobody = refused(suite.client.get, "au/a")
    wrong = refused(suite.connect, user="alice", password="wrong")
    unknown = refused(suite.connect, user="bob", password="wrong")
    root = suite.connect(user="root", password="root's word")
    root.put("anywhere", "1")
    by_certificate = suite.connect(name="root")
    want("root by certificate", by_certificate.get("anywhere")[0], b"1")
    return f"{nobody}; {wrong}; {unknown}"


def rights(suite):
    alice = suite.connect(member=1, user="alice", password="alice's word")
    root = suite.connect(name="root")
    alice.put("au/a", "1")
    t = alice.transactions
    words = [
        refused(alice.get, "secret"), refused(alice.put, "secret", "1"), refused(alice.delete_prefix, "a"),
        refused(alice.transaction, compare=[t.version("secret") == 0], success=[], failure=[]),
        refused(call, alice, "UserAdd", name="eve", password="x"), refused(alice.defragment),
    ]
    lock = root.lock("held")
    want("root's lock", lock.acquire(), True)
    words.append(refused(alice.lock("held").acquire))
    lock.release()
    events, cancel = alice.watch_prefix("au/")
    root.put("au/b", "2")
    want("event", next(events).key, b"au/b")
    cancel()
    call(root, "UserChangePassword", name="alice", password="another")
    words.append(refused(suite.connect, user="alice", password="alice's word"))
    want("with the new one", suite.connect(user="alice", password="another").get("au/a")[0], b"1")
    return "; ".join(words)


def disabled(suite):
    root = suite.connect(name="root")
    call(root, "AuthDisable", "Disable")
    suite.client.put("open", "again")
    return suite.client.get("open")[0]


CHECKS = [("auth/set-up", set_up), ("auth/passwords", passwords), ("auth/rights", rights), ("auth/disabled", disabled)]
