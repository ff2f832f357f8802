//! Reads the data directory of a dead member: its database, and the log entries that are not in it yet.
//!
//! A database lags its log by up to 100 ms or 10,000 operations, so a copy of it alone loses acknowledged writes.
//! Nothing is written here; what the entries mean to the keys is the business of whoever applies them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quorate_proto::raftpb;

use super::layout::DataDir;
use crate::bbolt::Database;
use crate::disk::{Disk, OsDisk};
use crate::error::{Error, Result};
use crate::rows::{bucket, meta};
use crate::wal::{EntryReader, EntryRef, Reader, Replay, Tail};

/// Entries read from disk at a time.
const RUN: usize = 256;

/// What to do with entries behind the known commit index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailPolicy {
    /// Leave them out: a leader may have replaced them.
    CommittedOnly,
    /// Take them: with a single survivor, one of them may be the last write that the dead leader acknowledged.
    KeepTail,
}

/// A dead member's data, opened.
#[derive(Debug)]
pub struct Survivor {
    data_dir: DataDir,
    database: Database,
    replay: Replay,
    entries: EntryReader,
    consistent_index: u64,
    tail: Tail,
}

impl Survivor {
    /// Opens the directory read-only. Fails where a server has it open, where database and log do not meet, and where
    /// either is damaged in what is read here (see [`Database::check`] for the whole database). A log that has lost its end
    /// is opened: see [`Survivor::lost`].
    pub fn open(data_dir: &DataDir) -> Result<Survivor> {
        if !data_dir.is_idle()? {
            let what = "in use: stop the server that has this data directory open";
            return Err(Error::unsupported(data_dir.root(), what));
        }
        Survivor::open_locked(data_dir)
    }

    /// [`Survivor::open`] for a caller that holds [`DataDir::lock`].
    pub fn open_locked(data_dir: &DataDir) -> Result<Survivor> {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let wal = data_dir.wal();
        let mut reader = Reader::open(&disk, &wal)?;
        let replay = Replay::read_to_hole(&mut reader)?;
        let tail = reader.tail();
        let entries = EntryReader::open(&disk, &wal)?;
        let (database, consistent_index) = newest_database(data_dir, &replay)?;
        let data_dir = data_dir.clone();
        let survivor = Survivor { data_dir, database, replay, entries, consistent_index, tail };
        survivor.check_meeting(&wal)?;
        Ok(survivor)
    }

    /// The database as it was flushed last.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Identity, hard state and places of all entries of the log.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// What the log has lost, told as damage: its last entries, though they had been synced, or even applied. What is left
    /// can be read, but no member may go on with it: it would have forgotten what it has promised and acknowledged.
    pub fn lost(&self) -> Option<Error> {
        if let Some(hole) = &self.replay.hole {
            return Some(hole.error());
        }
        let last = self.replay.last_index();
        (self.consistent_index > last).then(|| {
            let what = format!(
                "the log ends here with entry {last}, but the database holds what was applied up to entry {}: the entries \
                 between, and maybe later ones, are lost",
                self.consistent_index
            );
            Error::damaged(&self.tail.segment.path, self.tail.offset, what)
        })
    }

    /// Index of the last entry that is in the database.
    pub fn consistent_index(&self) -> u64 {
        self.consistent_index
    }

    /// Highest index known to be committed.
    pub fn commit_index(&self) -> u64 {
        self.replay.hard_state.commit().max(self.consistent_index)
    }

    /// How many entries stand behind the commit index.
    pub fn tail_len(&self) -> u64 {
        self.replay.last_index().saturating_sub(self.commit_index())
    }

    /// The entries that are not in the database yet, in order, read from disk as the iterator advances.
    pub fn pending(&self, policy: TailPolicy) -> impl Iterator<Item = Result<raftpb::Entry>> + '_ {
        let last = match policy {
            TailPolicy::CommittedOnly => self.commit_index().min(self.replay.last_index()),
            TailPolicy::KeepTail => self.replay.last_index(),
        };
        self.range(self.consistent_index + 1, last)
    }

    /// The entries behind the commit index, for showing what [`TailPolicy::KeepTail`] would add.
    pub fn tail(&self) -> impl Iterator<Item = Result<raftpb::Entry>> + '_ {
        self.range(self.commit_index() + 1, self.replay.last_index())
    }

    /// The directory.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    /// Term of the last entry that is in the database; 0 for a database without any.
    pub fn term(&self) -> Result<u64> {
        let index = self.consistent_index;
        if let Some(entry) = self.replay.entry_ref(index) {
            return Ok(entry.term);
        }
        // The log begins behind it: with a snapshot, whose record names its term. 3.4 has no row.
        let recorded = self.replay.snapshots.iter().rev().find(|s| s.index() == index);
        if let Some(snapshot) = recorded {
            return Ok(snapshot.term());
        }
        let row = match self.database.bucket(bucket::META)? {
            Some(marks) => marks.get(meta::TERM)?,
            None => None,
        };
        match row.and_then(|value| meta::decode_number(&value)) {
            Some(term) => Ok(term),
            None if index == 0 => Ok(0),
            None => {
                let what = format!("neither log nor database tell the term of entry {index}");
                Err(Error::unsupported(self.database.path(), what))
            }
        }
    }

    /// Entries of indexes `first..=last`.
    pub(super) fn range(
        &self,
        first: u64,
        last: u64,
    ) -> impl Iterator<Item = Result<raftpb::Entry>> + '_ {
        let base = self.replay.first_index;
        let at = |index: u64| (index.saturating_sub(base) as usize).min(self.replay.entries.len());
        let refs: &[EntryRef] = match first <= last {
            true => &self.replay.entries[at(first)..at(last + 1)],
            false => &[],
        };
        refs.chunks(RUN).flat_map(|run| match self.entries.read_run(run) {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    fn check_meeting(&self, wal: &Path) -> Result<()> {
        let (first, next) = (self.replay.first_index, self.consistent_index + 1);
        if first > next {
            let what = format!(
                "the log begins with entry {first}, the database ends with entry {}: the entries between are missing",
                self.consistent_index
            );
            return Err(Error::unsupported(wal, what));
        }
        Ok(())
    }
}

/// The database, or the one that a leader sent last and that had not been moved into its place yet.
fn newest_database(data_dir: &DataDir, replay: &Replay) -> Result<(Database, u64)> {
    let database = Database::open(&data_dir.database())?;
    let index = consistent_index(&database)?;
    let received = replay.last_snapshot().map_or(0, |snapshot| snapshot.index());
    let path: PathBuf = data_dir.received_database(received);
    if received > index && path.exists() {
        let database = Database::open(&path)?;
        let index = consistent_index(&database)?.max(received);
        return Ok((database, index));
    }
    Ok((database, index))
}

fn consistent_index(database: &Database) -> Result<u64> {
    let row = match database.bucket(bucket::META)? {
        Some(marks) => marks.get(meta::CONSISTENT_INDEX)?,
        None => None,
    };
    // A database that has never been flushed holds nothing of the log.
    let Some(value) = row else { return Ok(0) };
    let wrong = || Error::unsupported(database.path(), "consistent_index is not eight bytes");
    meta::decode_number(&value).ok_or_else(wrong)
}
