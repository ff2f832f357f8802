//! Quorate beside real etcd 3.7.1: the same requests in the same order, answers equal field by field, errors equal in
//! code and text.
//!
//! Long because it is one table: a request that is told apart from its neighbours only by a field should stand by them.

use crate::wire::{Call, Wire, b, mask};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use std::path::Path;
use testbed::{Cluster, Plan, Version, reference};

/// What must be told apart in the report.
type Table = Vec<(&'static str, Call)>;

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: b(key), value: b(value), ..Default::default() }
}

fn range(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: b(key), range_end: b(range_end), ..Default::default() }
}

fn delete(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: b(key), range_end: b(range_end), prev_kv: false }
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn txn(compare: Vec<pb::Compare>, success: Vec<Op>, failure: Vec<Op>) -> pb::TxnRequest {
    let ops = |list: Vec<Op>| list.into_iter().map(op).collect();
    pb::TxnRequest { compare, success: ops(success), failure: ops(failure) }
}

fn compare(
    key: &str,
    target: CompareTarget,
    result: CompareResult,
    value: TargetUnion,
) -> pb::Compare {
    pb::Compare {
        result: result as i32,
        target: target as i32,
        key: b(key),
        range_end: b(""),
        target_union: Some(value),
    }
}

/// Keys to look at, written in several revisions with one deleted and rewritten.
fn writes() -> Table {
    let mut table: Table = Vec::new();
    for (key, value) in
        [("a", "1"), ("b", "2"), ("c", "3"), ("b", "22"), ("d", ""), ("aa", "x"), ("b/1", "y")]
    {
        table.push(("put", Call::Put(put(key, value))));
    }
    table.push(("put prev", Call::Put(pb::PutRequest { prev_kv: true, ..put("a", "11") })));
    table.push((
        "put prev of nothing",
        Call::Put(pb::PutRequest { prev_kv: true, ..put("new", "n") }),
    ));
    table.push((
        "put ignore value",
        Call::Put(pb::PutRequest { ignore_value: true, ..put("a", "") }),
    ));
    table.push(("delete", Call::Delete(delete("c", ""))));
    table.push(("delete nothing", Call::Delete(delete("nothing", ""))));
    table.push(("put again", Call::Put(put("c", "33"))));
    table.push((
        "delete prev",
        Call::Delete(pb::DeleteRangeRequest { prev_kv: true, ..delete("aa", "ab") }),
    ));
    table.push(("delete empty range", Call::Delete(delete("z", "a"))));
    table
}

fn write_errors() -> Table {
    let big = "x".repeat(1_600_000);
    let bigger = "x".repeat(2_200_000);
    vec![
        ("put no key", Call::Put(put("", "v"))),
        (
            "put ignore value with value",
            Call::Put(pb::PutRequest { ignore_value: true, ..put("a", "v") }),
        ),
        (
            "put ignore value missing",
            Call::Put(pb::PutRequest { ignore_value: true, ..put("missing", "") }),
        ),
        (
            "put ignore lease missing",
            Call::Put(pb::PutRequest { ignore_lease: true, ..put("missing", "v") }),
        ),
        (
            "put ignore lease with lease",
            Call::Put(pb::PutRequest { ignore_lease: true, lease: 5, ..put("a", "v") }),
        ),
        ("put unknown lease", Call::Put(pb::PutRequest { lease: 12345, ..put("a", "v") })),
        (
            "put ignore and unknown lease",
            Call::Put(pb::PutRequest { ignore_value: true, lease: 9, ..put("missing", "") }),
        ),
        ("put too large", Call::Put(put("a", &big))),
        ("put larger than grpc takes", Call::Put(put("a", &bigger))),
        ("delete no key", Call::Delete(delete("", ""))),
        ("delete no key with end", Call::Delete(delete("", "z"))),
        ("range no key", Call::Range(range("", ""))),
        ("range unknown order", Call::Range(pb::RangeRequest { sort_order: 9, ..range("a", "z") })),
        (
            "range unknown target",
            Call::Range(pb::RangeRequest { sort_target: 9, ..range("a", "z") }),
        ),
        ("range future", Call::Range(pb::RangeRequest { revision: 10_000, ..range("a", "z") })),
        (
            "range future serializable",
            Call::Range(pb::RangeRequest {
                revision: 10_000,
                serializable: true,
                ..range("a", "")
            }),
        ),
        (
            "compact future",
            Call::Compact(pb::CompactionRequest { revision: 10_000, physical: false }),
        ),
        (
            "compact negative",
            Call::Compact(pb::CompactionRequest { revision: -5, physical: false }),
        ),
    ]
}

/// Every field of a range in many combinations.
fn ranges() -> Table {
    let mut table: Table = Vec::new();
    let intervals = [
        ("a", ""),
        ("a", "c"),
        ("b", "b0"),
        ("a", "\0"),
        ("\0", "\0"),
        ("z", "a"),
        ("missing", ""),
        ("b", "b"),
    ];
    for (key, end) in intervals {
        table.push(("range", Call::Range(range(key, end))));
        table.push((
            "range keys only",
            Call::Range(pb::RangeRequest { keys_only: true, ..range(key, end) }),
        ));
        table.push((
            "range count only",
            Call::Range(pb::RangeRequest { count_only: true, ..range(key, end) }),
        ));
        table.push((
            "range serializable",
            Call::Range(pb::RangeRequest { serializable: true, ..range(key, end) }),
        ));
        table.push(("range limit", Call::Range(pb::RangeRequest { limit: 2, ..range(key, end) })));
        table.push((
            "range negative limit",
            Call::Range(pb::RangeRequest { limit: -1, ..range(key, end) }),
        ));
    }
    for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
        for target in [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ] {
            for limit in [0, 3] {
                let sorted = pb::RangeRequest {
                    sort_order: order as i32,
                    sort_target: target as i32,
                    limit,
                    ..range("a", "\0")
                };
                let keys = pb::RangeRequest { keys_only: true, ..sorted.clone() };
                table.push(("range sorted", Call::Range(sorted)));
                table.push(("range sorted keys", Call::Range(keys)));
            }
        }
    }
    for revision in [1, 2, 3, 5, 8, 12, -1] {
        table.push(("range at", Call::Range(pb::RangeRequest { revision, ..range("a", "\0") })));
        table.push((
            "count at",
            Call::Range(pb::RangeRequest { revision, count_only: true, ..range("a", "\0") }),
        ));
    }
    for (min_mod, max_mod, min_create, max_create) in
        [(3, 0, 0, 0), (0, 5, 0, 0), (0, 0, 4, 0), (0, 0, 0, 4), (3, 9, 2, 8), (9, 3, 0, 0)]
    {
        let filtered = pb::RangeRequest {
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
            ..range("a", "\0")
        };
        let limited = pb::RangeRequest { limit: 1, ..filtered.clone() };
        table.push(("range filtered", Call::Range(filtered.clone())));
        table.push(("range filtered limited", Call::Range(limited)));
        table.push(("stream filtered", Call::RangeStream(filtered)));
    }
    table.push(("stream", Call::RangeStream(range("a", "\0"))));
    table.push((
        "stream limit",
        Call::RangeStream(pb::RangeRequest { limit: 2, ..range("a", "\0") }),
    ));
    table.push((
        "stream count",
        Call::RangeStream(pb::RangeRequest { count_only: true, ..range("a", "\0") }),
    ));
    table.push(("stream one", Call::RangeStream(range("a", ""))));
    let descending = SortOrder::Descend as i32;
    table.push((
        "stream sorted",
        Call::RangeStream(pb::RangeRequest { sort_order: descending, ..range("a", "\0") }),
    ));
    table.push(("stream no key", Call::RangeStream(range("", ""))));
    table
}

fn txns() -> Table {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let get = |key: &str| Op::RequestRange(range(key, ""));
    let set = |key: &str, value: &str| Op::RequestPut(put(key, value));
    let del = |key: &str, end: &str| Op::RequestDeleteRange(delete(key, end));
    let nest = |txn: pb::TxnRequest| Op::RequestTxn(txn);
    let mut table: Table = Vec::new();
    for result in [Equal, NotEqual, Greater, Less] {
        for (target, value) in [
            (CompareTarget::Version, TargetUnion::Version(1)),
            (CompareTarget::Create, TargetUnion::CreateRevision(2)),
            (CompareTarget::Mod, TargetUnion::ModRevision(5)),
            (CompareTarget::Value, TargetUnion::Value(b("22"))),
            (CompareTarget::Lease, TargetUnion::Lease(0)),
            (CompareTarget::Version, TargetUnion::Value(b("odd"))),
        ] {
            for key in ["b", "missing"] {
                let condition = compare(key, target, result, value.clone());
                let request = txn(vec![condition], vec![get("a")], vec![get("b")]);
                table.push(("txn compare", Call::Txn(request)));
            }
        }
    }
    // Enumerators of a client that is newer than the server.
    for (target, result) in [(0, 9), (0, -1), (9, 0), (9, 1), (9, 2), (9, 3), (-1, 0)] {
        for key in ["b", "missing"] {
            let known = compare(key, CompareTarget::Version, Equal, TargetUnion::Version(77));
            let condition = pb::Compare { target, result, ..known };
            let request = txn(vec![condition], vec![get("a")], vec![get("b")]);
            table.push(("txn compare of a newer client", Call::Txn(request)));
        }
    }
    let over_range = |end: &str, version: i64| pb::Compare {
        range_end: b(end),
        ..compare("a", CompareTarget::Version, Greater, TargetUnion::Version(version))
    };
    let exists = compare("a", CompareTarget::Version, Greater, TargetUnion::Version(0));
    let then = vec![exists.clone()];
    for (name, request) in [
        ("txn empty", txn(vec![], vec![], vec![])),
        ("txn range compare", txn(vec![over_range("\0", 0)], vec![get("a")], vec![get("b")])),
        ("txn range compare fails", txn(vec![over_range("\0", 1)], vec![get("a")], vec![get("b")])),
        (
            "txn range compare empty",
            txn(
                vec![pb::Compare { key: b("x"), ..over_range("y", 0) }],
                vec![get("a")],
                vec![get("b")],
            ),
        ),
        (
            "txn put",
            txn(then.clone(), vec![set("t1", "1"), get("t1"), set("t2", "2"), get("t2")], vec![]),
        ),
        (
            "txn delete and range",
            txn(then.clone(), vec![del("t1", ""), get("t1"), set("t3", "3")], vec![]),
        ),
        ("txn delete nothing", txn(then.clone(), vec![del("nothing", "")], vec![])),
        (
            "txn failed branch",
            txn(
                vec![compare("a", CompareTarget::Version, Equal, TargetUnion::Version(0))],
                vec![set("n", "n")],
                vec![set("f", "f")],
            ),
        ),
        (
            "txn nested",
            txn(
                then.clone(),
                vec![
                    nest(txn(then.clone(), vec![set("n1", "1"), get("n1")], vec![set("n2", "2")])),
                    set("n3", "3"),
                ],
                vec![],
            ),
        ),
        (
            "txn nested read only",
            txn(then.clone(), vec![nest(txn(vec![], vec![get("a")], vec![]))], vec![]),
        ),
        ("txn read only", txn(then.clone(), vec![get("a"), get("b")], vec![])),
        (
            "txn range future",
            txn(
                then.clone(),
                vec![Op::RequestRange(pb::RangeRequest { revision: 9999, ..range("a", "") })],
                vec![],
            ),
        ),
        (
            "txn put and range future",
            txn(
                then.clone(),
                vec![
                    set("no", "no"),
                    Op::RequestRange(pb::RangeRequest { revision: 9999, ..range("a", "") }),
                ],
                vec![],
            ),
        ),
        (
            "txn put unknown lease",
            txn(
                then.clone(),
                vec![
                    set("ok", "1"),
                    Op::RequestPut(pb::PutRequest { lease: 77, ..put("no", "no") }),
                ],
                vec![],
            ),
        ),
        (
            "txn put ignore value missing",
            txn(
                then.clone(),
                vec![Op::RequestPut(pb::PutRequest { ignore_value: true, ..put("missing", "") })],
                vec![],
            ),
        ),
        (
            "txn put prev",
            txn(
                then.clone(),
                vec![Op::RequestPut(pb::PutRequest { prev_kv: true, ..put("a", "p") })],
                vec![],
            ),
        ),
        (
            "txn delete prev",
            txn(
                then.clone(),
                vec![Op::RequestDeleteRange(pb::DeleteRangeRequest {
                    prev_kv: true,
                    ..delete("t", "u")
                })],
                vec![],
            ),
        ),
        ("txn empty key", txn(vec![], vec![set("", "x")], vec![])),
        (
            "txn compare empty key",
            txn(
                vec![compare("", CompareTarget::Version, Equal, TargetUnion::Version(0))],
                vec![],
                vec![],
            ),
        ),
        ("txn duplicate put", txn(vec![], vec![set("d", "1"), set("d", "2")], vec![])),
        ("txn put in deleted range", txn(vec![], vec![set("d5", "1"), del("d", "e")], vec![])),
        ("txn put after open delete", txn(vec![], vec![del("d", "\0"), set("e", "1")], vec![])),
        (
            "txn put before open delete",
            txn(vec![], vec![set("e", "2"), set("f", "3"), del("f", "\0"), get("f")], vec![]),
        ),
        (
            "txn put and delete again",
            txn(vec![], vec![set("f", "4"), del("d", "\0"), set("g", "5")], vec![]),
        ),
        ("txn delete twice", txn(vec![], vec![del("t", "u"), del("t2", "")], vec![])),
        ("txn same key in both branches", txn(vec![], vec![set("s", "1")], vec![set("s", "2")])),
        (
            "txn nested duplicate",
            txn(
                vec![],
                vec![set("d", "1"), nest(txn(vec![], vec![set("d", "2")], vec![]))],
                vec![],
            ),
        ),
        (
            "txn nested both branches",
            txn(vec![], vec![nest(txn(vec![], vec![set("s", "1")], vec![set("s", "2")]))], vec![]),
        ),
        (
            "txn 128 ops",
            txn(vec![], (0..128).map(|i| set(&format!("m{i:03}"), "v")).collect(), vec![]),
        ),
        (
            "txn 129 ops",
            txn(vec![], (0..129).map(|i| set(&format!("m{i:03}"), "v")).collect(), vec![]),
        ),
        ("txn 129 compares", txn(vec![exists.clone(); 129], vec![], vec![])),
        (
            "txn nested too many",
            txn(
                vec![],
                std::iter::once(nest(txn(
                    vec![],
                    (0..70).map(|i| set(&format!("o{i}"), "v")).collect(),
                    vec![],
                )))
                .chain((0..63).map(|i| set(&format!("p{i}"), "v")))
                .collect(),
                vec![],
            ),
        ),
    ] {
        table.push((name, Call::Txn(request)));
    }
    let empty =
        pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
    table.push(("txn empty op", Call::Txn(empty)));
    table
}

fn leases() -> Table {
    let grant = |id: i64, ttl: i64| Call::Grant(pb::LeaseGrantRequest { ttl, id });
    let ttl = |id: i64, keys: bool| Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys });
    let attached = |key: &str, lease: i64| Call::Put(pb::PutRequest { lease, ..put(key, "v") });
    vec![
        ("grant", grant(7, 1000)),
        ("grant again", grant(7, 1000)),
        ("grant small", grant(8, 1)),
        ("grant zero ttl", grant(9, 0)),
        ("grant negative ttl", grant(10, -3)),
        ("grant too large", grant(11, 9_000_000_001)),
        ("grant largest", grant(12, 9_000_000_000)),
        ("attach", attached("l1", 7)),
        ("attach", attached("l2", 7)),
        ("ttl with keys", ttl(7, true)),
        ("ttl without keys", ttl(7, false)),
        ("ttl unknown", ttl(999, true)),
        ("move", attached("l2", 12)),
        ("ttl after move", ttl(12, true)),
        ("detach", attached("l1", 0)),
        ("ttl after detach", ttl(7, true)),
        (
            "ignore lease keeps it",
            Call::Put(pb::PutRequest { ignore_lease: true, ..put("l2", "new") }),
        ),
        ("ttl after ignore", ttl(12, true)),
        ("get leased", Call::Range(range("l2", ""))),
        (
            "get leased keys only",
            Call::Range(pb::RangeRequest { keys_only: true, ..range("l1", "l3") }),
        ),
        ("keep alive", Call::KeepAlive(7)),
        ("keep alive unknown", Call::KeepAlive(999)),
        ("revoke with key", Call::Revoke(pb::LeaseRevokeRequest { id: 12 })),
        ("revoked key", Call::Range(range("l2", ""))),
        ("revoke without key", Call::Revoke(pb::LeaseRevokeRequest { id: 7 })),
        ("revoke unknown", Call::Revoke(pb::LeaseRevokeRequest { id: 7 })),
        ("revoke", Call::Revoke(pb::LeaseRevokeRequest { id: 8 })),
        ("revoke", Call::Revoke(pb::LeaseRevokeRequest { id: 9 })),
        ("revoke", Call::Revoke(pb::LeaseRevokeRequest { id: 10 })),
        ("leases", Call::Leases),
    ]
}

fn watch_create(key: &str, end: &str, start: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: b(key),
        range_end: b(end),
        start_revision: start,
        ..Default::default()
    }
}

fn watch(requests: Vec<RequestUnion>, n: usize) -> Call {
    let wrap = |union| pb::WatchRequest { request_union: Some(union) };
    Call::Watch(requests.into_iter().map(wrap).collect(), n)
}

fn watches() -> Table {
    use RequestUnion::{CancelRequest, CreateRequest, ProgressRequest};
    let create = |key: &str, end: &str, start: i64| CreateRequest(watch_create(key, end, start));
    let cancel = |watch_id| CancelRequest(pb::WatchCancelRequest { watch_id });
    let progress = || ProgressRequest(pb::WatchProgressRequest {});
    vec![
        ("watch from now", watch(vec![create("w", "", 0)], 1)),
        ("watch history", watch(vec![create("b", "", 1)], 2)),
        ("watch history range", watch(vec![create("a", "c", 2)], 2)),
        ("watch everything", watch(vec![create("\0", "\0", 2)], 2)),
        ("watch no key", watch(vec![create("", "\0", 2)], 2)),
        (
            "watch prev",
            watch(
                vec![CreateRequest(pb::WatchCreateRequest {
                    prev_kv: true,
                    ..watch_create("a", "d", 2)
                })],
                2,
            ),
        ),
        (
            "watch no puts",
            watch(
                vec![CreateRequest(pb::WatchCreateRequest {
                    filters: vec![0],
                    ..watch_create("a", "d", 2)
                })],
                2,
            ),
        ),
        (
            "watch no deletes",
            watch(
                vec![CreateRequest(pb::WatchCreateRequest {
                    filters: vec![1],
                    ..watch_create("a", "d", 2)
                })],
                2,
            ),
        ),
        (
            "watch own id",
            watch(
                vec![CreateRequest(pb::WatchCreateRequest {
                    watch_id: 42,
                    ..watch_create("b", "", 2)
                })],
                2,
            ),
        ),
        (
            "watch same id twice",
            watch(
                vec![
                    CreateRequest(pb::WatchCreateRequest {
                        watch_id: 42,
                        ..watch_create("q", "", 0)
                    }),
                    CreateRequest(pb::WatchCreateRequest {
                        watch_id: 42,
                        ..watch_create("r", "", 0)
                    }),
                ],
                2,
            ),
        ),
        ("watch empty range", watch(vec![create("b", "a", 0)], 1)),
        ("watch range of nothing", watch(vec![create("b", "b", 0)], 1)),
        ("watch negative start", watch(vec![create("b", "", -1)], 1)),
        ("watch future", watch(vec![create("b", "", 100_000)], 1)),
        ("watch and cancel", watch(vec![create("q", "", 0), cancel(0)], 2)),
        ("watch cancel unknown", watch(vec![create("q", "", 0), cancel(9), cancel(0)], 2)),
        ("watch progress", watch(vec![create("q", "", 0), progress()], 2)),
        ("watch two", watch(vec![create("q", "", 0), create("r", "", 0)], 2)),
    ]
}

fn compactions() -> Table {
    let compact = |revision, physical| Call::Compact(pb::CompactionRequest { revision, physical });
    let mut table: Table = vec![
        ("hash", Call::HashKv(0)),
        ("hash at", Call::HashKv(5)),
        ("hash before all", Call::HashKv(-1)),
        ("hash future", Call::HashKv(100_000)),
        ("compact", compact(6, true)),
        ("hash after", Call::HashKv(0)),
        ("hash at compact", Call::HashKv(6)),
        ("hash below", Call::HashKv(4)),
        ("hash before all after", Call::HashKv(-3)),
        ("compact again", compact(6, false)),
        ("compact below", compact(3, false)),
        ("range below", Call::Range(pb::RangeRequest { revision: 5, ..range("a", "\0") })),
        ("range at compact", Call::Range(pb::RangeRequest { revision: 6, ..range("a", "\0") })),
        (
            "txn below",
            Call::Txn(txn(
                vec![],
                vec![Op::RequestRange(pb::RangeRequest { revision: 3, ..range("a", "") })],
                vec![],
            )),
        ),
        (
            "txn put below",
            Call::Txn(txn(
                vec![],
                vec![
                    Op::RequestPut(put("no", "no")),
                    Op::RequestRange(pb::RangeRequest { revision: 3, ..range("a", "") }),
                ],
                vec![],
            )),
        ),
        ("stream below", Call::RangeStream(pb::RangeRequest { revision: 3, ..range("a", "\0") })),
        ("watch compacted", watch(vec![RequestUnion::CreateRequest(watch_create("a", "", 2))], 2)),
        ("compact on", compact(14, true)),
        ("hash after second", Call::HashKv(0)),
        ("hash at second", Call::HashKv(14)),
        ("hash above second", Call::HashKv(15)),
    ];
    table.push(("range after", Call::Range(range("\0", "\0"))));
    table
}

fn clusters() -> Table {
    let add = |url: &str, is_learner: bool| {
        let peer_ur_ls = if url.is_empty() { vec![] } else { vec![url.to_owned()] };
        Call::MemberAdd(pb::MemberAddRequest { peer_ur_ls, is_learner })
    };
    let alarm = |action, alarm| Call::Alarm(pb::AlarmRequest { action, member_id: 77, alarm });
    let downgrade = |action, version: &str| {
        Call::Downgrade(pb::DowngradeRequest { action, version: version.to_owned() })
    };
    vec![
        ("add bad url", add("nonsense", false)),
        ("add no url", add("", false)),
        ("add url with path", add("http://127.0.0.1:1/x", true)),
        ("remove unknown", Call::MemberRemove(99)),
        (
            "update unknown",
            Call::MemberUpdate(pb::MemberUpdateRequest {
                id: 99,
                peer_ur_ls: vec!["http://127.0.0.1:9".into()],
            }),
        ),
        (
            "update bad url",
            Call::MemberUpdate(pb::MemberUpdateRequest { id: 99, peer_ur_ls: vec!["x".into()] }),
        ),
        ("promote unknown", Call::MemberPromote(99)),
        ("move leader unknown", Call::MoveLeader(99)),
        ("alarm get", alarm(0, 0)),
        ("alarm activate nothing", alarm(1, 0)),
        ("alarm activate", alarm(1, 1)),
        ("alarm get one", alarm(0, 1)),
        ("alarm get other", alarm(0, 2)),
        ("put under nospace", Call::Put(put("a", "v"))),
        ("grant under nospace", Call::Grant(pb::LeaseGrantRequest { ttl: 10, id: 55 })),
        (
            "txn put under nospace",
            Call::Txn(txn(vec![], vec![Op::RequestPut(put("a", "v"))], vec![])),
        ),
        (
            "txn delete under nospace",
            Call::Txn(txn(vec![], vec![Op::RequestDeleteRange(delete("nothing", ""))], vec![])),
        ),
        ("delete under nospace", Call::Delete(delete("nothing", ""))),
        ("alarm deactivate", alarm(2, 1)),
        ("alarm deactivate again", alarm(2, 1)),
        ("put after", Call::Put(put("a", "v"))),
        ("downgrade bad text", downgrade(0, "x")),
        ("downgrade far", downgrade(0, "3.4.0")),
        ("downgrade enable far", downgrade(1, "3.1")),
    ]
}

async fn differences(ours: &Wire, theirs: &Wire, table: Table) -> (usize, Vec<String>) {
    let mut found = Vec::new();
    let n = table.len();
    for (name, call) in table {
        let (our, their) = tokio::join!(ours.call(call.clone()), theirs.call(call.clone()));
        let (our, their) = (mask(&our), mask(&their));
        if our != their {
            let mut request = format!("{call:?}");
            request.truncate(300);
            found.push(format!("{name}: {request}\n  etcd:    {their}\n  quorate: {our}"));
        }
    }
    (n, found)
}

fn start(program: &Path, folder: &Path) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    let plan = Plan { program, members: 1, folder, extra: &[] };
    Cluster::start(&plan).unwrap()
}

/// More than 200 requests of all kinds get the same answers from Quorate and from etcd 3.7.1.
#[tokio::test]
async fn answers_equal_those_of_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let ours =
        start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), &folder.path().join("quorate"));
    let theirs = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"));
    let our_wire = Wire::connect(&ours.client_urls()[0]).await;
    let their_wire = Wire::connect(&theirs.client_urls()[0]).await;
    let (mut n, mut found) = (0, Vec::new());
    for table in
        [writes(), write_errors(), ranges(), txns(), leases(), watches(), compactions(), clusters()]
    {
        let (n_table, found_table) = differences(&our_wire, &their_wire, table).await;
        n += n_table;
        found.extend(found_table);
    }
    assert!(n >= 200, "only {n} requests");
    assert!(found.is_empty(), "{} of {n} answers differ:\n{}", found.len(), found.join("\n"));
}
