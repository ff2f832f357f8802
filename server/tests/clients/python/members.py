"""Members and maintenance: status, hash, alarms, defragmentation, snapshots, membership."""

import hashlib

import etcd3
from suite import refused, told, until, want


def status(suite):
    found = suite.client.status()
    want("sizes and indexes", min(found.db_size, found.raft_index, found.raft_term) > 0, True)
    want("leader is a member", found.leader.id in {member.id for member in suite.client.members}, True)
    return found.version


def hashes(suite):
    return suite.client.hash() > 0


def alarms(suite):
    etcd = suite.client
    none = list(etcd.list_alarms())
    raised = etcd.create_alarm()
    listed = list(etcd.list_alarms(alarm_type="no space"))
    refusal = refused(etcd.put, "alarmed", "1")
    disarmed = etcd.disarm_alarm()
    etcd.put("alarmed", "2")
    kinds = [[alarm.alarm_type for alarm in part] for part in (raised, listed, disarmed)]
    want("members", {alarm.member_id for part in (raised, listed, disarmed) for alarm in part}, {0})
    return f"{none} {kinds} {refusal} {list(etcd.list_alarms())}"


def defragment(suite):
    for member in range(3):
        suite.connect(member).defragment()
    return "all"


def snapshot(suite):
    etcd, base = suite.client, suite.revision()
    etcd.put("snapshot", "kept")
    path = f"{suite.folder}/snapshot.db"
    with open(path, "wb") as file:
        etcd.snapshot(file)
    with open(path, "rb") as file:
        content = file.read()
    want("checksum", hashlib.sha256(content[:-32]).digest(), content[-32:])
    host, port = suite.ask(f"restore {path}").removeprefix("http://").split(":")
    restored = etcd3.client(host=host, port=int(port), timeout=20)
    want("all pairs", restored.get_all_response().kvs, etcd.get_all_response().kvs)
    return told([restored.get("snapshot")], base)


def healthy(call, *arguments):
    """Members hold a cluster for unhealthy for seconds after a start; the library calls that a failed connection."""
    answer = []

    def ask():
        try:
            answer.append(call(*arguments))
            return True
        except etcd3.exceptions.ConnectionFailedError:
            return False

    until("the cluster is healthy", ask)
    return answer[0]


def membership(suite):
    etcd = suite.client
    before = list(etcd.members)
    want("client URLs", sorted(url for member in before for url in member.client_urls), sorted(suite.endpoints))
    names = sorted(member.name for member in before)
    alarms_of = [list(member.active_alarms) for member in before]
    added = healthy(etcd.add_member, ["https://127.0.0.1:1"])
    added.update(["https://127.0.0.1:2"])
    listed = [member for member in etcd.members if member.id == added.id][0]
    urls = list(listed.peer_urls)
    added.remove()
    unknown = refused(etcd.remove_member, 4711)
    other = refused(etcd.update_member, 4711, ["https://127.0.0.1:3"])
    return f"{names} {alarms_of} {urls} {listed.name!r} {len(list(etcd.members))} {unknown} {other}"


CHECKS = [("maintenance/status", status), ("maintenance/hash", hashes), ("maintenance/alarms", alarms),
          ("maintenance/defragment", defragment), ("maintenance/snapshot", snapshot), ("cluster/membership", membership)]
