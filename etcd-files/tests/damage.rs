//! Files of real etcd, cut off and with flipped bits: refused with the place, never taken for something else, never a panic.

// A test that meets an error has failed; helpers around the tests are no different.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::snapfile::SnapshotFile;
use quorate_etcd_files::wal::{Reader, Replay};
use quorate_etcd_files::{Error, snap};
use quorate_proto::snappb;

const VERSIONS: [&str; 3] = ["3.4.23", "3.5.1", "3.7.1"];

/// A file of the fuzzers' corpus. Those of `wal` and `snap` begin with a byte for the fuzzer.
fn corpus(kind: &str, version: &str) -> Vec<u8> {
    let path = format!("{}/../fuzz/corpus/{kind}/etcd-{version}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    if ["wal", "snap"].contains(&kind) { bytes[1..].to_vec() } else { bytes }
}

fn with_bit_flipped(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << bit;
    flipped
}

/// Wants damage to be told with a place in the file.
fn offset(error: &Error, length: usize) -> u64 {
    match error {
        Error::Damaged { offset, .. }
        | Error::WrongDigest { offset, .. }
        | Error::NoDigest { offset, .. } => {
            assert!(*offset <= length as u64, "{error}");
            assert!(error.to_string().contains(&format!("offset {offset}")), "{error}");
            *offset
        }
        other => panic!("no place is told: {other}"),
    }
}

/// A log's only segment in a folder of its own.
struct Log {
    _folder: tempfile::TempDir,
    dir: PathBuf,
    segment: PathBuf,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let dir = folder.path().join("wal");
        std::fs::create_dir(&dir).unwrap();
        let segment = dir.join("0000000000000000-0000000000000000.wal");
        Log { _folder: folder, dir, segment }
    }

    fn read(&self, bytes: &[u8]) -> Result<(Replay, bool), Error> {
        std::fs::write(&self.segment, bytes).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let mut reader = Reader::open(&disk, &self.dir)?;
        let replay = Replay::read(&mut reader)?;
        Ok((replay, reader.tail().is_torn))
    }
}

/// What a log says, wherever its records are.
fn content(replay: &Replay) -> impl PartialEq + std::fmt::Debug {
    let terms: Vec<u64> = replay.entries.iter().map(|entry| entry.term).collect();
    (replay.metadata, replay.hard_state, replay.snapshots.clone(), replay.first_index, terms)
}

/// Where the records begin.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while let Some(field) = bytes.get(at..at + 8) {
        starts.push(at);
        let field = u64::from_le_bytes(field.try_into().unwrap());
        let length = usize::try_from(field & ((1 << 56) - 1)).unwrap();
        at += 8 + length.next_multiple_of(8);
    }
    starts
}

/// Every bit of a log counts: one that is flipped is found, and the record in which it is is named.
#[test]
fn flipped_bits_in_a_log_are_found() {
    let log = Log::new();
    for version in VERSIONS {
        let bytes = corpus("wal", version);
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let whole = log.read(&bytes).unwrap().0;
        let starts = frame_starts(&bytes[..used]);
        for at in 0..used {
            let flipped = with_bit_flipped(&bytes, at, at % 8);
            match log.read(&flipped) {
                Err(error) => {
                    let told = offset(&error, bytes.len());
                    // A changed length may only be noticed where the record behind it should begin.
                    let next = starts.iter().find(|start| **start > at).unwrap_or(&used);
                    assert!(told <= *next as u64 + 8, "{version} at {at}: {error}");
                }
                // Padding, its flag on the last record and the reserved bits of a length mean nothing.
                Ok((replay, is_torn)) => {
                    assert!(!is_torn, "{version} at {at}");
                    assert_eq!(content(&replay), content(&whole), "{version} at {at}");
                }
            }
        }
    }
}

/// A log that ends early is an earlier log, or one whose last write was cut short, or damaged at a place that is told.
#[test]
fn logs_that_end_early_are_earlier_logs() {
    let log = Log::new();
    for version in VERSIONS {
        let bytes = corpus("wal", version);
        let whole = log.read(&bytes).unwrap().0;
        for length in 0..bytes.len() {
            match log.read(&bytes[..length]) {
                Ok((replay, _)) => {
                    let n = replay.entries.len();
                    assert_eq!(replay.entries[..], whole.entries[..n], "{version} cut at {length}");
                }
                Err(error) => assert!(offset(&error, bytes.len()) <= length as u64),
            }
        }
    }
}

/// The image, the digest behind it, and a `.snap` file: no bit can change unseen.
#[test]
fn digests_cover_every_bit() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("file");
    let bytes = corpus("trailer", "3.5.1");
    for at in (0..bytes.len()).step_by(37).chain(bytes.len() - 32..bytes.len()) {
        std::fs::write(&path, with_bit_flipped(&bytes, at, at % 8)).unwrap();
        let error = SnapshotFile::open(&path).unwrap().verify_digest().unwrap_err();
        assert!(error.to_string().starts_with("expected sha256"), "{error}");
        assert_eq!(offset(&error, bytes.len()), bytes.len() as u64 - 32, "where the digest is");
    }
    for length in (0..bytes.len()).step_by(61) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = SnapshotFile::open(&path).unwrap().verify_digest().unwrap_err();
        // What ends as a file with a digest does is taken for one; otherwise it is where the file ends.
        let told = offset(&error, length);
        assert!(told == length as u64 || told + 32 == length as u64, "{error}");
    }
    for version in VERSIONS {
        let bytes = corpus("snap", version);
        let whole = snap::decode(bytes.clone().into(), Path::new("x.snap")).unwrap();
        // The checked bytes are the last field.
        let data = snappb::Snapshot::decode(&bytes[..]).unwrap().data.unwrap();
        let begin = bytes.len() - data.len();
        for at in 0..bytes.len() {
            let flipped = with_bit_flipped(&bytes, at, at % 8);
            match snap::decode(flipped.into(), Path::new("x.snap")) {
                Err(error) => {
                    let told = offset(&error, bytes.len()) as usize;
                    // In the data only the checksum can tell, and it tells where the data begins; before it, the field is
                    // named that makes no sense.
                    assert!(
                        told == begin || at < begin && told <= bytes.len(),
                        "{version}: {error}"
                    );
                }
                // The last byte of the checksum's number has bits that mean nothing.
                Ok(snapshot) => assert!(snapshot == whole, "{version} at {at}"),
            }
            let cut = bytes[..at].to_vec();
            offset(&snap::decode(cut.into(), Path::new("x.snap")).unwrap_err(), at);
        }
    }
}

/// A database has no checksums but those of its meta pages. A flipped bit in anything that holds its tree together is found
/// with the page's place; in a key or a value it is for the digest to find. Cut off, it is refused.
#[test]
fn databases_are_held_together() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("db");
    for version in VERSIONS {
        let bytes = corpus("bbolt", version);
        let mut found = 0;
        for at in (0..bytes.len()).step_by(3) {
            std::fs::write(&path, with_bit_flipped(&bytes, at, at % 8)).unwrap();
            let Ok(database) = Database::open(&path) else {
                found += 1;
                continue;
            };
            match database.check() {
                Ok(check) if check.count == 0 => {}
                Ok(check) => {
                    found += 1;
                    assert!(check.findings.iter().all(|f| f.offset <= bytes.len() as u64));
                }
                Err(error) => {
                    found += 1;
                    offset(&error, bytes.len());
                }
            }
        }
        assert!(found > 50, "{version}: only {found} found");
        for length in (0..bytes.len()).step_by(127) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            offset(&Database::open(&path).unwrap_err(), bytes.len());
        }
    }
}
