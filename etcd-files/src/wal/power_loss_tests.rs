//! Tests of the log on a disk that loses what was not synced: what a sync covered is there, whatever else is.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_proto::{raftpb, walpb};

use super::*;
use crate::disk::Disk;
use crate::lossy_disk::{LossyDisk, PowerLoss};

const DIR: &str = "/data/member/wal";

/// A disk with the directory that the log is to be made in.
fn new_disk() -> LossyDisk {
    let disk = LossyDisk::default();
    disk.create_dir_all(Path::new("/data/member")).unwrap();
    for path in ["/data/member", "/data", "/"] {
        disk.sync_dir(Path::new(path)).unwrap();
    }
    disk
}

fn log(disk: &LossyDisk, options: Options) -> crate::Result<Writer> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Writer::create(disk, Path::new(DIR), walpb::Metadata::default(), options)
}

fn entry(index: u64, term: u64, size: usize) -> raftpb::Entry {
    let data = (size > 0).then(|| Bytes::from(vec![index as u8; size]));
    let (index, term) = (Some(index), Some(term));
    raftpb::Entry { r#type: Some(0), term, index, data, ..Default::default() }
}

fn commit(index: u64) -> raftpb::HardState {
    raftpb::HardState { term: Some(1), commit: Some(index), ..Default::default() }
}

/// Opens the log after a power loss and returns it with its entries.
fn reopen(disk: &LossyDisk, options: Options) -> (Writer, Replay, Vec<raftpb::Entry>) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (writer, replay) = Writer::open(disk, Path::new(DIR), options).unwrap();
    let entries = writer.entry_reader().read_run(&replay.entries).unwrap();
    (writer, replay, entries)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Round after round of writes, a power loss in each: all that was synced is there, what more is there was
    /// written, the log goes on, and no crash is taken for damage. Batches end with a sync, or with a hard state and a sync.
    #[test]
    fn what_was_synced_survives(
        seed: u64,
        prepare_ahead: bool,
        rounds in prop::collection::vec(
            prop::collection::vec((1..4u64, 0..3000usize, 0..6u8), 1..12), 1..4),
    ) {
        let options = Options { segment_bytes: 16 << 10, prepare_ahead };
        let disk = new_disk();
        let mut writer = log(&disk, options).unwrap();
        let mut present: Vec<raftpb::Entry> = Vec::new();
        for (term, round) in (1..).zip(rounds) {
            // What a crash may leave, oldest first; the first is what is synced.
            let mut states = vec![present.clone()];
            for (back, size, end) in round {
                if back == 3 {
                    present.pop();
                }
                let new = entry(present.len() as u64 + 1, term, size);
                writer.append_entry(&new);
                present.push(new);
                states.push(present.clone());
                if end >= 4 {
                    writer.append_hard_state(&commit(present.len() as u64));
                }
                writer.write().unwrap();
                if end >= 2 {
                    writer.sync().unwrap();
                    states.drain(..states.len() - 1);
                }
                if end % 2 == 1 && end >= 2 {
                    // A commit index that moves on is not worth a sync.
                    writer.append_hard_state(&commit(present.len() as u64));
                    writer.write().unwrap();
                }
            }
            disk.power_loss(PowerLoss::RandomBlocks(seed.wrapping_add(term)));
            drop(writer);
            let (opened, _, found) = reopen(&disk, options);
            prop_assert!(states.contains(&found), "{} entries of {}", found.len(), present.len());
            writer = opened;
            present = found;
        }
    }
}

/// A failed sync poisons the log: what is on disk is unknown, so nothing more is taken.
#[test]
fn a_failed_sync_is_final() {
    let options = Options { segment_bytes: 1 << 20, prepare_ahead: false };
    let disk = new_disk();
    let mut writer = log(&disk, options).unwrap();
    writer.append_entry(&entry(1, 1, 10));
    writer.write().unwrap();
    disk.fail_after(0);
    assert!(matches!(writer.sync().unwrap_err(), crate::Error::Io { .. }));
    disk.heal();
    assert!(matches!(writer.sync().unwrap_err(), crate::Error::Poisoned { .. }));
    assert!(matches!(writer.write().unwrap_err(), crate::Error::Poisoned { .. }));
}

/// A full disk is named as such.
#[test]
fn a_full_disk_is_told() {
    let options = Options { segment_bytes: 64 << 10, prepare_ahead: false };
    let disk = new_disk();
    let mut writer = log(&disk, options).unwrap();
    disk.set_capacity(70 << 10);
    let error = loop {
        writer.append_entry(&entry(1, 1, 4000));
        if let Err(error) = writer.write().and_then(|()| writer.sync()) {
            break error;
        }
    };
    assert!(error.is_disk_full(), "{error}");
    assert!(error.hint().unwrap().starts_with("Free space"));
}

/// A log whose making was cut short by a crash can be made again.
#[test]
fn a_half_made_log_is_not_there() {
    let options = Options { segment_bytes: 64 << 10, prepare_ahead: false };
    for operations in 0..20 {
        let disk = new_disk();
        disk.fail_after(operations);
        let made = log(&disk, options).is_ok();
        disk.heal();
        disk.power_loss(PowerLoss::All);
        if made {
            reopen(&disk, options);
        } else if !disk.exists(Path::new(DIR)) {
            log(&disk, options).unwrap();
            reopen(&disk, options);
        }
    }
}
