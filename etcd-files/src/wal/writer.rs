//! Appends records to a log: encode into one buffer, write it with one call, sync when asked. Meant for one thread
//! that owns it. Reading what was written is the business of `entry_reader`, folding of `replay`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use quorate_proto::{raftpb, walpb};

use super::entry::EntryParts;
use super::entry_reader::{EntryReader, SegmentTable};
use super::filler::{FILL_AHEAD, Filler, Prepared, WriteEnd};
use super::frame::{HEADER, Kind, Position, push_frame};
use super::reader::Reader;
use super::repair::{put_aside, remove_left_overs, with_suffix, zero_behind};
use super::replay::{EntryRef, Replay};
use super::segment::{Segment, list_segments};
use crate::disk::{Disk, File};
use crate::error::{Error, Result};

/// Size of a segment in bytes, as etcd's (`wal.SegmentSizeBytes`).
pub const SEGMENT_BYTES: u64 = 64_000_000;
/// Segments that etcd keeps (`--max-wals`); the usual `keep` of [`Writer::purge`].
pub const SEGMENTS_KEPT: usize = 5;
/// Bytes of an emptied buffer that are kept for the next records.
const BUFFER_KEPT: usize = 4 << 20;

/// How a log is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A segment that has reached this many bytes is closed at the next sync.
    pub segment_bytes: u64,
    /// Zero-fill and make segments ahead in a thread. Right for a server; a tool that writes a few records and
    /// exits needs none.
    pub prepare_ahead: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: SEGMENT_BYTES, prepare_ahead: true }
    }
}

/// The writing end of a log.
#[derive(Debug)]
pub struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    metadata: Vec<u8>,
    hard_state: Option<raftpb::HardState>,
    /// All segments that exist, the current one last.
    segments: Vec<Segment>,
    table: Arc<SegmentTable>,
    file: Arc<dyn File>,
    /// Bytes of whole frames in the current segment's file.
    offset: u64,
    /// Same, shared with the filler.
    write_end: WriteEnd,
    /// Zeros reach to here, as far as was asked for.
    filled: u64,
    filler: Option<Filler>,
    is_next_asked: bool,
    crc: u32,
    last_index: u64,
    buffer: Vec<u8>,
    head: Vec<u8>,
    tail: Vec<u8>,
    is_poisoned: bool,
}

impl Writer {
    /// Makes a new log in `dir`, which must not exist; its parent must. It appears whole or not at all (built as
    /// `<dir>.tmp`, then renamed).
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        metadata: walpb::Metadata,
        options: Options,
    ) -> Result<Writer> {
        Writer::create_with(disk, dir, metadata, options, |_| {})
    }

    /// [`Writer::create`] with first records that `fill` appends: they are there as soon as the log is.
    pub fn create_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        metadata: walpb::Metadata,
        options: Options,
        fill: impl FnOnce(&mut Writer),
    ) -> Result<Writer> {
        if disk.exists(dir) {
            return Err(Error::Refused(format!("{} exists already", dir.display())));
        }
        let temporary = with_suffix(dir, ".tmp");
        disk.create_dir_all(&temporary).map_err(Error::io("create", &temporary))?;
        for left_over in disk.list(&temporary).map_err(Error::io("list", &temporary))? {
            disk.remove_file(&left_over).map_err(Error::io("remove", &left_over))?;
        }
        let building = Segment::new(&temporary, 0, 0);
        let file = disk.create(&building.path).map_err(Error::io("create", &building.path))?;
        file.set_len(options.segment_bytes).map_err(Error::io("allocate", &building.path))?;
        let segments = vec![Segment::new(dir, 0, 0)];
        let metadata = with_explicit_ids(metadata).encode_to_vec();
        let mut writer = Writer::assemble(disk, dir, options, metadata, segments, file);
        writer.push_header();
        writer.append_snapshot(&walpb::Snapshot::default());
        fill(&mut writer);
        writer.put_buffer()?;
        writer.file.sync_data().map_err(Error::io("sync", &building.path))?;
        let disk = &writer.disk;
        disk.sync_dir(&temporary).map_err(Error::io("sync", &temporary))?;
        disk.rename(&temporary, dir).map_err(Error::io("rename", &temporary))?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).map_err(Error::io("sync", parent))?;
        }
        writer.start_filler();
        Ok(writer)
    }

    /// Opens the log in `dir`, reads it through, and repairs what a crash left: a torn tail is copied to
    /// `<segment>.broken` and cut off, and everything behind the last record is zeroed. A [`super::Hole`] is refused.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Writer, Replay)> {
        let mut reader = Reader::open(&disk, dir)?;
        let mut replay = Replay::read(&mut reader)?;
        let tail = reader.tail();
        let segments = list_segments(disk.as_ref(), dir)?;
        remove_left_overs(disk.as_ref(), dir)?;
        let path = tail.segment.path.clone();
        let file = disk.open(&path).map_err(Error::io("open", &path))?;
        if tail.is_torn {
            replay.repair = Some(put_aside(disk.as_ref(), dir, &tail, file.as_ref())?);
        }
        zero_behind(file.as_ref(), &path, tail.offset)?;
        file.sync_data().map_err(Error::io("sync", &path))?;
        let metadata = with_explicit_ids(replay.metadata).encode_to_vec();
        let mut writer = Writer::assemble(disk, dir, options, metadata, segments, file);
        writer.crc = tail.crc;
        writer.last_index = replay.last_index();
        if replay.hard_state != raftpb::HardState::default() {
            writer.hard_state = Some(replay.hard_state);
        }
        writer.set_offset(tail.offset);
        if tail.offset == 0 {
            // A crash can leave a new segment under its name with nothing in it.
            writer.push_header();
        }
        writer.start_filler();
        Ok((writer, replay))
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        metadata: Vec<u8>,
        segments: Vec<Segment>,
        file: Arc<dyn File>,
    ) -> Writer {
        Writer {
            table: Arc::new(SegmentTable::new(&segments)),
            disk,
            dir: dir.to_owned(),
            options,
            metadata,
            hard_state: None,
            segments,
            file,
            offset: 0,
            write_end: WriteEnd::default(),
            filled: 0,
            filler: None,
            is_next_asked: false,
            crc: 0,
            last_index: 0,
            buffer: Vec::new(),
            head: Vec::with_capacity(64),
            tail: Vec::new(),
            is_poisoned: false,
        }
    }

    /// Buffers an entry; the result is valid for reading once [`Writer::write`] has returned.
    pub fn append(&mut self, entry: &EntryParts<'_>) -> EntryRef {
        entry.encode_around(&mut self.head, &mut self.tail);
        let (start, previous_crc) = (self.buffer.len(), self.crc);
        let parts = [&self.head[..], entry.data, &self.tail[..]];
        self.crc = push_frame(&mut self.buffer, Kind::Entry, self.crc, &parts);
        self.last_index = entry.index;
        EntryRef { term: entry.term, position: self.position(start, previous_crc) }
    }

    /// Buffers an entry in its wire form.
    pub fn append_entry(&mut self, entry: &raftpb::Entry) -> EntryRef {
        self.append(&EntryParts::from(entry))
    }

    /// Buffers a hard state. A change of the commit index alone needs no sync. A hard state ends a batch: where an entry
    /// stands in it, it has to be synced before anything else is written (see `behind`).
    pub fn append_hard_state(&mut self, hard_state: &raftpb::HardState) {
        self.hard_state = Some(raftpb::HardState {
            term: Some(hard_state.term()),
            vote: Some(hard_state.vote()),
            commit: Some(hard_state.commit()),
            vote_committed: hard_state.vote_committed,
        });
        self.push_hard_state();
    }

    /// Buffers a snapshot record: the state up to `snapshot.index` is durable elsewhere.
    pub fn append_snapshot(&mut self, snapshot: &walpb::Snapshot) {
        let mut snapshot = snapshot.clone();
        snapshot.index = Some(snapshot.index());
        snapshot.term = Some(snapshot.term());
        self.last_index = self.last_index.max(snapshot.index());
        self.head.clear();
        snapshot.encode(&mut self.head).expect("a Vec takes any length");
        self.crc = push_frame(&mut self.buffer, Kind::Snapshot, self.crc, &[&self.head]);
    }

    /// Bytes appended and not yet written.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Hands everything appended so far to the operating system. After an error the log takes no more records.
    pub fn write(&mut self) -> Result<()> {
        self.guard(|writer| {
            writer.put_buffer()?;
            writer.ask_ahead();
            Ok(())
        })
    }

    /// Makes everything written so far durable; returns how long the system's sync took. A full segment is closed
    /// here, after the sync. After an error the log takes no more records: what is on disk is unknown.
    pub fn sync(&mut self) -> Result<Duration> {
        self.guard(|writer| {
            let start = Instant::now();
            writer.file.sync_data().map_err(Error::io("sync", &writer.current().path))?;
            let took = start.elapsed();
            if writer.offset >= writer.options.segment_bytes && writer.buffer.is_empty() {
                writer.cut()?;
            }
            Ok(took)
        })
    }

    /// Removes the segments whose entries all lie below `below_index`, oldest first, but leaves at least `keep`
    /// segments. Returns how many were removed.
    pub fn purge(&mut self, below_index: u64, keep: usize) -> Result<usize> {
        let mut removed = 0;
        while self.segments.len() > keep.max(1) && self.segments[1].first_index <= below_index {
            let segment = self.segments.remove(0);
            self.table.remove(segment.sequence);
            self.disk.remove_file(&segment.path).map_err(Error::io("remove", &segment.path))?;
            removed += 1;
        }
        if removed > 0 {
            self.disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
        }
        Ok(removed)
    }

    /// A reader of written entries, for other threads.
    pub fn entry_reader(&self) -> EntryReader {
        EntryReader::new(self.disk.clone(), self.table.clone())
    }

    /// The segments that exist, the one being written last.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn guard<T>(&mut self, act: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        if self.is_poisoned {
            return Err(Error::Poisoned { path: self.dir.clone() });
        }
        let result = act(self);
        self.is_poisoned = result.is_err();
        result
    }

    fn current(&self) -> &Segment {
        self.segments.last().expect("a log has at least one segment")
    }

    fn position(&self, start: usize, previous_crc: u32) -> Position {
        let fits = "segments are cut long before 4 GiB";
        Position {
            segment: u32::try_from(self.current().sequence).expect(fits),
            offset: u32::try_from(self.offset + start as u64).expect(fits),
            length: u32::try_from(self.buffer.len() - start).expect(fits),
            previous_crc,
        }
    }

    fn push_header(&mut self) {
        push_frame(&mut self.buffer, Kind::Crc, self.crc, &[]);
        self.crc = push_frame(&mut self.buffer, Kind::Metadata, self.crc, &[&self.metadata]);
        self.push_hard_state();
    }

    fn push_hard_state(&mut self) {
        if let Some(hard_state) = &self.hard_state {
            self.head.clear();
            hard_state.encode(&mut self.head).expect("a Vec takes any length");
            self.crc = push_frame(&mut self.buffer, Kind::HardState, self.crc, &[&self.head]);
        }
    }

    /// Writes the buffer so that a reader beside us sees all of it or nothing: the first length field, which is what
    /// makes the rest visible, goes last.
    fn put_buffer(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let path = &self.segments.last().expect("a log has at least one segment").path;
        let (first, rest) = self.buffer.split_at(HEADER);
        let mut end = self.write_end.lock().unwrap_or_else(PoisonError::into_inner);
        let put = |data, at| self.file.write_all_at(data, at).map_err(Error::io("write", path));
        put(rest, self.offset + HEADER as u64)?;
        put(first, self.offset)?;
        self.offset += self.buffer.len() as u64;
        *end = self.offset;
        drop(end);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        Ok(())
    }

    fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
        self.filled = offset;
        *self.write_end.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    fn start_filler(&mut self) {
        if self.options.prepare_ahead {
            self.filler = Filler::start(self.disk.clone());
            self.ask_ahead();
        }
    }

    /// Keeps zeros ahead of the writer, and from the middle of a segment on the next one.
    fn ask_ahead(&mut self) {
        let Some(filler) = &self.filler else { return };
        let segment_bytes = self.options.segment_bytes;
        if self.filled < segment_bytes && self.filled < self.offset + FILL_AHEAD / 2 {
            let from = self.filled.max(self.offset);
            let to = (from + FILL_AHEAD).min(segment_bytes);
            let path = &self.segments.last().expect("a log has at least one segment").path;
            if filler.fill(path, from, to, &self.write_end) {
                self.filled = to;
            }
        }
        if !self.is_next_asked && self.offset >= segment_bytes / 2 {
            self.is_next_asked = filler.prepare(self.next_temporary(), segment_bytes);
        }
    }

    fn next_temporary(&self) -> PathBuf {
        // etcd alternates between the same two names.
        self.dir.join(format!("{}.tmp", (self.current().sequence + 1) % 2))
    }

    /// Closes the current segment at its true length and goes on in the next one.
    fn cut(&mut self) -> Result<()> {
        let path = self.current().path.clone();
        // The filler must not lengthen what is closed.
        *self.write_end.lock().unwrap_or_else(PoisonError::into_inner) = u64::MAX;
        self.file.set_len(self.offset).map_err(Error::io("truncate", &path))?;
        self.file.sync_data().map_err(Error::io("sync", &path))?;
        let segment = Segment::new(&self.dir, self.current().sequence + 1, self.last_index + 1);
        let prepared = match self.take_prepared() {
            Some(prepared) => prepared,
            None => self.prepare_here()?,
        };
        self.segments.push(segment.clone());
        self.table.insert(&segment);
        self.file = prepared.file;
        self.write_end = WriteEnd::default();
        self.offset = 0;
        self.filled = prepared.filled;
        self.push_header();
        self.put_buffer()?;
        self.file.sync_data().map_err(Error::io("sync", &prepared.path))?;
        let disk = &self.disk;
        disk.rename(&prepared.path, &segment.path).map_err(Error::io("rename", &prepared.path))?;
        disk.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))
    }

    fn take_prepared(&mut self) -> Option<Prepared> {
        if !std::mem::take(&mut self.is_next_asked) {
            return None;
        }
        self.filler.as_ref().and_then(Filler::take)
    }

    fn prepare_here(&self) -> Result<Prepared> {
        let path = self.next_temporary();
        if self.disk.exists(&path) {
            self.disk.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        let file = self.disk.create(&path).map_err(Error::io("create", &path))?;
        file.set_len(self.options.segment_bytes).map_err(Error::io("allocate", &path))?;
        Ok(Prepared { path, file, filled: 0 })
    }
}

fn with_explicit_ids(metadata: walpb::Metadata) -> walpb::Metadata {
    walpb::Metadata { node_id: Some(metadata.node_id()), cluster_id: Some(metadata.cluster_id()) }
}
