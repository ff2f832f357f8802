//! How far the write-ahead log was known to be on disk when the state was flushed. It lies with the state, so that a log
//! that has lost its end is not taken for one that was never longer. Not the log itself, of which this crate knows nothing.

use super::engine::{Change, EngineView};
use super::{EngineError, Keyspace};
use bytes::Bytes;
use parking_lot::Mutex;

const KEY: &[u8] = b"quorate_log_synced";

/// An entry of the log. A later one of a member's log is greater, also where a leader of a higher term has cut the log
/// before it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// The term of the leader that proposed it.
    pub term: u64,
    /// Its index.
    pub index: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SyncedLog {
    at_open: Option<LogPlace>,
    last: Mutex<Option<LogPlace>>,
}

impl SyncedLog {
    /// Reads what was noted.
    pub(super) fn open(view: &dyn EngineView) -> Result<SyncedLog, EngineError> {
        let at_open = view.get(Keyspace::Meta, KEY)?.map(|row| decode(&row)).transpose()?;
        Ok(SyncedLog::since(at_open))
    }

    /// As one finds it who knows that the log was on disk up to there.
    pub fn since(at_open: Option<LogPlace>) -> SyncedLog {
        SyncedLog { at_open, last: Mutex::new(at_open) }
    }

    /// The place up to which the log is known to be on disk now.
    pub fn last(&self) -> Option<LogPlace> {
        *self.last.lock()
    }

    /// The place up to which the log must be there; none where nothing is known.
    pub fn at_open(&self) -> Option<LogPlace> {
        self.at_open
    }

    /// Notes that the log is on disk up to this place. Written with the next flush.
    pub fn reach(&self, place: LogPlace) {
        let mut last = self.last.lock();
        *last = (*last).max(Some(place));
    }

    /// What the next flush notes.
    pub(super) fn change(&self) -> Option<Change> {
        let place = self.last()?;
        let value = [place.term.to_be_bytes(), place.index.to_be_bytes()].concat();
        Some(Change {
            keyspace: Keyspace::Meta,
            key: Bytes::from_static(KEY),
            value: Some(value.into()),
        })
    }
}

fn decode(row: &[u8]) -> Result<LogPlace, EngineError> {
    let bytes = <[u8; 16]>::try_from(row).map_err(|_| {
        let key = String::from_utf8_lossy(KEY);
        EngineError::Corrupt(format!("meta row {key} has {} bytes, not 16", row.len()))
    })?;
    let bytes = u128::from_be_bytes(bytes);
    Ok(LogPlace { term: (bytes >> 64) as u64, index: bytes as u64 })
}
