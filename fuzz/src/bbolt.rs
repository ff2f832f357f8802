//! Any bytes as a bbolt database: checked, walked, looked up, hashed.
#![no_main]

mod memory;

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use memory::MemoryFile;
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::snapfile;

fuzz_target!(|data: &[u8]| {
    let (length, path) = (data.len() as u64, Path::new("fuzzed"));
    let mended = mend(data.to_vec());
    let Ok(database) = Database::from_file(Arc::new(MemoryFile(mended)), path, length) else {
        return;
    };
    let is_sound = database.check().is_ok_and(|check| check.count == 0);
    let mut walked = Ok(());
    for (_, bucket) in database.buckets().unwrap_or_default() {
        let Ok(rows) = bucket.rows() else { continue };
        for row in rows {
            match row {
                Ok((key, _)) => assert!(!is_sound || bucket.get(&key).is_ok()),
                Err(error) => {
                    walked = Err(error);
                    break;
                }
            }
        }
        let _ = bucket.last();
    }
    // What the check finds nothing wrong with can be read to its end.
    assert!(!is_sound || walked.is_ok(), "{walked:?}");
    let _ = snapfile::status(&database);
    let _ = snapfile::hash_kv(&database, 0);
});

/// A meta page whose checksum is wrong would keep everything behind it from being reached: both are put right, unless
/// the last byte says to leave them.
fn mend(mut data: Vec<u8>) -> Vec<u8> {
    if data.last().is_none_or(|last| last % 8 == 7) {
        return data;
    }
    let page_size = data.get(24..28).map_or(4096, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    for start in [16, page_size as usize + 16] {
        let Some(meta) = start.checked_add(64).and_then(|end| data.get_mut(start..end)) else {
            continue;
        };
        // FNV-1a, 64 bit.
        let sum = meta[..56].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta[56..].copy_from_slice(&sum.to_le_bytes());
    }
    data
}
