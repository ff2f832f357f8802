//! Folds the records of a log into what a restarting member needs: identity, hard state, snapshots, and where each
//! entry is. Entries themselves stay on disk until asked for, so a log of any size is replayed in little memory.

use std::path::PathBuf;

use quorate_proto::{raftpb, walpb};

use super::behind::Hole;
use super::frame::{Position, Record};
use super::reader::Reader;
use crate::error::{Error, Result};

/// Term and place of one entry; its index follows from its place in [`Replay::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef {
    /// Term of the entry.
    pub term: u64,
    /// Where its record is.
    pub position: Position,
}

/// What was done to a torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The segment that was cut.
    pub path: PathBuf,
    /// Its length now, in bytes.
    pub offset: u64,
    /// Copy of the segment as it was.
    pub broken: PathBuf,
}

/// A log, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Whose log it is.
    pub metadata: walpb::Metadata,
    /// The last hard state; default where none was written.
    pub hard_state: raftpb::HardState,
    /// Snapshot records in the order written, the first being {0, 0} unless old segments were purged. One above
    /// `hard_state.commit` is not valid.
    pub snapshots: Vec<walpb::Snapshot>,
    /// Index of `entries[0]`, or of the next entry where there is none.
    pub first_index: u64,
    /// The entries in force, without gaps.
    pub entries: Vec<EntryRef>,
    /// Old segments are gone, so the log does not begin with entry 1.
    pub is_purged: bool,
    /// Set when a torn tail was repaired on opening.
    pub repair: Option<Repair>,
    /// Where records were lost that had been synced; only [`Replay::read_to_hole`] returns with one.
    pub hole: Option<Hole>,
}

impl Replay {
    /// Reads a whole log without changing it. A torn tail ends it quietly, as a restart would; a [`Hole`] is refused.
    pub fn read(reader: &mut Reader) -> Result<Replay> {
        let replay = Replay::read_to_hole(reader)?;
        match &replay.hole {
            Some(hole) => Err(hole.error()),
            None => Ok(replay),
        }
    }

    /// [`Replay::read`] for whoever wants what is left of a log whatever has happened to it.
    pub fn read_to_hole(reader: &mut Reader) -> Result<Replay> {
        let mut replay = Replay { first_index: 1, ..Replay::default() };
        replay.is_purged = reader.segments()[0].sequence != 0;
        let mut has_metadata = false;
        while let Some((record, position)) = reader.next_record()? {
            match record {
                Record::Entry(entry) => {
                    let tail = reader.tail();
                    replay.place(&entry, position).map_err(|what| {
                        Error::damaged(&tail.segment.path, u64::from(position.offset), what)
                    })?;
                }
                Record::HardState(hard_state) => replay.hard_state = hard_state,
                Record::Snapshot(snapshot) => replay.note_snapshot(snapshot),
                Record::Metadata(metadata) => {
                    has_metadata = true;
                    replay.metadata = metadata;
                }
                Record::Crc(_) => {}
            }
        }
        if !has_metadata {
            let path = reader.segments()[0].path.clone();
            return Err(Error::damaged(&path, 0, "the log does not say whose it is (no metadata)"));
        }
        replay.hole = reader.tail().hole;
        Ok(replay)
    }

    /// Index of the last entry in force; `first_index - 1` where there is none.
    pub fn last_index(&self) -> u64 {
        self.first_index - 1 + self.entries.len() as u64
    }

    /// The entry at `index`, where the log has it.
    pub fn entry_ref(&self, index: u64) -> Option<&EntryRef> {
        self.entries.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    /// The newest snapshot record that is valid: not above the commit index.
    pub fn last_snapshot(&self) -> Option<&walpb::Snapshot> {
        let commit = self.hard_state.commit();
        self.snapshots.iter().rev().find(|snapshot| snapshot.index() <= commit)
    }

    fn place(&mut self, entry: &raftpb::Entry, position: Position) -> Result<(), String> {
        let index = entry.index();
        if index == 0 {
            return Err("an entry with index 0".to_owned());
        }
        // Where old segments were purged the first entry seen may have any index; an entry may also replace all that
        // this log still has.
        if index < self.first_index || (self.is_purged && self.entries.is_empty()) {
            self.entries.clear();
            self.first_index = index;
        }
        if index - 1 > self.last_index() {
            return Err(format!("entry {index} follows entry {}", self.last_index()));
        }
        self.entries.truncate((index - self.first_index) as usize);
        self.entries.push(EntryRef { term: entry.term(), position });
        Ok(())
    }

    fn note_snapshot(&mut self, snapshot: walpb::Snapshot) {
        // A snapshot from the leader may lie beyond the log: what is before it is gone, the log goes on behind it.
        if snapshot.index() > self.last_index() {
            self.entries.clear();
            self.first_index = snapshot.index() + 1;
        }
        self.snapshots.push(snapshot);
    }
}
