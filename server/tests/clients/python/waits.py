"""Watches, leases and locks, and what becomes of them when the member that serves them is killed.

The library cannot send a watch's filters (it assigns to a repeated field), so there is no check of them.
"""

import queue
import threading
import time

from etcd3 import events as kinds
from suite import WAIT_MAX, refused, until, want


def told_events(events, base):
    words = {kinds.PutEvent: "PUT", kinds.DeleteEvent: "DELETE"}
    return ", ".join(
        f"{words[type(event)]} {event.key.decode()}={event.value.decode()}/m{event.mod_revision - base:+}"
        + (f" was {event.prev_value.decode()}" if event.prev_value else "") for event in events)


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def watch_events(suite):
    etcd, base = suite.client, suite.revision()
    events, cancel = etcd.watch_prefix("w/", prev_kv=True)
    etcd.put("w/a", "1")
    etcd.put("w/a", "2")
    etcd.put("x/other", "")
    etcd.delete("w/a")
    seen = told_events(take(events, 3), base)
    cancel()
    want("nothing after the cancel", list(events), [])
    return seen


def watch_history(suite):
    etcd, base = suite.client, suite.revision()
    for n in range(5):
        etcd.put("h/a", str(n))
    events, cancel = etcd.watch("h/a", start_revision=base + 2)
    etcd.put("h/a", "now")
    seen = told_events(take(events, 5), base)
    cancel()
    return seen


def watch_responses(suite):
    etcd, base = suite.client, suite.revision()
    responses, cancel = etcd.watch_prefix_response("wt/", start_revision=base + 1)
    t = etcd.transactions
    etcd.transaction(compare=[], success=[t.put("wt/a", "1"), t.put("wt/b", "2")], failure=[])
    response = next(responses)
    cancel()
    want("revision", response.header.revision, base + 1)
    return told_events(response.events, base)


def watch_callbacks(suite):
    etcd, base = suite.client, suite.revision()
    came = queue.Queue()
    one = etcd.add_watch_callback("cb/a", came.put, start_revision=base + 1)
    two = etcd.add_watch_prefix_callback("cb/", came.put, start_revision=base + 1)
    etcd.put("cb/a", "1")
    first, second = came.get(timeout=WAIT_MAX), came.get(timeout=WAIT_MAX)
    etcd.cancel_watch(one)
    etcd.cancel_watch(two)
    return f"{told_events(first.events, base)}; {told_events(second.events, base)}; {two - one}"


def watch_progress(suite):
    etcd = suite.client
    came = queue.Queue()
    watch = etcd.add_watch_callback("wp/none", came.put, progress_notify=True)
    now = suite.revision()
    until("progress comes by itself", lambda: came.get(timeout=WAIT_MAX).header.revision >= now)
    etcd.cancel_watch(watch)
    return "came"


def watch_once(suite):
    etcd, base = suite.client, suite.revision()
    timeout = refused(etcd.watch_once, "wo/none", timeout=0.2)
    timer = threading.Timer(0.3, lambda: etcd.put("wo/a", "1"))
    timer.start()
    event = etcd.watch_prefix_once("wo/", timeout=WAIT_MAX)
    timer.join()
    return f"{timeout}; {told_events([event], base)}"


def leases(suite):
    etcd = suite.client
    lease = etcd.lease(500)
    etcd.put("l/a", "1", lease=lease)
    etcd.put("l/b", "2", lease=lease.id)
    left = lease.remaining_ttl
    want("time left", 490 < left <= 500, True)
    keys = sorted(lease.keys)
    refreshed = lease.refresh()[0].TTL
    lease.revoke()
    gone = etcd.get("l/a")
    return f"{lease.ttl} {lease.granted_ttl} {keys} {refreshed} {gone} {refused(lease.revoke)} {lease.remaining_ttl}"


def lease_with_id(suite):
    etcd = suite.client
    lease = etcd.lease(60, lease_id=4711)
    again = refused(etcd.lease, 60, lease_id=4711)
    unknown = refused(etcd.put, "l/x", "1", lease=4712)
    dead = next(iter(etcd.refresh_lease(4712))).TTL
    etcd.revoke_lease(4711)
    return f"{lease.id}; {again}; {unknown}; {dead}"


def lease_expiry(suite):
    etcd, base = suite.client, suite.revision()
    events, cancel = etcd.watch_prefix("le/", start_revision=base + 1)
    lease = etcd.lease(1)
    etcd.put("le/a", "1", lease=lease)
    seen = told_events(take(events, 2), base)
    cancel()
    return seen


def lease_kept(suite):
    etcd = suite.client
    lease = etcd.lease(2)
    etcd.put("lk/a", "1", lease=lease)
    end = time.monotonic() + 4.5
    while time.monotonic() < end:
        want("time given anew", lease.refresh()[0].TTL, lease.ttl)
        time.sleep(0.4)
    there = etcd.get("lk/a")[0]
    lease.revoke()
    return there


def locks(suite):
    etcd = suite.client
    with etcd.lock("toot", ttl=60) as lock:
        want("acquired", lock.is_acquired(), True)
        want("refreshed", lock.refresh()[0].TTL, 60)
        other = etcd.lock("toot", ttl=60)
        want("not for two", other.acquire(timeout=0.5), False)
    want("released", lock.is_acquired(), False)
    want("for the other", other.acquire(timeout=WAIT_MAX), True)
    waiting = []
    third = etcd.lock("toot", ttl=60)
    thread = threading.Thread(target=lambda: waiting.append(third.acquire(timeout=WAIT_MAX)))
    thread.start()
    time.sleep(0.2)
    released = other.release()
    thread.join()
    return f"{released} {waiting} {third.release()} {third.release()}"


# Each writer takes the lock, reads, writes; no step is lost.
def lock_counts(suite):
    suite.client.put("lc/number", "0")

    def count(member):
        etcd = suite.connect(member)
        for _ in range(3):
            lock = etcd.lock("counting", ttl=60)
            want("acquired", lock.acquire(timeout=WAIT_MAX), True)
            etcd.put("lc/number", str(int(etcd.get("lc/number")[0]) + 1))
            lock.release()

    threads = [threading.Thread(target=count, args=(member,)) for member in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return suite.client.get("lc/number")[0]


# The library does not resume a watch by itself; its user does, at another member, from where it ended.
def killed(suite):
    base = suite.revision()
    victim = suite.connect(1)
    lease = suite.client.lease(60)
    seen, ended = [], threading.Event()

    def on_answer(answer):
        if isinstance(answer, Exception):
            ended.set()
        else:
            seen.extend(answer.events)

    victim.add_watch_prefix_callback("kill/", on_answer, start_revision=base + 1)
    for n in range(10):
        victim.put(f"kill/{n}", "", lease=lease)
    until("events", lambda: len(seen) == 10)
    suite.ask(f"kill {suite.endpoints[1]}")
    want("the watch ends", ended.wait(WAIT_MAX), True)
    last = seen[-1].mod_revision
    for n in range(10, 20):
        until("a write is answered", lambda: put_once(suite.client, f"kill/{n}", lease))
    other = suite.connect(2)
    events, cancel = other.watch_prefix("kill/", start_revision=last + 1)
    rest = take(events, 10)
    want("keys", [event.key.decode() for event in seen + rest], [f"kill/{n}" for n in range(20)])
    suite.ask(f"start {suite.endpoints[1]}")
    back = suite.connect(1)
    want("the lease lives", back.get_lease_info(lease.id).grantedTTL, 60)
    lease.revoke()
    gone = take(events, 20)
    cancel()
    want("all in one revision", len({event.mod_revision for event in gone}), 1)
    return f"{len(seen + rest)} without a gap, {len(gone)} deleted"


def put_once(etcd, key, lease):
    try:
        t = etcd.transactions
        etcd.transaction(compare=[t.version(key) == 0], success=[t.put(key, "", lease=lease)], failure=[])
        return True
    except Exception:
        return False


CHECKS = [("watch/events", watch_events), ("watch/history", watch_history), ("watch/responses", watch_responses),
          ("watch/callbacks", watch_callbacks), ("watch/progress", watch_progress), ("watch/once", watch_once),
          ("lease/whole", leases), ("lease/with-id", lease_with_id),
          ("lease/expiry", lease_expiry), ("lease/kept", lease_kept), ("lock/held", locks), ("lock/counts", lock_counts),
          ("kill/watch", killed)]
