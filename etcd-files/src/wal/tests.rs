//! Tests of the log: what was written is read back, through overwrites, cuts, crashes and flipped bits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use quorate_proto::{raftpb, walpb};

use super::*;
use crate::disk::{Disk, OsDisk};

const SMALL: Options = Options { segment_bytes: 4096, prepare_ahead: false };

fn disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

fn metadata() -> walpb::Metadata {
    walpb::Metadata { node_id: Some(7), cluster_id: Some(9) }
}

fn entry(index: u64, term: u64, data: &[u8]) -> raftpb::Entry {
    raftpb::Entry {
        r#type: Some(0),
        term: Some(term),
        index: Some(index),
        data: (!data.is_empty()).then(|| Bytes::copy_from_slice(data)),
        leader_member_id: (index.is_multiple_of(3)).then_some(7),
        membership: (index.is_multiple_of(5)).then(|| Bytes::from_static(b"{}")),
    }
}

fn new_log(options: Options) -> (tempfile::TempDir, PathBuf, Writer) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("wal");
    let writer = Writer::create(disk(), &dir, metadata(), options).unwrap();
    (temp, dir, writer)
}

/// All entries in force and the replay they came from, read without repair.
fn read(dir: &Path) -> crate::Result<(Replay, Vec<raftpb::Entry>)> {
    let replay = Replay::read(&mut Reader::open(&disk(), dir)?)?;
    let entries = EntryReader::open(&disk(), dir)?.read_run(&replay.entries)?;
    Ok((replay, entries))
}

/// The first segment begins with the three records etcd writes, byte for byte.
#[test]
fn a_new_log_starts_as_etcd_starts_it() {
    let (_temp, dir, writer) = new_log(SMALL);
    assert_eq!(writer.segments()[0].path, dir.join("0000000000000000-0000000000000000.wal"));
    let bytes = fs::read(&writer.segments()[0].path).unwrap();
    assert_eq!(bytes.len(), 4096);
    assert_eq!(&bytes[..16], b"\x04\0\0\0\0\0\0\x84\x08\x04\x10\0\0\0\0\0");
    let mut reader = Reader::open(&disk(), &dir).unwrap();
    let mut records = Vec::new();
    while let Some((record, _)) = reader.next_record().unwrap() {
        records.push(record);
    }
    let snapshot = walpb::Snapshot { index: Some(0), term: Some(0), ..Default::default() };
    assert_eq!(records, [Record::Crc(0), Record::Metadata(metadata()), Record::Snapshot(snapshot)]);
}

/// Nothing buffered is visible to a reader, everything written is.
#[test]
fn a_reader_beside_the_writer_sees_whole_writes_only() {
    let (_temp, dir, mut writer) = new_log(SMALL);
    writer.append_entry(&entry(1, 1, b"a"));
    writer.append_entry(&entry(2, 1, b"b"));
    assert_eq!(read(&dir).unwrap().1, []);
    writer.write().unwrap();
    assert_eq!(read(&dir).unwrap().1, [entry(1, 1, b"a"), entry(2, 1, b"b")]);
}

/// While a writer writes, cuts and has segments made ahead, readers find whole records and never a torn tail: other
/// programs may repair a log that looks torn.
#[test]
fn readers_beside_a_busy_writer_find_no_torn_tail() {
    let options = Options { segment_bytes: 256 << 10, prepare_ahead: true };
    let (_temp, dir, mut writer) = new_log(options);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let data: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
            for index in 1..=3000 {
                let size = (index as usize * 37) % data.len();
                let data = &data[..size];
                writer.append(&EntryParts { index, term: 1, data, ..Default::default() });
                if index % 3 == 0 {
                    writer.write().unwrap();
                }
                if index % 60 == 0 {
                    writer.sync().unwrap();
                }
            }
            is_done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut last = 0;
        while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
            let mut reader = Reader::open(&disk(), &dir).unwrap();
            let replay = Replay::read(&mut reader).unwrap();
            assert!(!reader.tail().is_torn);
            assert!(replay.last_index() >= last && replay.last_index().is_multiple_of(3));
            last = replay.last_index();
        }
    });
    assert_eq!(read(&dir).unwrap().1.len(), 3000);
}

/// The filler thread and a cut under it leave a log that reads back whole, and no temporary file.
#[test]
fn segments_made_ahead_are_used() {
    let options = Options { segment_bytes: 64 << 10, prepare_ahead: true };
    let (_temp, dir, mut writer) = new_log(options);
    let data = vec![0; 1000];
    for index in 1..=300 {
        writer.append(&EntryParts { index, term: 1, data: &data, ..Default::default() });
        writer.write().unwrap();
        writer.sync().unwrap();
    }
    assert_eq!(writer.segments().len(), 5);
    let (replay, entries) = read(&dir).unwrap();
    assert_eq!((replay.last_index(), entries.len()), (300, 300));
    drop(writer);
    let others = disk().list(&dir).unwrap();
    assert!(others.iter().all(|path| path.extension().unwrap() == "wal"), "{others:?}");
}

/// Purging stops at the segment that holds the index, and at the number of segments to keep.
#[test]
fn purge_keeps_what_is_needed() {
    let (_temp, dir, mut writer) = new_log(SMALL);
    for index in 1..=50 {
        writer.append_entry(&entry(index, 1, &[b'x'; 500]));
        writer.write().unwrap();
        writer.sync().unwrap();
    }
    let count = writer.segments().len();
    assert!(count >= 6);
    assert_eq!(writer.purge(51, count).unwrap(), 0);
    let second = writer.segments()[1].first_index;
    assert_eq!(writer.purge(second - 1, 1).unwrap(), 0);
    assert_eq!(writer.purge(second, 1).unwrap(), 1);
    writer.purge(51, 2).unwrap();
    assert_eq!(writer.segments().len(), 2);
    let first = writer.segments()[0].first_index;
    drop(writer);
    let (mut writer, replay) = Writer::open(disk(), &dir, SMALL).unwrap();
    assert!(replay.is_purged);
    assert_eq!((replay.first_index, replay.last_index()), (first, 50));
    writer.append_entry(&entry(51, 1, b"on"));
    writer.write().unwrap();
    assert_eq!(read(&dir).unwrap().0.last_index(), 51);
}

/// A snapshot record beyond the log empties it, and the log goes on behind it.
#[test]
fn a_snapshot_beyond_the_log_restarts_it() {
    let (_temp, dir, mut writer) = new_log(SMALL);
    writer.append_entry(&entry(1, 1, b"a"));
    let snapshot = walpb::Snapshot { index: Some(100), term: Some(3), ..Default::default() };
    writer.append_snapshot(&snapshot);
    writer.append_entry(&entry(101, 3, b"b"));
    writer.append_hard_state(&raftpb::HardState { commit: Some(100), ..Default::default() });
    writer.write().unwrap();
    let (replay, entries) = read(&dir).unwrap();
    assert_eq!((replay.first_index, &entries[..]), (101, &[entry(101, 3, b"b")][..]));
    assert_eq!(replay.last_snapshot(), Some(&snapshot));
}

/// A log with a hole is refused, naming the segment that is missing.
#[test]
fn a_segment_missing_in_the_middle_is_damage() {
    let (_temp, dir, mut writer) = new_log(SMALL);
    for index in 1..=40 {
        writer.append_entry(&entry(index, 1, &[b'x'; 500]));
        writer.write().unwrap();
        writer.sync().unwrap();
    }
    fs::remove_file(&writer.segments()[2].path).unwrap();
    let error = Writer::open(disk(), &dir, SMALL).unwrap_err();
    assert!(error.is_damaged(), "{error}");
    assert!(error.to_string().contains("number 2, is missing"), "{error}");
}

/// A flipped bit in a record with others behind it is refused with file and offset, not repaired away.
#[test]
fn damage_before_the_tail_is_refused() {
    let (_temp, dir, mut writer) = new_log(SMALL);
    let refs: Vec<_> = (1..=3).map(|index| writer.append_entry(&entry(index, 1, b"abc"))).collect();
    writer.write().unwrap();
    let path = writer.segments()[0].path.clone();
    drop(writer);
    let offset = refs[1].position.offset as usize;
    for at in [0, 1, 12, 20] {
        let mut bytes = fs::read(&path).unwrap();
        bytes[offset + at] ^= 0x10;
        let copy = dir.parent().unwrap().join(format!("copy{at}"));
        fs::create_dir(&copy).unwrap();
        fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
        let error = Writer::open(disk(), &copy, SMALL).unwrap_err();
        assert!(error.is_damaged(), "{error}");
        assert!(error.to_string().contains(&format!("at offset {offset}")), "byte {at}: {error}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8, usize),
    Overwrite(u64, usize),
    Commit,
    Sync,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..5u8, 0..900usize).prop_map(|(count, size)| Step::Append(count, size)),
        1 => (1..10u64, 0..300usize).prop_map(|(back, size)| Step::Overwrite(back, size)),
        1 => Just(Step::Commit),
        3 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// A log under random steps, and the states a crash may fall back to.
struct Run {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    /// Entries after each record, oldest first; the last is the present.
    states: Vec<Vec<raftpb::Entry>>,
    /// How many of `states` are synced.
    synced: usize,
    /// End of the synced bytes in the last segment.
    synced_bytes: u64,
    last_segment: PathBuf,
}

fn run(steps: &[Step]) -> Run {
    let (temp, dir, mut writer) = new_log(SMALL);
    let mut states = vec![Vec::new()];
    let (mut synced, mut synced_ref) = (1, None);
    let mut last_ref = None;
    let mut term = 1;
    for step in steps {
        let mut entries = states.last().unwrap().clone();
        let mut push = |writer: &mut Writer, entries: &mut Vec<raftpb::Entry>, term, size| {
            let fill = (entries.len() % 2 * 97) as u8;
            let new = entry(entries.len() as u64 + 1, term, &vec![fill; size]);
            last_ref = Some(writer.append_entry(&new));
            entries.push(new);
            states.push(entries.clone());
        };
        match step {
            Step::Append(count, size) => {
                for _ in 0..*count {
                    push(&mut writer, &mut entries, term, *size);
                }
            }
            Step::Overwrite(back, size) => {
                term += 1;
                entries.truncate(entries.len().saturating_sub(*back as usize));
                push(&mut writer, &mut entries, term, *size);
            }
            Step::Commit => {
                writer.append_hard_state(&raftpb::HardState {
                    term: Some(term),
                    commit: Some(entries.len() as u64),
                    ..Default::default()
                });
                // It ends the batch.
                writer.write().unwrap();
                writer.sync().unwrap();
                (synced, synced_ref) = (states.len(), last_ref);
            }
            Step::Sync => {
                writer.write().unwrap();
                writer.sync().unwrap();
                (synced, synced_ref) = (states.len(), last_ref);
            }
            Step::Reopen => {
                writer.write().unwrap();
                drop(writer);
                let (opened, replay) = Writer::open(disk(), &dir, SMALL).unwrap();
                assert!(replay.repair.is_none());
                let found = opened.entry_reader().read_run(&replay.entries).unwrap();
                assert_eq!(&found, states.last().unwrap());
                writer = opened;
                (synced, synced_ref) = (states.len(), last_ref);
            }
        }
    }
    writer.write().unwrap();
    let last = writer.segments().last().unwrap().clone();
    let in_last = synced_ref.filter(|r| u64::from(r.position.segment) == last.sequence);
    let synced_bytes = in_last.map_or(48, |r| r.position.end());
    Run { _temp: temp, dir, states, synced, synced_bytes, last_segment: last.path }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is appended, overwritten, cut and reopened is read back.
    #[test]
    fn what_is_written_is_read(steps in steps()) {
        let run = run(&steps);
        prop_assert_eq!(&read(&run.dir).unwrap().1, run.states.last().unwrap());
    }

    /// After a crash that lost a sector or the end of what was not synced, the log opens at a whole state that
    /// holds all that was synced, and takes records again.
    #[test]
    fn a_torn_tail_costs_only_what_was_not_synced(steps in steps(), at in 0.0..1.0f64, cut: bool) {
        let run = run(&steps);
        let mut bytes = fs::read(&run.last_segment).unwrap();
        let from = run.synced_bytes as usize;
        let at = from + ((bytes.len().saturating_sub(from)) as f64 * at) as usize;
        if cut {
            bytes.truncate(at);
        } else if at < bytes.len() {
            let sector = at / 512 * 512;
            let end = (sector + 512).min(bytes.len());
            bytes[sector.max(from)..end].fill(0);
        }
        fs::write(&run.last_segment, &bytes).unwrap();
        let (mut writer, replay) = Writer::open(disk(), &run.dir, SMALL).unwrap();
        let found = writer.entry_reader().read_run(&replay.entries).unwrap();
        prop_assert!(run.states[run.synced - 1..].contains(&found), "{} entries", found.len());
        prop_assert_eq!(replay.repair.is_some(), disk().list(&run.dir).unwrap().iter().any(
            |path| path.extension().unwrap() == "broken"));
        let next = entry(found.len() as u64 + 1, 99, b"after the crash");
        writer.append_entry(&next);
        writer.write().unwrap();
        let (again, entries) = read(&run.dir).unwrap();
        prop_assert_eq!(again.last_index(), next.index());
        prop_assert_eq!(entries.last(), Some(&next));
    }

    /// Any bytes at all in a segment are read without a panic.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), zeros in 0..3usize) {
        let temp = tempfile::tempdir().unwrap();
        let name = "0000000000000000-0000000000000000.wal";
        let mut bytes = bytes;
        // Lengths that are small enough to be followed.
        bytes.iter_mut().skip(zeros).take(7).for_each(|byte| *byte = 0);
        fs::write(temp.path().join(name), bytes).unwrap();
        let _ = read(temp.path());
        let _ = Writer::open(disk(), temp.path(), SMALL);
    }

    /// A flipped bit gives an error, or a log cut at that point; never a panic, never an entry that was not written.
    #[test]
    fn flipped_bits_are_found(steps in steps(), at in 0.0..1.0f64, bit in 0..8u32) {
        let run = run(&steps);
        let segments = list_segments(&OsDisk, &run.dir).unwrap();
        let path = &segments[(segments.len() as f64 * at) as usize].path;
        let mut bytes = fs::read(path).unwrap();
        let at = (bytes.len() as f64 * (at * 7.0).fract()) as usize;
        bytes[at] ^= 1 << bit;
        fs::write(path, &bytes).unwrap();
        if let Ok((_, entries)) = read(&run.dir) {
            prop_assert!(run.states.contains(&entries), "{} entries", entries.len());
        }
        let _ = Writer::open(disk(), &run.dir, SMALL);
    }
}
