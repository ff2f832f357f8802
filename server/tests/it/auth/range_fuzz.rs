//! Rights over random intervals, with every trick of a range's end, beside real etcd: the same requests are allowed.

use super::pair::{NOBODY, Pair, add_user, auth, grant, revoke};
use crate::wire::{AuthCall, Call, b};
use quorate_proto::authpb::permission::Type::{Read, Readwrite, Write};
use quorate_proto::etcdserverpb as pb;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Keys and ends close beside each other: first and last keys, neighbours, prefixes, nothing, and the end that is none.
const EDGES: [&str; 14] =
    ["", "\0", "\0\0", "\u{1}", "a", "a\0", "a\0\0", "aa", "ab", "b", "b\0", "c", "\u{7f}", "~~~"];
const ROUNDS: usize = 30;
const REQUESTS: usize = 24;

fn edge(dice: &mut StdRng) -> &'static str {
    EDGES.choose(dice).copied().unwrap_or_default()
}

fn request(dice: &mut StdRng) -> Call {
    let (key, end) = (edge(dice), if dice.random() { edge(dice) } else { "" });
    // What ends before it begins holds no key. etcd judges it by the form that its tree of intervals happens to have.
    let is_backward = !matches!(end, "" | "\0") && end <= key;
    let (key, end) = (b(key), b(if is_backward { "" } else { end }));
    let range = pb::RangeRequest { key, range_end: end, ..Default::default() };
    match dice.random_range(0..5) {
        0 | 1 => Call::Range(range),
        2 => {
            let (key, range_end) = (range.key, range.range_end);
            Call::Delete(pb::DeleteRangeRequest { key, range_end, prev_kv: dice.random() })
        }
        3 => Call::Put(pb::PutRequest {
            key: range.key,
            prev_kv: dice.random(),
            ..Default::default()
        }),
        _ => {
            let (key, range_end) = (range.key.clone(), range.range_end.clone());
            let compare = vec![pb::Compare { key, range_end, ..Default::default() }];
            let op = pb::request_op::Request::RequestRange(range);
            let success = vec![pb::RequestOp { request: Some(op) }];
            Call::Txn(pb::TxnRequest { compare, success, ..Default::default() })
        }
    }
}

/// Seven hundred requests of a user whose rights change thirty times. Always the same ones, unless
/// `QUORATE_SEED` says otherwise.
#[tokio::test]
async fn random_rights_over_intervals_equal_etcds() {
    let seed = std::env::var("QUORATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(3);
    println!("QUORATE_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut pair = Pair::start(&[]).await;
    for call in [add_user("root", "root"), add_user("u", "u")] {
        pair.ask((NOBODY, call)).await;
    }
    use AuthCall::{Enable, GrantRole, RoleAdd};
    let calls = vec![
        RoleAdd("r"),
        RoleAdd("s"),
        GrantRole("root", "root"),
        GrantRole("u", "r"),
        GrantRole("u", "s"),
        Enable,
    ];
    pair.ask_all(auth(NOBODY, calls)).await;
    pair.login("root", "root").await;
    pair.login("u", "u").await;
    for key in EDGES.iter().filter(|key| !key.is_empty()) {
        let put = pb::PutRequest { key: b(key), value: b("v"), ..Default::default() };
        pair.ask(("root", Call::Put(put))).await;
    }
    let mut granted: Vec<(&str, &str, &str)> = Vec::new();
    for _ in 0..ROUNDS {
        for (role, key, end) in std::mem::take(&mut granted) {
            pair.ask(("root", revoke(role, key, end))).await;
        }
        for _ in 0..dice.random_range(1..6) {
            let role = if dice.random() { "r" } else { "s" };
            let kind = [Read, Write, Readwrite].choose(&mut dice).copied().unwrap_or(Read);
            let (key, end) = (edge(&mut dice), edge(&mut dice));
            pair.ask(("root", grant(role, kind, key, end))).await;
            granted.push((role, key, end));
        }
        for _ in 0..REQUESTS {
            let call = request(&mut dice);
            pair.ask(("u", call)).await;
        }
    }
    pair.finish(700);
}
