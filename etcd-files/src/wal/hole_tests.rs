//! Tests of what stands behind a tear: a crash's is repaired, whatever it lost; one in records that had been synced is not.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_proto::{raftpb, walpb};

use super::*;
use crate::disk::{Disk, OsDisk};

const OPTIONS: Options = Options { segment_bytes: 128 << 10, prepare_ahead: false };
const SECTOR: usize = 512;

fn disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

/// One batch as the log writers of etcd and of this server make it: entries, then maybe a hard state; synced where it has
/// an entry.
#[derive(Clone, Debug)]
struct Batch {
    sizes: Vec<usize>,
    /// How far behind the last entry the commit index of the hard state is.
    commit: Option<u64>,
}

fn batches(count: Range<usize>) -> impl Strategy<Value = Vec<Batch>> {
    let batch = (prop::collection::vec(0..900usize, 0..4), prop::option::of(0..3u64))
        .prop_map(|(sizes, commit)| Batch { sizes, commit });
    prop::collection::vec(batch, count)
}

/// A log of such batches, and where in its only segment everything is.
struct Log {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    segment: PathBuf,
    /// The bytes of each batch.
    places: Vec<Range<usize>>,
    /// The places of the entries of each batch.
    entries: Vec<Vec<EntryRef>>,
}

fn write(batches: &[Batch]) -> Log {
    // In memory, where there is room: hundreds of logs are synced at every batch.
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = temp.path().join("wal");
    let mut writer = Writer::create(disk(), &dir, walpb::Metadata::default(), OPTIONS).unwrap();
    let segment = writer.segments()[0].path.clone();
    let (mut index, mut start) = (0, end_of(&segment));
    let (mut places, mut entries) = (Vec::new(), Vec::new());
    for batch in batches {
        let mut refs = Vec::new();
        for size in &batch.sizes {
            index += 1;
            // No data that is zero by itself, and some that looks like a length.
            let data: Bytes = (0..*size).map(|at| [1, 0, 0x84][at % 3] | index as u8).collect();
            refs.push(writer.append(&EntryParts {
                index,
                term: 1,
                data: &data,
                ..Default::default()
            }));
        }
        if let Some(behind) = batch.commit {
            let commit = Some(index.saturating_sub(behind));
            let state = raftpb::HardState { term: Some(1), commit, ..Default::default() };
            writer.append_hard_state(&state);
        }
        writer.write().unwrap();
        if !batch.sizes.is_empty() {
            writer.sync().unwrap();
        }
        let end = end_of(&segment);
        places.push(start..end);
        entries.push(refs);
        start = end;
    }
    Log { _temp: temp, dir, segment, places, entries }
}

/// Where the records of a segment end.
fn end_of(segment: &Path) -> usize {
    let mut reader = Reader::open(&disk(), segment.parent().unwrap()).unwrap();
    while reader.next_record().unwrap().is_some() {}
    reader.tail().offset as usize
}

/// Zeroes one sector that has records in it.
fn lose_sector(segment: &Path, sector: usize) {
    let mut bytes = fs::read(segment).unwrap();
    bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
    fs::write(segment, bytes).unwrap();
}

fn open(dir: &Path) -> crate::Result<(Writer, Replay)> {
    Writer::open(disk(), dir, OPTIONS)
}

/// Batches of two entries and their commit.
fn plain(count: usize) -> Log {
    write(&vec![Batch { sizes: vec![300, 300], commit: Some(0) }; count])
}

/// A sector lost in the middle of acknowledged records is refused, with the tear and its proof, and the file is left as it was;
/// who only reads may read what is left.
#[test]
fn a_hole_is_refused_and_not_repaired() {
    let log = plain(10);
    let sector = log.places[4].start / SECTOR + 1;
    lose_sector(&log.segment, sector);
    let was = fs::read(&log.segment).unwrap();
    let error = open(&log.dir).unwrap_err();
    assert!(error.is_damaged(), "{error}");
    assert!(error.to_string().contains("not torn by a crash"), "{error}");
    assert_eq!(fs::read(&log.segment).unwrap(), was);
    assert_eq!(disk().list(&log.dir).unwrap().len(), 1, "nothing is put aside");
    let mut reader = Reader::open(&disk(), &log.dir).unwrap();
    let replay = Replay::read_to_hole(&mut reader).unwrap();
    let hole = replay.hole.clone().unwrap();
    let lost = sector * SECTOR;
    assert!((log.places[4].start..=lost).contains(&(hole.offset as usize)), "{hole:?}");
    assert!(hole.proof as usize >= log.places[5].start, "{hole:?}");
    assert!((8..10).contains(&replay.last_index()), "{}", replay.last_index());
}

/// Any sectors of the last batch may be lost by a crash, those of its entries too while its hard state, which commits them, is
/// there; so may the hard states before it that were not worth a sync.
#[test]
fn a_tear_in_the_last_batch_is_repaired() {
    let plain = Batch { sizes: vec![300], commit: Some(0) };
    let unsynced = Batch { sizes: Vec::new(), commit: Some(0) };
    let last = Batch { sizes: vec![700, 700, 400, 100], commit: Some(0) };
    let log = write(&[&[plain.clone(), plain][..], &vec![unsynced; 30], &[last]].concat());
    let (from, end) = (log.places[1].end, log.places[32].end);
    let sectors: Vec<usize> = (from / SECTOR..end.div_ceil(SECTOR)).collect();
    let whole = fs::read(&log.segment).unwrap();
    for lost in 0..1_u32 << sectors.len() {
        let mut bytes = whole.clone();
        for (n, sector) in sectors.iter().enumerate() {
            if lost >> n & 1 == 1 {
                bytes[(sector * SECTOR).max(from)..(sector + 1) * SECTOR].fill(0);
            }
        }
        fs::write(&log.segment, bytes).unwrap();
        let mut reader = Reader::open(&disk(), &log.dir).unwrap();
        let replay = Replay::read(&mut reader).unwrap_or_else(|error| panic!("{lost:b}: {error}"));
        assert!((2..=6).contains(&replay.last_index()), "{lost:b}: {}", replay.last_index());
        assert_eq!(lost == 0, replay.last_index() == 6, "{lost:b}");
    }
    open(&log.dir).unwrap();
}

/// A value that holds a piece of a log is no proof while the record around it is there.
#[test]
fn a_log_within_a_value_is_no_proof() {
    let inner = plain(6);
    let bytes = fs::read(&inner.segment).unwrap();
    let data = [&[b'x'; 2048], &bytes[..inner.places[5].end]].concat();
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("wal");
    let mut writer = Writer::create(disk(), &dir, walpb::Metadata::default(), OPTIONS).unwrap();
    let segment = writer.segments()[0].path.clone();
    let at = writer.append(&EntryParts { index: 1, term: 1, data: &data, ..Default::default() });
    writer.write().unwrap();
    drop(writer);
    lose_sector(&segment, at.position.offset as usize / SECTOR + 1);
    let (_, replay) = open(&dir).unwrap();
    assert!(replay.repair.is_some());
    assert_eq!(replay.last_index(), 0);
}

/// Lost at the end of a closed segment, behind which there is an empty one, is lost all the same.
#[test]
fn a_hole_before_an_empty_segment_is_refused() {
    let log = plain(10);
    let end = log.places[9].end;
    let file = fs::OpenOptions::new().write(true).open(&log.segment).unwrap();
    file.set_len(end as u64).unwrap();
    fs::write(log.dir.join("0000000000000001-0000000000000015.wal"), [0; 4096]).unwrap();
    assert_eq!(open(&log.dir).unwrap().1.last_index(), 20);
    fs::write(log.dir.join("0000000000000001-0000000000000015.wal"), [0; 4096]).unwrap();
    // From a record's first byte on, so that it looks like the end.
    let mut bytes = fs::read(&log.segment).unwrap();
    let entry = log.entries[8][0].position;
    bytes[entry.offset as usize..entry.end() as usize].fill(0);
    fs::write(&log.segment, bytes).unwrap();
    let error = open(&log.dir).unwrap_err();
    assert!(error.to_string().contains("not torn by a crash"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever sectors of the unsynced end a power loss takes, the log opens with all that was synced.
    #[test]
    fn no_crash_is_taken_for_a_hole(batches in batches(1..14), lost in any::<u64>(), cut in prop::option::of(0.0..1.0f64)) {
        let log = write(&batches);
        // The last batch was on its way to the disk, and so was all since the last sync before it.
        let earlier = &batches[..batches.len() - 1];
        let synced = earlier.iter().rposition(|batch| !batch.sizes.is_empty());
        let unsynced = synced.map_or(log.places[0].start, |at| log.places[at].end);
        let mut bytes = fs::read(&log.segment).unwrap();
        let end = log.places.last().unwrap().end;
        for (n, sector) in (unsynced / SECTOR..end.div_ceil(SECTOR)).enumerate() {
            if lost >> (n % 64) & 1 == 1 {
                bytes[(sector * SECTOR).max(unsynced)..(sector + 1) * SECTOR].fill(0);
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(unsynced + ((end - unsynced) as f64 * cut) as usize);
        }
        fs::write(&log.segment, &bytes).unwrap();
        let (_, replay) = open(&log.dir).unwrap();
        let synced = log.entries[..synced.map_or(0, |at| at + 1)].concat().len();
        prop_assert!(replay.last_index() >= synced as u64, "{} of {synced}", replay.last_index());
    }

    /// One lost sector is never overlooked where an entry, a hard state and one more record follow in whole.
    #[test]
    fn every_hole_with_proof_behind_it_is_refused(batches in batches(6..30), at in 0.0..1.0f64) {
        let log = write(&batches);
        let (from, to) = (log.places[0].start, log.places.last().unwrap().end);
        let sector = ((from as f64 + (to - from) as f64 * at) as usize) / SECTOR;
        let behind = (sector + 1) * SECTOR;
        // The first frame behind the sector may be half in it, and the first whole one is only known by its successor.
        let mut whole = (0..batches.len()).filter(|at| log.places[*at].start >= behind + 1024);
        let entry = whole.find(|at| !batches[*at].sizes.is_empty());
        let state = entry.and_then(|entry| (entry..batches.len()).find(|at| batches[*at].commit.is_some()));
        let has_proof = state.is_some_and(|state| log.places[state].end < to);
        prop_assume!(has_proof && behind > from);
        lose_sector(&log.segment, sector);
        let error = open(&log.dir).map(|(_, replay)| replay.last_index()).unwrap_err();
        prop_assert!(error.is_damaged(), "{}", error);
    }
}
