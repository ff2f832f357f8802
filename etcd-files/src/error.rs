//! The one error of this crate: what went wrong with which file, where in it, and what to do.
//!
//! Classification methods stand in for matching on texts. Errors of the command line and of restore plans that an
//! operator must see word by word as etcd prints them are in [`crate::datadir`].

use std::io;
use std::path::{Path, PathBuf};

/// Result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The bytes are not what the format allows.
    #[error("{} is damaged at offset {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Byte offset of the first thing that is wrong.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A row that no server can read, in a file whose structure is sound.
    #[error("row {} of bucket {bucket} in {} is damaged: {what}", hex(key), path.display())]
    DamagedRow {
        /// The file.
        path: PathBuf,
        /// The row's bucket.
        bucket: String,
        /// The row's key.
        key: Vec<u8>,
        /// What is wrong with the row.
        what: &'static str,
    },
    /// A snapshot file whose bytes are not those that its digest was made of. The text begins as etcd's does.
    #[error("expected sha256 {}, got {}, digest at offset {offset} of {}", go_bytes(expected), go_bytes(found), path.display())]
    WrongDigest {
        /// The file.
        path: PathBuf,
        /// Byte offset of the digest, which covers everything before it.
        offset: u64,
        /// The digest in the file.
        expected: [u8; 32],
        /// That of the bytes before it.
        found: [u8; 32],
    },
    /// A snapshot file that ends where a digest should be: cut off, or a bare database. The text begins as etcd's does.
    #[error("snapshot missing hash but --skip-hash-check=false, {} ends at offset {offset} without one", path.display())]
    NoDigest {
        /// The file.
        path: PathBuf,
        /// Where it ends.
        offset: u64,
    },
    /// The file is whole, but not of the expected kind or of a version that is not understood.
    #[error("{}: {what}", path.display())]
    Unsupported {
        /// The file or directory.
        path: PathBuf,
        /// What was found instead.
        what: String,
    },
    /// A write-ahead log directory holds no segment.
    #[error("no write-ahead log segment in {}", path.display())]
    NoSegments {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier write or sync failed; what is on disk is unknown until the file is opened anew.
    #[error("write-ahead log in {} failed earlier and takes no more records", path.display())]
    Poisoned {
        /// The log's directory.
        path: PathBuf,
    },
    /// The caller asked for something that the data cannot give; the text is etcd's where etcd has one.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// Wraps an error of the operating system; for use in `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// Says that `path` is wrong at `offset`.
    pub fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Error {
        Error::Damaged { path: path.to_owned(), offset, what: what.into() }
    }

    /// Says that `path` is of another kind or version than expected.
    pub fn unsupported(path: &Path, what: impl Into<String>) -> Error {
        Error::Unsupported { path: path.to_owned(), what: what.into() }
    }

    /// True when bytes on disk are not what they were when written.
    pub fn is_damaged(&self) -> bool {
        use Error::{Damaged, DamagedRow, WrongDigest};
        matches!(self, Damaged { .. } | DamagedRow { .. } | WrongDigest { .. })
    }

    /// True when the file or directory is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Error::NoSegments { .. } => true,
            _ => false,
        }
    }

    /// True when the disk or a quota is full.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// What the operator should do, as a sentence; `None` where the error itself says it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Error::Io { .. } if self.is_disk_full() => {
                Some("Free space on this disk, then start again; nothing acknowledged was lost.")
            }
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("Run as the user that owns the data directory.")
            }
            Error::Io { .. } | Error::Refused(_) => None,
            Error::Damaged { .. } => Some(
                "Keep a copy of the file; remove the member and add it anew, or restore a snapshot.",
            ),
            Error::DamagedRow { .. } => {
                Some("No server starts on it. Take another snapshot, or go on from another member.")
            }
            Error::WrongDigest { .. } => Some(
                "Take another snapshot; only if there is none, restore what is left of this one with --skip-hash-check.",
            ),
            Error::NoDigest { .. } => Some(
                "A copied database has none and needs --skip-hash-check; a saved snapshot that has none was cut off.",
            ),
            Error::Unsupported { .. } => Some(
                "Check that the path is right and that the file was written by etcd 3.4 or newer.",
            ),
            Error::NoSegments { .. } => Some("Check that the path is the directory member/wal."),
            Error::Poisoned { .. } => {
                Some("Look at the first error, repair its cause and restart.")
            }
        }
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As Go prints byte slices: decimal numbers in brackets.
fn go_bytes(bytes: &[u8; 32]) -> String {
    format!("[{}]", bytes.map(|byte| byte.to_string()).join(" "))
}
