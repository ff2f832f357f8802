//! Any bytes as a write-ahead log of one or two segments: read record by record, folded, every entry read again.
#![no_main]

mod memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use memory::{MemoryDisk, MemoryFile};
use prost::Message;
use quorate_etcd_files::decode_request;
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::wal::{EntryReader, Reader, Replay};
use quorate_proto::walpb;

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let bytes = if mode & 1 == 0 { mend(data) } else { data.to_vec() };
    // A second segment begins somewhere in the middle.
    let cut = if mode & 2 == 0 { bytes.len() } else { bytes.len() * usize::from(mode >> 2) / 64 };
    let (first, second) = bytes.split_at(cut.min(bytes.len()));
    let dir = Path::new("wal");
    let name = |n: usize, first: u64| -> PathBuf { dir.join(format!("{n:016x}-{first:016x}.wal")) };
    let mut files = vec![(name(0, 0), Arc::new(MemoryFile(first.to_vec())))];
    if mode & 2 != 0 {
        files.push((name(1, 2), Arc::new(MemoryFile(second.to_vec()))));
    }
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk(files));
    let Ok(mut reader) = Reader::open(&disk, dir) else { return };
    let Ok(replay) = Replay::read(&mut reader) else { return };
    let entries = EntryReader::open(&disk, dir).expect("the segments were listed before");
    let run = entries.read_run(&replay.entries).expect("what was read once is read again");
    assert_eq!(run.len(), replay.entries.len());
    for (index, entry) in (replay.first_index..).zip(&run) {
        assert_eq!(entry.index(), index);
    }
    // Not all of them: a password in each would be hashed, which takes its time on purpose.
    for entry in run.into_iter().take(2) {
        let _ = decode_request(entry.data.unwrap_or_default());
    }
    let _ = replay.last_snapshot();
});

/// Sets the checksum of every record that can be read at all, as the chain wants it: no fuzzer guesses CRCs.
fn mend(data: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut crc) = (Vec::new(), data, 0);
    while let Some((field, behind)) = rest.split_first_chunk::<8>() {
        let field = u64::from_le_bytes(*field);
        let length = usize::try_from(field & 0x00ff_ffff_ffff_ffff).unwrap_or(usize::MAX);
        let padding = if field >> 63 == 1 { (field >> 56 & 7) as usize } else { 0 };
        let Some(body) = behind.get(..length) else { break };
        let Ok(mut record) = walpb::Record::decode(body) else { break };
        match record.r#type {
            4 => crc = if out.is_empty() { 0 } else { crc },
            _ => crc = crc32c::crc32c_append(crc, record.data.as_deref().unwrap_or_default()),
        }
        record.crc = crc;
        if record.data.as_ref().is_some_and(Bytes::is_empty) {
            record.data = None;
        }
        let body = record.encode_to_vec();
        let pad = (8 - body.len() % 8) % 8;
        let flag = if pad == 0 { 0 } else { (0x80 | pad as u64) << 56 };
        out.extend((body.len() as u64 | flag).to_le_bytes());
        out.extend(body);
        out.resize(out.len() + pad, 0);
        rest = behind.get(length + padding..).unwrap_or_default();
    }
    out.extend(rest);
    out
}
