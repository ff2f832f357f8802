//! Who may do what to which keys: users × calls × intervals, each answer beside etcd's.

use super::pair::{NOBODY, NONSENSE, Pair, STRANGER, Step, add_user, auth, grant};
use crate::wire::{AuthCall, Call, b};
use quorate_proto::authpb::permission::Type::{Read, Readwrite, Write};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;

/// Everybody who asks. `reader` sees `[a, c)`, `writer` changes it, `mixed` has what is granted piece by piece through two
/// roles, `nothing` has no role.
const USERS: [&str; 8] =
    [NOBODY, STRANGER, NONSENSE, "root", "reader", "writer", "mixed", "nothing"];

/// Intervals inside, outside, across, open, backwards and just beside what is granted.
const INTERVALS: [(&str, &str); 21] = [
    ("a", ""),
    ("b", ""),
    ("bzz", ""),
    ("c", ""),
    ("a", "c"),
    ("a", "b"),
    ("b", "c"),
    ("a", "c\0"),
    ("a", "d"),
    ("A", "b"),
    ("a", "\0"),
    ("\0", "\0"),
    ("b", "a"),
    ("b", "b"),
    ("k", ""),
    ("k", "k\0"),
    ("k", "l"),
    // GHSA-xg4h-6gfc-h4m8: from a granted key on without end.
    ("k", "\0"),
    ("m", "q"),
    ("p", "\0"),
    ("z", ""),
];

fn setup() -> Vec<Step> {
    use AuthCall::{Enable, GrantRole, RoleAdd};
    let users = ["root", "reader", "writer", "mixed", "nothing"];
    let mut steps: Vec<Step> = users.iter().map(|name| (NOBODY, add_user(name, name))).collect();
    steps.extend(auth(NOBODY, ["r", "w", "m1", "m2"].map(RoleAdd).into()));
    let grants = [
        grant("r", Read, "a", "c"),
        grant("w", Write, "a", "c"),
        // Neighbours that add up to [a, c), once through each role.
        grant("m1", Readwrite, "a", "b"),
        grant("m2", Readwrite, "b", "c"),
        grant("m1", Readwrite, "k", ""),
        grant("m2", Readwrite, "p", "\0"),
        grant("m2", Read, "m", "n"),
        grant("m1", Write, "n", "q"),
    ];
    steps.extend(grants.map(|call| (NOBODY, call)));
    let granted =
        [("root", "root"), ("reader", "r"), ("writer", "w"), ("mixed", "m1"), ("mixed", "m2")];
    steps.extend(auth(NOBODY, granted.map(|(user, role)| GrantRole(user, role)).into()));
    for key in ["a", "b", "c", "k", "n", "p", "z"] {
        steps.push((NOBODY, put(key)));
    }
    steps.extend(auth(NOBODY, vec![Enable]));
    steps
}

fn put(key: &str) -> Call {
    Call::Put(pb::PutRequest { key: b(key), value: b("v"), ..Default::default() })
}

fn range(key: &str, range_end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: b(key), range_end: b(range_end), ..Default::default() }
}

fn txn(compare: Vec<pb::Compare>, success: Vec<Op>, failure: Vec<Op>) -> pb::TxnRequest {
    let ops = |list: Vec<Op>| list.into_iter().map(|op| pb::RequestOp { request: Some(op) });
    pb::TxnRequest { compare, success: ops(success).collect(), failure: ops(failure).collect() }
}

/// Calls on one interval. Writes stay small so that the state is the same for everybody.
fn on_keys(key: &str, end: &str) -> Vec<Call> {
    let read = Op::RequestRange(range(key, end));
    let delete = |prev_kv| pb::DeleteRangeRequest { key: b(key), range_end: b(end), prev_kv };
    let compare = pb::Compare { key: b(key), range_end: b(end), ..Default::default() };
    let write = Op::RequestPut(pb::PutRequest { key: b("a"), ..Default::default() });
    let nested = |op: Op| Op::RequestTxn(txn(vec![], vec![], vec![op]));
    let create = RequestUnion::CreateRequest(pb::WatchCreateRequest {
        key: b(key),
        range_end: b(end),
        ..Default::default()
    });
    let watch = vec![pb::WatchRequest { request_union: Some(create) }];
    let mut calls = vec![
        Call::Range(range(key, end)),
        Call::Range(pb::RangeRequest { serializable: true, count_only: true, ..range(key, end) }),
        Call::RangeStream(range(key, end)),
        Call::Watch(watch, 1),
        Call::Delete(delete(false)),
        Call::Delete(delete(true)),
        // Read-only, with the interval as operation, as comparison, and in the branch that is not taken.
        Call::Txn(txn(vec![], vec![read.clone()], vec![])),
        Call::Txn(txn(vec![], vec![], vec![read.clone()])),
        Call::Txn(txn(vec![compare.clone()], vec![], vec![])),
        // Writing, with the interval beside an allowed write, nested, and nested in a comparison.
        Call::Txn(txn(vec![compare.clone()], vec![write.clone()], vec![])),
        Call::Txn(txn(vec![], vec![write.clone(), nested(read.clone())], vec![])),
        Call::Txn(txn(vec![], vec![], vec![nested(nested(read))])),
        Call::Txn(txn(vec![], vec![Op::RequestTxn(txn(vec![compare], vec![], vec![]))], vec![])),
        Call::Txn(txn(vec![], vec![nested(Op::RequestDeleteRange(delete(true)))], vec![])),
    ];
    if end.is_empty() {
        let put_prev = pb::PutRequest { prev_kv: true, ..put_request(key) };
        calls.push(Call::Put(put_request(key)));
        calls.push(Call::Put(put_prev.clone()));
        // CVE-2026-44283: the previous value by way of a transaction.
        calls.push(Call::Txn(txn(vec![], vec![Op::RequestPut(put_prev.clone())], vec![])));
        calls.push(Call::Txn(txn(vec![], vec![nested(Op::RequestPut(put_prev))], vec![])));
        calls.push(Call::Put(pb::PutRequest {
            ignore_value: true,
            value: b(""),
            ..put_request(key)
        }));
    }
    calls
}

fn put_request(key: &str) -> pb::PutRequest {
    pb::PutRequest { key: b(key), value: b("v"), ..Default::default() }
}

/// Calls that are judged by something else than keys.
fn without_keys() -> Vec<Call> {
    let alarm = |action| Call::Alarm(pb::AlarmRequest { action, member_id: 1, alarm: 2 });
    vec![
        Call::Status,
        Call::Hash,
        Call::HashKv(100_000),
        Call::Snapshot,
        Call::Defragment,
        Call::MemberList(true),
        Call::MemberList(false),
        Call::MemberAdd(pb::MemberAddRequest { peer_ur_ls: vec!["x".into()], is_learner: true }),
        Call::MemberRemove(99),
        Call::MemberUpdate(pb::MemberUpdateRequest { id: 99, peer_ur_ls: vec!["x".into()] }),
        Call::MemberPromote(99),
        Call::MoveLeader(99),
        Call::Downgrade(pb::DowngradeRequest { action: 0, version: "x".into() }),
        alarm(0),
        alarm(2),
        Call::Alarm(pb::AlarmRequest { action: 1, member_id: 1, alarm: 0 }),
        Call::Compact(pb::CompactionRequest { revision: 100_000, physical: false }),
        Call::Txn(pb::TxnRequest::default()),
        Call::Put(pb::PutRequest::default()),
        Call::Range(pb::RangeRequest::default()),
    ]
}

/// Leases: 50 without keys, 51 with a key of everybody who may write `[a, c)`, 52 with a key of nobody but root.
fn on_leases() -> Vec<Call> {
    let time = |id, keys| Call::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys });
    let attach = |key: &str, lease| Call::Put(pb::PutRequest { lease, ..put_request(key) });
    let nested = |key: &str, lease| {
        let put = Op::RequestPut(pb::PutRequest { lease, ..put_request(key) });
        Call::Txn(txn(vec![], vec![Op::RequestTxn(txn(vec![], vec![put], vec![]))], vec![]))
    };
    vec![
        time(50, false),
        time(50, true),
        time(51, false),
        time(51, true),
        time(52, false),
        time(52, true),
        time(99, true),
        attach("b", 51),
        attach("b", 52),
        attach("b", 99),
        nested("b", 52),
        Call::KeepAlive(50),
        Call::KeepAlive(51),
        Call::KeepAlive(52),
        Call::KeepAlive(99),
        Call::Leases,
        Call::Revoke(pb::LeaseRevokeRequest { id: 52 }),
        Call::Revoke(pb::LeaseRevokeRequest { id: 99 }),
        Call::Grant(pb::LeaseGrantRequest { ttl: 9_000_000_001, id: 60 }),
    ]
}

fn grant_leases() -> Vec<Step> {
    let lease = |id| Call::Grant(pb::LeaseGrantRequest { ttl: 1000, id });
    let attach = |key: &str, lease| Call::Put(pb::PutRequest { lease, ..put_request(key) });
    // One key each: etcd lists them in any order.
    [lease(50), lease(51), lease(52), attach("a", 51), attach("z", 52)]
        .map(|call| ("root", call))
        .into()
}

async fn ready() -> Pair {
    let mut pair = Pair::start(&[]).await;
    pair.ask_all(setup()).await;
    for user in USERS.iter().filter(|user| user.chars().all(char::is_alphabetic)) {
        if !user.is_empty() {
            pair.login(user, user).await;
        }
    }
    pair
}

/// Every kind of access to every interval, in everybody's name.
#[tokio::test]
async fn keys_are_guarded_as_by_etcd() {
    let mut pair = ready().await;
    for who in USERS {
        for (key, end) in INTERVALS {
            // etcd walks a tree whose shape decides how an interval is judged that ends before it starts, once there
            // are several grants. It holds no key either way.
            if (who, key, end) == ("mixed", "b", "a") {
                continue;
            }
            for call in on_keys(key, end) {
                pair.ask((who, call)).await;
            }
        }
    }
    pair.finish(2000);
}

/// Members, maintenance, alarms, leases: in everybody's name.
#[tokio::test]
async fn everything_else_is_guarded_as_by_etcd() {
    let mut pair = ready().await;
    for who in USERS {
        pair.ask_all(without_keys().into_iter().map(|call| (who, call)).collect()).await;
    }
    for who in USERS {
        pair.ask_all(grant_leases()).await;
        pair.ask_all(on_leases().into_iter().map(|call| (who, call)).collect()).await;
        let revoke = |id| ("root", Call::Revoke(pb::LeaseRevokeRequest { id }));
        pair.ask_all([50, 51, 52].map(revoke).into()).await;
    }
    // An alarm is told to whoever may not write anyway.
    let alarm = |action| ("root", Call::Alarm(pb::AlarmRequest { action, member_id: 1, alarm: 1 }));
    pair.ask(alarm(1)).await;
    for who in USERS {
        pair.ask_all([put("z"), put("a"), put("")].map(|call| (who, call)).into()).await;
    }
    pair.ask(alarm(2)).await;
    pair.finish(300);
}

/// The published vulnerabilities of 2026 that concern permissions, tried as attacks (`reference/users-wishes.md`,
/// section 4): each is refused, whatever etcd says.
#[tokio::test]
async fn published_vulnerabilities_are_closed() {
    let mut pair = ready().await;
    pair.ask_all(grant_leases()).await;
    let nested = |op: Op| {
        Call::Txn(txn(vec![], vec![Op::RequestTxn(txn(vec![], vec![op], vec![]))], vec![]))
    };
    let get = |key: &str, end: &str| Op::RequestRange(range(key, end));
    let set = |key: &str| Op::RequestPut(put_request(key));
    let previous = Op::RequestPut(pb::PutRequest { prev_kv: true, ..put_request("a") });
    let leased = Op::RequestPut(pb::PutRequest { lease: 52, ..put_request("a") });
    let from_k = RequestUnion::CreateRequest(pb::WatchCreateRequest {
        key: b("k"),
        range_end: b("\0"),
        ..Default::default()
    });
    let (nobody, denied) = ("etcdserver: user name is empty", "etcdserver: permission denied");
    let attacks: Vec<(&'static str, Call, &str)> = vec![
        // GHSA-q8m4-xhhv-38mg: calls that nobody was asked a name for.
        (NOBODY, Call::MemberList(false), nobody),
        (NOBODY, Call::Alarm(pb::AlarmRequest::default()), nobody),
        (NOBODY, Call::Alarm(pb::AlarmRequest { action: 2, member_id: 0, alarm: 1 }), nobody),
        (NOBODY, Call::Grant(pb::LeaseGrantRequest { ttl: 10, id: 70 }), nobody),
        (NOBODY, Call::Revoke(pb::LeaseRevokeRequest { id: 50 }), nobody),
        (NOBODY, Call::KeepAlive(50), nobody),
        (NOBODY, Call::TimeToLive(pb::LeaseTimeToLiveRequest { id: 50, keys: false }), nobody),
        (NOBODY, Call::Leases, nobody),
        (NOBODY, Call::Compact(pb::CompactionRequest { revision: 2, physical: false }), nobody),
        (NOBODY, Call::Snapshot, nobody),
        (NOBODY, Call::Defragment, nobody),
        (NOBODY, Call::Hash, nobody),
        (NOBODY, Call::Downgrade(pb::DowngradeRequest { action: 2, version: "".into() }), nobody),
        // GHSA-rfx7-8w68-q57q: a transaction inside a transaction.
        ("reader", nested(get("z", "")), denied),
        ("reader", nested(get("a", "\0")), denied),
        ("writer", nested(set("z")), denied),
        // CVE-2026-44283: the value before, and somebody else's lease, by way of a transaction.
        ("writer", Call::Txn(txn(vec![], vec![previous.clone()], vec![])), denied),
        ("writer", nested(previous), denied),
        ("writer", Call::Txn(txn(vec![], vec![leased.clone()], vec![])), denied),
        ("writer", nested(leased), denied),
        // GHSA-xg4h-6gfc-h4m8: a right to one key, used for all after it.
        ("mixed", Call::Watch(vec![pb::WatchRequest { request_union: Some(from_k) }], 1), denied),
        ("mixed", Call::Range(range("k", "\0")), denied),
        ("mixed", Call::RangeStream(range("k", "\0")), denied),
    ];
    for (who, call, refusal) in attacks {
        let answer = pair.ask((who, call.clone())).await;
        assert!(answer.contains(refusal), "{who:?} {call:?}: {answer}");
    }
    pair.finish(20);
}
