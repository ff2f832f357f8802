//! Names of segments, and the list of them in a directory. What is in a segment is not looked at.

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{Error, Result};

/// One segment file by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number; rises by one from file to file.
    pub sequence: u64,
    /// Index of the first entry that was written to it.
    pub first_index: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    pub(super) fn new(dir: &Path, sequence: u64, first_index: u64) -> Segment {
        let path = dir.join(format!("{sequence:016x}-{first_index:016x}.wal"));
        Segment { sequence, first_index, path }
    }

    /// The segment with this file name; `None` for any other file.
    pub fn from_path(path: &Path) -> Option<Segment> {
        let stem = path.file_name()?.to_str()?.strip_suffix(".wal")?;
        let (sequence, first_index) = stem.split_once('-')?;
        let number = |text: &str| {
            let exact = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            exact.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (sequence, first_index) = (number(sequence)?, number(first_index)?);
        Some(Segment { sequence, first_index, path: path.to_owned() })
    }
}

/// The segments of a log directory in order; other files are passed over.
///
/// Fails with `NoSegments` where there is none, and where one is missing between two others.
pub fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Segment>> {
    let names = disk.list(dir).map_err(Error::io("list", dir))?;
    let mut segments: Vec<Segment> =
        names.iter().filter_map(|path| Segment::from_path(path)).collect();
    segments.sort_by_key(|segment| segment.sequence);
    if segments.is_empty() {
        return Err(Error::NoSegments { path: dir.to_owned() });
    }
    for pair in segments.windows(2) {
        if pair[1].sequence != pair[0].sequence.wrapping_add(1) {
            let what = format!("the segment before this one, number {:x}, is missing", {
                pair[1].sequence.wrapping_sub(1)
            });
            return Err(Error::damaged(&pair[1].path, 0, what));
        }
    }
    Ok(segments)
}
