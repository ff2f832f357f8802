//! Reads single entries and runs of entries by their place: for followers that lag and for applying after a restart.
//! Every entry is checked against the checksum chain again. Buffered entries that are not written yet are not seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quorate_proto::raftpb;

use super::frame::{HEADER, Position, Record, decode, split_length};
use super::replay::EntryRef;
use super::segment::{Segment, list_segments};
use crate::disk::{Disk, File};
use crate::error::{Error, Result};

/// Most bytes read in one go; a longer entry is read alone.
const RUN_MAX: u64 = 1 << 20;

/// Shared by a log's writer and its readers: which segments there are, and their open files.
#[derive(Debug, Default)]
pub(super) struct SegmentTable(Mutex<BTreeMap<u64, Slot>>);

#[derive(Debug)]
struct Slot {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
}

impl SegmentTable {
    pub(super) fn new(segments: &[Segment]) -> SegmentTable {
        let slot = |s: &Segment| (s.sequence, Slot { path: s.path.clone(), file: None });
        SegmentTable(Mutex::new(segments.iter().map(slot).collect()))
    }

    pub(super) fn insert(&self, segment: &Segment) {
        let slot = Slot { path: segment.path.clone(), file: None };
        self.lock().insert(segment.sequence, slot);
    }

    pub(super) fn remove(&self, sequence: u64) {
        self.lock().remove(&sequence);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Slot>> {
        // The map is whole after every single operation, so a panic elsewhere does not matter here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, disk: &dyn Disk, sequence: u64) -> Result<(PathBuf, Arc<dyn File>)> {
        let mut slots = self.lock();
        let slot = slots.get_mut(&sequence).ok_or_else(|| {
            Error::Refused(format!("write-ahead log segment {sequence:016x} has been purged"))
        })?;
        if let Some(file) = &slot.file {
            return Ok((slot.path.clone(), file.clone()));
        }
        let file = disk.open_read(&slot.path).map_err(Error::io("open", &slot.path))?;
        slot.file = Some(file.clone());
        Ok((slot.path.clone(), file))
    }
}

/// Reads entries by [`EntryRef`]. Cheap to clone; may be used from any thread beside the writer.
#[derive(Clone, Debug)]
pub struct EntryReader {
    disk: Arc<dyn Disk>,
    table: Arc<SegmentTable>,
}

impl EntryReader {
    /// A reader for a log that no writer of this process has open.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<EntryReader> {
        let segments = list_segments(disk.as_ref(), dir)?;
        Ok(EntryReader { disk: disk.clone(), table: Arc::new(SegmentTable::new(&segments)) })
    }

    pub(super) fn new(disk: Arc<dyn Disk>, table: Arc<SegmentTable>) -> EntryReader {
        EntryReader { disk, table }
    }

    /// The entry at this place.
    pub fn read(&self, entry: &EntryRef) -> Result<raftpb::Entry> {
        let mut entries = self.read_run(std::slice::from_ref(entry))?;
        Ok(entries.pop().expect("one entry was asked for and read"))
    }

    /// The entries at these places, in order; neighbours are read together.
    pub fn read_run(&self, refs: &[EntryRef]) -> Result<Vec<raftpb::Entry>> {
        let mut entries = Vec::with_capacity(refs.len());
        let mut rest = refs;
        while let Some(first) = rest.first() {
            let start = u64::from(first.position.offset);
            let follows = |pair: &[EntryRef]| {
                let (this, next) = (pair[0].position, pair[1].position);
                next.segment == this.segment
                    && u64::from(next.offset) >= this.end()
                    && next.end() - start <= RUN_MAX
            };
            let count = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
            let (run, after) = rest.split_at(count);
            rest = after;
            self.read_neighbours(run, &mut entries)?;
        }
        Ok(entries)
    }

    fn read_neighbours(&self, run: &[EntryRef], entries: &mut Vec<raftpb::Entry>) -> Result<()> {
        let (first, last) = (run[0].position, run[run.len() - 1].position);
        let start = u64::from(first.offset);
        let (path, file) = self.table.open(self.disk.as_ref(), u64::from(first.segment))?;
        let mut buffer = vec![0; (last.end() - start) as usize];
        file.read_exact_at(&mut buffer, start).map_err(Error::io("read", &path))?;
        let buffer = Bytes::from(buffer);
        for entry in run {
            let Position { offset, length, previous_crc, .. } = entry.position;
            let from = (u64::from(offset) - start) as usize;
            let frame = buffer.slice(from..from + length as usize);
            let damaged = |what: String| Error::damaged(&path, u64::from(offset), what);
            let field = frame.first_chunk::<HEADER>().copied().unwrap_or_default();
            let (record_len, padding) = split_length(field);
            if HEADER as u64 + record_len + padding != u64::from(length) {
                return Err(damaged("the frame's length has changed since it was read".to_owned()));
            }
            let record = frame.slice(HEADER..HEADER + record_len as usize);
            match decode(record, previous_crc).map_err(damaged)? {
                (Record::Entry(decoded), _) => entries.push(decoded),
                _ => return Err(damaged("not an entry".to_owned())),
            }
        }
        Ok(())
    }
}
