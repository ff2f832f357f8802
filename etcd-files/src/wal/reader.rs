//! Reads a log from its first record to its last, one record at a time, in constant memory and without changing a
//! byte. Safe beside a live writer. Folding records into a state is `replay`'s part.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use quorate_proto::walpb;

use super::behind::Hole;
use super::frame::{HEADER, Kind, Position, RECORD_MAX, Record, decode, looks_torn, split_length};
use super::segment::{Segment, list_segments};
use crate::disk::{Disk, File};
use crate::error::{Error, Result};

/// Bytes read at a time.
pub(super) const CHUNK: u64 = 1 << 20;

/// Where and how a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last segment.
    pub segment: Segment,
    /// Offset after its last whole record.
    pub offset: u64,
    /// Running checksum there.
    pub crc: u32,
    /// A record that was cut short by a crash follows.
    pub is_torn: bool,
    /// What follows cannot be read, and no crash explains it.
    pub hole: Option<Hole>,
}

/// A forward reader over all segments of a directory.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    current: usize,
    file: Option<Arc<dyn File>>,
    offset: u64,
    crc: u32,
    chunk: Bytes,
    chunk_offset: u64,
    metadata: Option<walpb::Metadata>,
    is_torn: bool,
    hole: Option<Hole>,
    is_done: bool,
}

/// What stands at an offset.
enum Frame {
    /// Record bytes and the length of the whole frame.
    Whole(Bytes, u64),
    /// No further record in this segment.
    End,
    /// The last write was cut short here.
    Torn,
}

impl Reader {
    /// Opens the log in `dir` for reading from its first record on. Reads nothing but the directory yet.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Reader> {
        let segments = list_segments(disk.as_ref(), dir)?;
        Ok(Reader {
            disk: disk.clone(),
            segments,
            current: 0,
            file: None,
            offset: 0,
            crc: 0,
            chunk: Bytes::new(),
            chunk_offset: 0,
            metadata: None,
            is_torn: false,
            hole: None,
            is_done: false,
        })
    }

    /// The segments being read, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Where the log ends; meaningful once [`Reader::next_record`] has returned `None`.
    pub fn tail(&self) -> Tail {
        let segment = self.segments[self.current.min(self.segments.len() - 1)].clone();
        let hole = self.hole.clone();
        Tail { segment, offset: self.offset, crc: self.crc, is_torn: self.is_torn, hole }
    }

    /// The next record and its place; `None` at the end of the log, which includes a torn tail and a [`Hole`] (see
    /// [`Reader::tail`]). Fails with the file and offset on damage anywhere else.
    pub fn next_record(&mut self) -> Result<Option<(Record, Position)>> {
        while !self.is_done {
            let (record, frame_len) = match self.next_frame()? {
                Frame::Whole(record, frame_len) => (record, frame_len),
                Frame::Torn => {
                    self.is_torn = true;
                    self.is_done = true;
                    break;
                }
                Frame::End => {
                    self.end_segment()?;
                    continue;
                }
            };
            let body_offset = self.offset + HEADER as u64;
            match decode(record.clone(), self.crc) {
                Ok((decoded, crc)) => {
                    let position = self.position(frame_len)?;
                    self.check(&decoded)?;
                    self.crc = crc;
                    self.offset += frame_len;
                    return Ok(Some((decoded, position)));
                }
                Err(_)
                    if self.is_last()
                        && looks_torn(&record, body_offset, record.len() as u64, false) =>
                {
                    let is_entry = record.starts_with(&[0x08, Kind::Entry as u8]);
                    let proof = self.find_proof(self.offset + frame_len, is_entry)?;
                    self.end_in_hole(proof);
                    self.is_torn = true;
                    self.is_done = true;
                }
                Err(what) => return Err(self.damaged(what)),
            }
        }
        Ok(None)
    }

    /// Goes on behind the last record of a segment: in the next one, or nowhere.
    fn end_segment(&mut self) -> Result<()> {
        let proof = self.find_proof(self.offset + HEADER as u64, false)?;
        if proof.is_some() && self.has_gone_on()? {
            return Ok(());
        }
        self.end_in_hole(proof);
        if self.hole.is_some() || self.is_last() {
            self.is_done = true;
        } else {
            self.next_segment();
        }
        Ok(())
    }

    /// True where a live writer has written on where there was nothing before: its records are not behind a hole.
    fn has_gone_on(&mut self) -> Result<bool> {
        self.chunk = Bytes::new();
        let header = self.read(self.offset, HEADER as u64)?;
        Ok(header.iter().any(|byte| *byte != 0))
    }

    fn end_in_hole(&mut self, proof: Option<u64>) {
        let path = self.segments[self.current].path.clone();
        self.hole = proof.map(|proof| Hole { path, offset: self.offset, proof });
    }

    /// Rules that span records: the checksum chain over segments, one owner for the whole log.
    fn check(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Crc(crc) if self.crc != 0 && *crc != self.crc => Err(self.damaged(format!(
                "the checksum chain is {:08x} here, the record says {crc:08x}",
                self.crc
            ))),
            Record::Metadata(metadata) => match &self.metadata {
                Some(known) if known != metadata => {
                    Err(self.damaged("this segment belongs to another member than the one before"))
                }
                _ => {
                    self.metadata = Some(*metadata);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    fn position(&self, frame_len: u64) -> Result<Position> {
        let narrow = |value: u64| {
            u32::try_from(value).map_err(|_| self.damaged("beyond the 4 GiB a segment may have"))
        };
        Ok(Position {
            segment: narrow(self.segments[self.current].sequence)?,
            offset: narrow(self.offset)?,
            length: narrow(frame_len)?,
            previous_crc: self.crc,
        })
    }

    pub(super) fn is_last(&self) -> bool {
        self.current + 1 == self.segments.len()
    }

    fn next_segment(&mut self) {
        self.current += 1;
        self.file = None;
        self.offset = 0;
        self.chunk = Bytes::new();
        self.chunk_offset = 0;
    }

    fn damaged(&self, what: impl Into<String>) -> Error {
        Error::damaged(&self.segments[self.current].path, self.offset, what)
    }

    fn next_frame(&mut self) -> Result<Frame> {
        let header = self.read(self.offset, HEADER as u64)?;
        if header.len() < HEADER {
            let end = header.iter().all(|byte| *byte == 0);
            return match (end, self.is_last()) {
                (true, _) => Ok(Frame::End),
                (false, true) => Ok(Frame::Torn),
                (false, false) => Err(self.damaged("the segment ends within a record's length")),
            };
        }
        let field: [u8; 8] = header[..].try_into().expect("eight bytes were read");
        if field == [0; 8] {
            return Ok(Frame::End);
        }
        let (record_len, padding) = split_length(field);
        if record_len > RECORD_MAX {
            return Err(self.damaged(format!("a record of {record_len} bytes is not possible")));
        }
        let frame_len = HEADER as u64 + record_len + padding;
        let body_offset = self.offset + HEADER as u64;
        let body = self.read(body_offset, record_len + padding)?;
        if (body.len() as u64) < record_len + padding {
            return if self.is_last() && looks_torn(&body, body_offset, record_len, true) {
                Ok(Frame::Torn)
            } else {
                Err(self.damaged(format!("the segment ends within a record of {record_len} bytes")))
            };
        }
        Ok(Frame::Whole(body.slice(..record_len as usize), frame_len))
    }

    /// `length` bytes at `offset`, fewer where the segment ends before.
    pub(super) fn read(&mut self, offset: u64, length: u64) -> Result<Bytes> {
        if let Some(found) = self.cached(offset, length) {
            return Ok(found);
        }
        let path = self.segments[self.current].path.clone();
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.disk.open_read(&path).map_err(Error::io("open", &path))?,
        };
        self.file = Some(file.clone());
        // A live writer cuts a full segment to its true length: ask again when the file got shorter meanwhile.
        for _ in 0..3 {
            let present = file.len().map_err(Error::io("measure", &path))?.saturating_sub(offset);
            if present == 0 {
                return Ok(Bytes::new());
            }
            let mut buffer = vec![0; present.min(length.max(CHUNK)) as usize];
            match file.read_exact_at(&mut buffer, offset) {
                Ok(()) => {
                    self.chunk = Bytes::from(buffer);
                    self.chunk_offset = offset;
                    return Ok(self.chunk.slice(..self.chunk.len().min(length as usize)));
                }
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(Error::io("read", &path)(error)),
            }
        }
        Err(self.damaged("the segment keeps changing its length while it is read"))
    }

    fn cached(&self, offset: u64, length: u64) -> Option<Bytes> {
        let start = usize::try_from(offset.checked_sub(self.chunk_offset)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.chunk.len()).then(|| self.chunk.slice(start..end))
    }
}
