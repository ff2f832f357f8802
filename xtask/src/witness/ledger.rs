//! What was acknowledged, so that it can be asked for afterwards. Values are counters that only rise: a put whose
//! answer was lost may have happened or not, so a key must hold its last acknowledged value or a later one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Acknowledged writes of all writers.
#[derive(Default)]
pub struct Ledger {
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// Key → the counter last acknowledged.
    keys: BTreeMap<String, u64>,
    acknowledged: u64,
    unknown: u64,
}

/// How many writes had which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub keys: usize,
    pub acknowledged: u64,
    /// Ended in an error: they may have happened.
    pub unknown: u64,
}

impl Ledger {
    pub fn acknowledge(&self, key: &str, counter: u64) {
        let mut written = self.lock();
        written.keys.insert(key.to_owned(), counter);
        written.acknowledged += 1;
    }

    pub fn lose(&self) {
        self.lock().unknown += 1;
    }

    pub fn count(&self) -> Count {
        let written = self.lock();
        let Written { keys, acknowledged, unknown } = &*written;
        Count { keys: keys.len(), acknowledged: *acknowledged, unknown: *unknown }
    }

    /// Every key with its last acknowledged counter.
    pub fn keys(&self) -> BTreeMap<String, u64> {
        self.lock().keys.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares what must be there with what is there; names the first keys that are missing or older.
pub fn nothing_lost(wanted: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Result<()> {
    let is_lost = |(key, counter): &(&String, &u64)| found.get(*key) < Some(*counter);
    let lost: Vec<String> = wanted
        .iter()
        .filter(is_lost)
        .map(|(key, counter)| format!("{key}: acknowledged {counter}, found {:?}", found.get(key)))
        .collect();
    if !lost.is_empty() {
        let first = lost[..lost.len().min(5)].join("\n  ");
        bail!("{} of {} acknowledged keys are lost:\n  {first}", lost.len(), wanted.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(key, n)| ((*key).to_owned(), *n)).collect()
    }

    /// A missing key and an older value are losses; a later value is not.
    #[test]
    fn losses_are_seen() {
        let wanted = map(&[("a", 3), ("b", 5)]);
        assert!(nothing_lost(&wanted, &map(&[("a", 3), ("b", 6), ("c", 1)])).is_ok());
        assert!(nothing_lost(&wanted, &map(&[("a", 3)])).is_err());
        assert!(nothing_lost(&wanted, &map(&[("a", 2), ("b", 5)])).is_err());
    }
}
