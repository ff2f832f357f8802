//! Is there an order of the calls on one key that fits both their times and their answers? The search of Wing and Gong
//! with the memory of Lowe: a set of calls done and the value they leave is looked at once. Keys are judged one by one,
//! which is as strict as all together (linearizability is local).

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::history::{Act, Call};

/// What a key holds.
type Value = Option<u64>;

/// Stands for every value that no answer tells of. Real ones begin at 1.
const UNSEEN: u64 = 0;

/// The value after a call; `None` where its answer does not fit the value before.
fn after(call: &Call, value: Value) -> Option<Value> {
    let is_answered = call.ended.is_some();
    match call.act {
        Act::Put(new) => Some(Some(new)),
        Act::Get(found) => (found == value).then_some(value),
        Act::Swap { from, to, was_so } => {
            let is_so = from == value;
            (!is_answered || is_so == was_so).then_some(if is_so { Some(to) } else { value })
        }
        Act::Delete { existed } => (!is_answered || existed == value.is_some()).then_some(None),
    }
}

/// A set of calls, by number.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, n: usize) -> bool {
        self.0[n / 64] >> (n % 64) & 1 == 1
    }

    fn with(&self, n: usize) -> Done {
        let mut words = self.0.clone();
        words[n / 64] |= 1 << (n % 64);
        Done(words)
    }
}

/// The calls in order of their beginning, with every value that no answer tells of turned into [`UNSEEN`]: such values
/// cannot be told apart, and writes of them that have no answer can stand for each other.
fn simplified(calls: &[Call]) -> Vec<Call> {
    let seen_by = |call: &Call| match call.act {
        Act::Get(found) => found,
        Act::Swap { from, .. } => from,
        Act::Put(_) | Act::Delete { .. } => None,
    };
    let seen: HashSet<u64> = calls.iter().filter_map(seen_by).collect();
    let mut calls = calls.to_vec();
    for call in &mut calls {
        if let Act::Put(value) | Act::Swap { to: value, .. } = &mut call.act
            && !seen.contains(value)
        {
            *value = UNSEEN;
        }
    }
    calls.sort_by_key(|call| call.began);
    calls
}

/// Whether the answer says that nothing was written. (A put of what is there already is not that: it may be needed
/// later, behind a deletion.)
fn only_looks(call: &Call) -> bool {
    use Act::{Delete, Get, Swap};
    matches!(call.act, Get(_) | Swap { was_so: false, .. } | Delete { existed: false })
}

/// The calls of `left` that may come next and the value after each; the likeliest last.
fn next_steps(
    calls: &[Call],
    left: &[usize],
    first_end: Duration,
    value: Value,
) -> Vec<(usize, Value)> {
    // A call that began after another ended cannot come before it.
    let may_come = left.iter().copied().filter(|n| calls[*n].began <= first_end);
    let mut steps: Vec<(usize, Value)> = Vec::new();
    for n in may_come {
        let call = &calls[n];
        let Some(new) = after(call, value) else { continue };
        if call.ended.is_some() && only_looks(call) {
            // What never changes anything takes nothing from the others by coming at once.
            return vec![(n, new)];
        }
        let has_twin =
            |(m, _): &(usize, Value)| calls[*m].ended.is_none() && calls[*m].act == call.act;
        // A lost call that changes nothing might as well not have happened; of equal ones the first is as good as all.
        if call.ended.is_some() || (new != value && !steps.iter().any(has_twin)) {
            steps.push((n, new));
        }
    }
    steps.sort_by_key(|(n, _)| std::cmp::Reverse(calls[*n].ended.unwrap_or(Duration::MAX)));
    steps
}

/// Whether the calls on a key, which holds nothing at first, are linearizable.
pub fn is_linearizable(calls: &[Call]) -> bool {
    let calls = simplified(calls);
    let start = (Done(vec![0; calls.len().div_ceil(64)]), None);
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some((done, value)) = open.pop() {
        let left: Vec<usize> = (0..calls.len()).filter(|n| !done.has(*n)).collect();
        // What has no answer need not have happened.
        let Some(first_end) = left.iter().filter_map(|n| calls[*n].ended).min() else {
            return true;
        };
        for (n, value) in next_steps(&calls, &left, first_end, value) {
            let state = (done.with(n), value);
            if seen.insert(state.clone()) {
                open.push(state);
            }
        }
    }
    false
}

/// Fails with the calls of the first key whose history is not linearizable; returns how many calls were judged.
pub fn judge(histories: &BTreeMap<String, Vec<Call>>) -> usize {
    for (key, calls) in histories {
        assert!(is_linearizable(calls), "{key} is not linearizable:\n{calls:#?}");
    }
    histories.values().map(Vec::len).sum()
}

fn call(act: Act, began: u64, ended: Option<u64>) -> Call {
    Call { act, began: Duration::from_millis(began), ended: ended.map(Duration::from_millis) }
}

/// Calls that overlap may take effect in any order, and an answer that was lost in either way.
#[test]
fn lawful_histories_pass() {
    use Act::*;
    let both_orders =
        [call(Put(1), 0, Some(10)), call(Put(2), 0, Some(10)), call(Get(Some(1)), 11, Some(12))];
    assert!(is_linearizable(&both_orders));
    for found in [Some(1), Some(2)] {
        let lost = [call(Put(1), 0, Some(1)), call(Put(2), 2, None), call(Get(found), 5, Some(6))];
        assert!(is_linearizable(&lost), "{found:?}");
    }
    let swaps = [
        call(Swap { from: None, to: 1, was_so: true }, 0, Some(5)),
        call(Swap { from: None, to: 2, was_so: false }, 1, Some(6)),
        call(Swap { from: Some(1), to: 3, was_so: false }, 7, None),
        call(Delete { existed: true }, 8, Some(9)),
        call(Delete { existed: false }, 10, Some(11)),
        call(Get(None), 12, Some(13)),
    ];
    assert!(is_linearizable(&swaps));
}

/// A read of what had been overwritten before it began is seen.
#[test]
fn a_stale_read_is_caught() {
    use Act::*;
    let calls =
        [call(Put(1), 0, Some(1)), call(Put(2), 2, Some(3)), call(Get(Some(1)), 4, Some(5))];
    assert!(!is_linearizable(&calls));
    // The same where a later read sees an older value than an earlier one, while the write has no answer.
    let calls = [
        call(Put(1), 0, Some(1)),
        call(Put(2), 2, None),
        call(Get(Some(2)), 4, Some(5)),
        call(Get(Some(1)), 6, Some(7)),
    ];
    assert!(!is_linearizable(&calls));
}

/// A write that was acknowledged and is gone is seen.
#[test]
fn a_lost_write_is_caught() {
    use Act::*;
    assert!(!is_linearizable(&[call(Put(1), 0, Some(1)), call(Get(None), 2, Some(3))]));
    let calls = [
        call(Put(1), 0, Some(1)),
        call(Swap { from: Some(1), to: 2, was_so: true }, 2, Some(3)),
        call(Swap { from: Some(1), to: 3, was_so: true }, 4, Some(5)),
    ];
    assert!(!is_linearizable(&calls));
}

/// A write that takes effect a second time, over a later one, is seen; so is a deletion that does.
#[test]
fn a_double_apply_is_caught() {
    use Act::*;
    let calls = [
        call(Put(1), 0, None),
        call(Get(Some(1)), 2, Some(3)),
        call(Put(2), 4, Some(5)),
        call(Get(Some(2)), 6, Some(7)),
        call(Get(Some(1)), 8, Some(9)),
    ];
    assert!(!is_linearizable(&calls));
    let calls = [
        call(Put(1), 0, Some(1)),
        call(Delete { existed: true }, 2, Some(3)),
        call(Delete { existed: true }, 4, Some(5)),
    ];
    assert!(!is_linearizable(&calls));
}

/// Every order, one after the other.
fn is_linearizable_by_trying(calls: &[Call], done: u32, value: Value) -> bool {
    let left = || (0..calls.len()).filter(|n| done >> n & 1 == 0);
    let Some(first_end) = left().filter_map(|n| calls[n].ended).min() else { return true };
    left().filter(|n| calls[*n].began <= first_end).any(|n| {
        let new = after(&calls[n], value);
        new.is_some_and(|new| is_linearizable_by_trying(calls, done | 1 << n, new))
    })
}

/// The shortcuts of the search change no verdict: on thousands of small random histories, lawful and not, it says what
/// trying every order says.
#[test]
fn shortcuts_change_no_verdict() {
    use rand::{Rng as _, SeedableRng as _};
    let mut dice = rand::rngs::StdRng::seed_from_u64(1);
    let mut verdicts = [0, 0];
    for _ in 0..20_000 {
        let calls: Vec<Call> = (1..=dice.random_range(2..8_u64))
            .map(|to| {
                let from = Some(dice.random_range(0..5_u64)).filter(|value| *value > 0);
                let yes = dice.random_bool(0.5);
                let act = match dice.random_range(0..6) {
                    0 | 1 => Act::Put(to),
                    2 | 3 => Act::Get(from),
                    4 => Act::Swap { from, to, was_so: yes },
                    _ => Act::Delete { existed: yes },
                };
                let began = dice.random_range(0..12);
                let is_lost = !matches!(act, Act::Get(_)) && dice.random_bool(0.2);
                call(act, began, (!is_lost).then(|| began + dice.random_range(1..8)))
            })
            .collect();
        let wanted = is_linearizable_by_trying(&calls, 0, None);
        assert_eq!(is_linearizable(&calls), wanted, "{calls:#?}");
        verdicts[usize::from(wanted)] += 1;
    }
    assert!(verdicts.iter().all(|n| *n > 1000), "{verdicts:?}");
}
