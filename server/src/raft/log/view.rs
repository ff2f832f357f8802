//! What is in memory of the log: recent entries, and for every entry that is not purged its place on disk.
//!
//! Plain data under one lock that is held for microseconds; nothing here touches a file.

use std::collections::{BTreeMap, VecDeque};

use quorate_etcd_files::wal::EntryRef;

use super::codec::size;
use crate::raft::core::{Entry, LogId, ORIGIN, Vote};
use crate::raft::membership::Membership;

/// Bytes of entries that are kept in memory although they are on disk.
const CACHE_BYTES: usize = 64 << 20;

/// One entry.
#[derive(Debug)]
struct Slot {
    /// Counts appends, so that a place that was found for a replaced entry is not taken for its successor's.
    sequence: u64,
    entry: Option<Entry>,
    place: Option<EntryRef>,
}

/// Where an entry is to be had.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// In memory.
    Cached(Entry),
    /// On disk only; for configuration entries that do not carry it, the membership after it.
    OnDisk(EntryRef, Option<Membership>),
}

/// The log in memory.
#[derive(Debug)]
pub(super) struct View {
    /// The last entry that is gone; all after it are here.
    pub(super) purged: LogId,
    /// The last entry; `purged` where there is none.
    pub(super) last: LogId,
    /// The vote as last handed to the writer.
    pub(super) vote: Option<Vote>,
    /// The commit mark as last handed to the writer.
    pub(super) committed: Option<LogId>,
    slots: VecDeque<Slot>,
    /// Memberships after configuration entries that etcd wrote.
    known: BTreeMap<u64, Membership>,
    /// All entries below are evicted from memory.
    cached_from: u64,
    cached_bytes: usize,
    /// [`CACHE_BYTES`]; tests set less.
    pub(super) cache_max: usize,
    next_sequence: u64,
}

impl View {
    /// A view of a log that was just read from disk: `places` are those of the entries after `purged`.
    pub(super) fn new(
        purged: LogId,
        last: LogId,
        places: impl IntoIterator<Item = EntryRef>,
        known: BTreeMap<u64, Membership>,
    ) -> View {
        let slot = |place| Slot { sequence: 0, entry: None, place: Some(place) };
        let slots: VecDeque<Slot> = places.into_iter().map(slot).collect();
        debug_assert_eq!(purged.index + slots.len() as u64, last.index);
        View {
            purged,
            last,
            vote: None,
            committed: None,
            cached_from: last.index + 1,
            slots,
            known,
            cached_bytes: 0,
            cache_max: CACHE_BYTES,
            next_sequence: 1,
        }
    }

    /// Adds entries behind the last one; returns the sequence number of the first.
    ///
    /// # Errors
    /// The entries leave a hole.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Result<u64, String> {
        let first_sequence = self.next_sequence;
        for entry in entries {
            if entry.log_id.index != self.last.index + 1 {
                return Err(format!(
                    "entry {} does not follow entry {}",
                    entry.log_id.index, self.last.index
                ));
            }
            self.cached_bytes += size(entry);
            self.last = entry.log_id;
            let sequence = self.next_sequence;
            self.next_sequence += 1;
            self.slots.push_back(Slot { sequence, entry: Some(entry.clone()), place: None });
        }
        Ok(first_sequence)
    }

    /// Notes where written entries are, and lets the oldest cached ones go.
    pub(super) fn placed(&mut self, first_index: u64, first_sequence: u64, places: &[EntryRef]) {
        for (offset, place) in (0..).zip(places) {
            let Some(position) = self.position(first_index + offset) else { continue };
            let slot = &mut self.slots[position];
            if slot.sequence == first_sequence + offset {
                slot.place = Some(*place);
            }
        }
        self.evict();
    }

    fn evict(&mut self) {
        while self.cached_bytes > self.cache_max && self.cached_from <= self.last.index {
            if let Some(position) = self.position(self.cached_from) {
                let slot = &mut self.slots[position];
                if slot.place.is_none() {
                    return;
                }
                if let Some(entry) = slot.entry.take() {
                    self.cached_bytes -= size(&entry);
                }
            }
            self.cached_from += 1;
        }
    }

    /// Forgets all entries after `keep`.
    pub(super) fn truncate_after(&mut self, keep: LogId) {
        while self.last.index > keep.index {
            let Some(slot) = self.slots.pop_back() else { break };
            self.cached_bytes -= slot.entry.as_ref().map_or(0, size);
            self.last.index -= 1;
        }
        self.last = keep;
        self.cached_from = self.cached_from.min(self.last.index + 1);
        self.known.split_off(&(keep.index + 1));
    }

    /// Forgets all entries up to `upto`, which may lie beyond the last one.
    pub(super) fn purge(&mut self, upto: LogId) {
        while self.purged.index < upto.index {
            let Some(slot) = self.slots.pop_front() else { break };
            self.cached_bytes -= slot.entry.as_ref().map_or(0, size);
            self.purged.index += 1;
        }
        self.purged = upto;
        if self.last.index <= upto.index {
            self.last = upto;
        }
        self.cached_from = self.cached_from.max(upto.index + 1);
        self.known = self.known.split_off(&(upto.index + 1));
    }

    /// The entries from `start` to before `end`, as far as there are any, until `bytes_max` is passed.
    pub(super) fn find(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut bytes = 0;
        let Some(position) = self.position(start) else { return found };
        for (index, slot) in (start..end).zip(self.slots.range(position..)) {
            if bytes > bytes_max {
                break;
            }
            found.push(match (&slot.entry, slot.place) {
                (Some(entry), _) => {
                    bytes += size(entry);
                    Found::Cached(entry.clone())
                }
                (None, Some(place)) => {
                    bytes += place.position.length as usize;
                    Found::OnDisk(place, self.known.get(&index).cloned())
                }
                // An entry stays cached until its place is known.
                (None, None) => break,
            });
        }
        found
    }

    fn position(&self, index: u64) -> Option<usize> {
        let position = usize::try_from(index.checked_sub(self.purged.index + 1)?).ok()?;
        (position < self.slots.len()).then_some(position)
    }

    /// The last log id as openraft wants it.
    pub(super) fn state(&self) -> (Option<LogId>, Option<LogId>) {
        debug_assert!(self.purged >= ORIGIN);
        (Some(self.purged), Some(self.last))
    }
}
