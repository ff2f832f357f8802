//! What clients were told: every call with its times and its answer, and every acknowledged write with its revision.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What a client did to a register, a key that holds a number or nothing, and what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Put(u64),
    /// Found this.
    Get(Option<u64>),
    /// Where it is `from`, it becomes `to`. `was_so` is the answer.
    Swap {
        from: Option<u64>,
        to: u64,
        was_so: bool,
    },
    /// The answer tells whether there was anything.
    Delete {
        existed: bool,
    },
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub act: Act,
    pub began: Duration,
    /// `None` where no answer came: it may have happened at any time since, or never, and `act`'s answer says nothing.
    pub ended: Option<Duration>,
}

/// A write that was acknowledged. Values are unique; `None` is a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub key: String,
    pub value: Option<u64>,
    pub revision: i64,
}

/// What all clients of a run were told.
pub struct History {
    origin: Instant,
    next_value: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    calls: BTreeMap<String, Vec<Call>>,
    writes: Vec<Acknowledged>,
    unknown: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { origin: Instant::now(), next_value: AtomicU64::new(1), told: Mutex::default() }
    }
}

impl History {
    pub fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// A value that nobody has written yet.
    pub fn new_value(&self) -> u64 {
        self.next_value.fetch_add(1, Ordering::Relaxed)
    }

    /// A call on a register has ended, or given up waiting.
    pub fn record(&self, key: &str, act: Act, began: Duration, is_answered: bool) {
        let ended = is_answered.then(|| self.now());
        // A read without an answer tells nothing.
        if is_answered || !matches!(act, Act::Get(_)) {
            let mut told = self.told.lock();
            told.calls.entry(key.to_owned()).or_default().push(Call { act, began, ended });
        }
    }

    pub fn acknowledge(&self, key: &str, value: Option<u64>, revision: i64) {
        self.told.lock().writes.push(Acknowledged { key: key.to_owned(), value, revision });
    }

    pub fn lose(&self) {
        self.told.lock().unknown += 1;
    }

    pub fn acknowledged(&self) -> usize {
        self.told.lock().writes.len()
    }

    pub fn unknown(&self) -> usize {
        self.told.lock().unknown
    }

    pub fn writes(&self) -> Vec<Acknowledged> {
        self.told.lock().writes.clone()
    }

    /// The calls on each key.
    pub fn calls(&self) -> BTreeMap<String, Vec<Call>> {
        self.told.lock().calls.clone()
    }
}
