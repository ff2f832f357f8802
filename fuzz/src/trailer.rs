//! Any bytes as a snapshot file: a database with a digest behind it.
#![no_main]

mod memory;

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use memory::MemoryFile;
use quorate_etcd_files::snapfile::SnapshotFile;
use sha2::{Digest, Sha256};

fuzz_target!(|data: &[u8]| {
    let mut file = data.to_vec();
    let is_mended = data.last().is_some_and(|last| last % 2 == 0);
    if is_mended {
        // A whole number of sectors and its digest.
        file.truncate(data.len() / 512 * 512);
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
    }
    let snapshot = SnapshotFile::from_file(Arc::new(MemoryFile(file)), Path::new("fuzzed"));
    let Ok(snapshot) = snapshot else { return };
    let verified = snapshot.verify_digest();
    assert!(!is_mended || verified.is_ok(), "{verified:?}");
    if snapshot.status().is_ok() {
        let _ = snapshot.hash_kv(0);
    }
});
