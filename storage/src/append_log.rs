//! Rows whose keys only ever ascend, kept so that readers never take a lock and the writer never moves a row.
//!
//! Revision keys arrive in ascending order, so the freshest rows of the state can lie in a plain sequence and be found
//! by bisection. Slots live in blocks, each twice the size of the one before, so a slot never moves once it is
//! filled. A row is visible when `visible` has passed it, which the writer does once for a whole batch.

use bytes::Bytes;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys up to this length are stored in the slot itself, which keeps bisection free of pointer chasing. Revision keys
/// have 17 or 18 bytes.
pub(super) const KEY_LENGTH_MAX: usize = 22;
/// Slots in the first block.
const FIRST_BLOCK: usize = 256;
/// Blocks double, so 40 of them hold more rows than any memory.
const N_BLOCKS: usize = 40;

/// A short key in place.
#[derive(Clone, Copy, Debug)]
struct ShortKey {
    length: u8,
    bytes: [u8; KEY_LENGTH_MAX],
}

impl ShortKey {
    fn new(key: &[u8]) -> Option<ShortKey> {
        let mut bytes = [0; KEY_LENGTH_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(ShortKey { length: u8::try_from(key.len()).ok()?, bytes })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[derive(Debug)]
struct Slot {
    key: ShortKey,
    value: Bytes,
}

/// See the module. One writer, any number of readers.
#[derive(Debug)]
pub(super) struct AppendLog {
    blocks: [OnceLock<Box<[OnceLock<Slot>]>>; N_BLOCKS],
    /// Slots filled. Only the writer reads it.
    filled: AtomicUsize,
    /// Slots that readers may see.
    visible: AtomicUsize,
}

impl Default for AppendLog {
    fn default() -> Self {
        AppendLog {
            blocks: [const { OnceLock::new() }; N_BLOCKS],
            filled: AtomicUsize::new(0),
            visible: AtomicUsize::new(0),
        }
    }
}

/// Block and position in it of the slot with this number.
fn place(number: usize) -> (usize, usize) {
    let scaled = number / FIRST_BLOCK + 1;
    let block = scaled.ilog2() as usize;
    (block, number - FIRST_BLOCK * ((1 << block) - 1))
}

impl AppendLog {
    /// Adds a row that readers do not see yet. False, and nothing happens, where the key does not follow all others or
    /// is too long.
    pub(super) fn append(&self, key: &[u8], value: &Bytes) -> bool {
        let number = self.filled.load(Ordering::Relaxed);
        let follows = number == 0 || self.slot(number - 1).key.as_slice() < key;
        let Some(key) = ShortKey::new(key).filter(|_| follows) else { return false };
        let (block, position) = place(number);
        let slots = self.blocks[block]
            .get_or_init(|| (0..FIRST_BLOCK << block).map(|_| OnceLock::new()).collect());
        let is_new = slots[position].set(Slot { key, value: value.clone() }).is_ok();
        assert!(is_new, "one writer fills each slot once");
        self.filled.store(number + 1, Ordering::Relaxed);
        true
    }

    /// Shows readers everything appended so far.
    pub(super) fn publish(&self) {
        self.visible.store(self.filled.load(Ordering::Relaxed), Ordering::Release);
    }

    /// The value under a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let number = self.lower_bound(key);
        let slot = (number < self.len()).then(|| self.slot(number))?;
        (slot.key.as_slice() == key).then_some(&slot.value)
    }

    /// Rows from `from` (included) to `to` (excluded; `None` means the end), ascending.
    pub(super) fn range<'a>(
        &'a self,
        from: &[u8],
        to: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a [u8], &'a Bytes)> + 'a {
        (self.lower_bound(from)..self.len())
            .map(|number| self.slot(number))
            .map(|slot| (slot.key.as_slice(), &slot.value))
            .take_while(move |(key, _)| to.is_none_or(|to| *key < to))
    }

    /// Number of rows readers see.
    pub(super) fn len(&self) -> usize {
        self.visible.load(Ordering::Acquire)
    }

    /// Number of the first visible row whose key is not below `key`.
    fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.slot(middle).key.as_slice() < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn slot(&self, number: usize) -> &Slot {
        let (block, position) = place(number);
        self.blocks[block]
            .get()
            .and_then(|slots| slots[position].get())
            .expect("slots below the filled count were set before the count moved")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> ([u8; 8], Bytes) {
        (number.to_be_bytes(), Bytes::from(format!("value {number}")))
    }

    /// Rows are found across block borders, and only after they were published.
    #[test]
    fn finds_published_rows() {
        let log = AppendLog::default();
        for number in 0..2_000 {
            let (key, value) = row(number * 2);
            assert!(log.append(&key, &value));
            assert_eq!(log.get(&key), None);
            log.publish();
        }
        for number in 0..2_000 {
            let (key, value) = row(number * 2);
            assert_eq!(log.get(&key), Some(&value));
            assert_eq!(log.get(&row(number * 2 + 1).0), None);
        }
    }

    /// A key that does not ascend, or is too long for a slot, is turned away.
    #[test]
    fn turns_away_what_it_cannot_order() {
        let log = AppendLog::default();
        assert!(log.append(b"b", &Bytes::new()));
        assert!(!log.append(b"b", &Bytes::new()));
        assert!(!log.append(b"a", &Bytes::new()));
        assert!(!log.append(&[b'z'; KEY_LENGTH_MAX + 1], &Bytes::new()));
        assert!(log.append(&[b'z'; KEY_LENGTH_MAX], &Bytes::new()));
    }

    /// A range takes its start and leaves its end.
    #[test]
    fn ranges_are_half_open() {
        let log = AppendLog::default();
        for number in 0..600 {
            let (key, value) = row(number);
            assert!(log.append(&key, &value));
        }
        log.publish();
        let (from, to) = (10_u64.to_be_bytes(), 590_u64.to_be_bytes());
        let found = log.range(&from, Some(&to)).count();
        assert_eq!(found, 580);
        assert_eq!(log.range(&to, None).count(), 10);
        assert_eq!(log.range(&to, Some(&from)).count(), 0);
    }
}
