"""Keys: put, get, ranges, transactions, deletes, compaction."""

from suite import refused, told, want


def put_get(suite):
    etcd, base = suite.client, suite.revision()
    first = etcd.put("kv/a", "1")
    want("revision", first.header.revision, base + 1)
    second = etcd.put("kv/a", b"2", prev_kv=True)
    want("earlier value", second.prev_kv.value, b"1")
    etcd.put(b"kv/\x00\xff", b"\x00\x01\xfe")
    want("binary", etcd.get(b"kv/\x00\xff")[0], b"\x00\x01\xfe")
    want("none", etcd.get("kv/none"), (None, None))
    want("serializable", etcd.get("kv/a", serializable=True)[0], b"2")
    response = etcd.get_response("kv/a")
    want("header", all([response.header.cluster_id, response.header.member_id, response.header.raft_term]), True)
    return told([etcd.get("kv/a")], base)


def conditional(suite):
    etcd = suite.client
    outcomes = [etcd.put_if_not_exists("pi", "1"), etcd.put_if_not_exists("pi", "2"),
                etcd.replace("pi", "1", "3"), etcd.replace("pi", "1", "4")]
    return f"{outcomes} {etcd.get('pi')[0]}"


def ranges(suite):
    etcd, base = suite.client, suite.revision()
    for n in range(10):
        etcd.put(f"r/{n}", str(n * n))
    etcd.put("r/3", "again")
    parts = [etcd.get_prefix("r/"), etcd.get_range("r/2", "r/5")]
    for target in ("key", "version", "create", "mod", "value"):
        for order in ("ascend", "descend"):
            parts.append(list(etcd.get_prefix("r/", sort_order=order, sort_target=target))[:2])
    keys = list(etcd.get_prefix("r/", keys_only=True))
    want("keys only", {value for value, _ in keys}, {b""})
    want("count", etcd.get_prefix_response("r/").count, 10)
    want("count of a range", etcd.get_range_response("r/2", "r/5").count, 3)
    every = len(list(etcd.get_all()))
    want("everything", etcd.get_all_response().count, every)
    return "; ".join(told(part, base) for part in parts)


def transactions(suite):
    etcd = suite.client
    etcd.put("t/a", "1")
    base = suite.revision()
    t = etcd.transactions
    good, answers = etcd.transaction(
        compare=[t.value("t/a") == "1", t.version("t/a") > 0, t.create("t/none") == 0, t.mod("t/a") < base + 1,
                 t.value("t/a") != "2", t.version("t/a") == 1],
        success=[t.put("t/a", "2"), t.get("t/a"), t.delete("t/none"),
                 t.txn(compare=[t.version("t/b") == 0], success=[t.put("t/b", "inner")], failure=[t.get("t/b")])],
        failure=[t.get("t/a")])
    bad, other = etcd.transaction(
        compare=[t.value("t/a") == "1"], success=[t.put("t/a", "wrong")], failure=[t.get("t/a"), t.get("t/", range_end="t0")])
    twice = refused(etcd.transaction, compare=[], success=[t.put("t/x", "1"), t.put("t/x", "2")], failure=[])
    want("inner", etcd.get("t/b")[0], b"inner")
    return f"{good} {told(answers[1], base)}; {bad} {told(other[0], base)} {told(other[1], base)}; {twice}"


def deletes(suite):
    etcd, base = suite.client, suite.revision()
    for key in ("d/a", "d/b", "d/c"):
        etcd.put(key, "x")
    one = etcd.delete("d/a", prev_kv=True, return_response=True)
    none = etcd.delete("d/a")
    rest = etcd.delete_prefix("d/")
    return f"{one.deleted} {one.prev_kvs[0].mod_revision - base} {none} {rest.deleted} {etcd.get_prefix_response('d/').count}"


def compaction(suite):
    etcd = suite.client
    etcd.put("c/a", "1")
    etcd.put("c/a", "2")
    now = suite.revision()
    etcd.compact(now - 1)
    etcd.compact(now, physical=True)
    again = refused(etcd.compact, now)
    future = refused(etcd.compact, now + 1000)
    old = refused(lambda: next(iter(etcd.watch("c/a", start_revision=now - 1)[0])))
    return f"{again}; {future}; {old.replace(str(now), 'NOW')}"


def refusals(suite):
    etcd = suite.client
    t = etcd.transactions
    empty = refused(etcd.put, "", "x")
    large = refused(etcd.put, "large", "x" * 1700 * 1024)
    many = refused(etcd.transaction, compare=[], success=[t.put(f"many/{n}", "") for n in range(129)], failure=[])
    return f"{empty}; {large}; {many}"


CHECKS = [("kv/put-get", put_get), ("kv/conditional", conditional), ("kv/ranges", ranges), ("kv/transactions", transactions),
          ("kv/deletes", deletes), ("kv/compaction", compaction), ("kv/refusals", refusals)]
