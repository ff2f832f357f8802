//! Any bytes as a `.snap` file, and the v2 store in it.
#![no_main]

use std::path::Path;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use quorate_etcd_files::snap;
use quorate_proto::snappb;

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let mut file = Bytes::copy_from_slice(data);
    // No fuzzer guesses a CRC.
    if mode & 1 == 0
        && let Ok(mut envelope) = snappb::Snapshot::decode(file.clone())
    {
        envelope.crc = crc32c::crc32c(envelope.data.as_deref().unwrap_or_default());
        file = envelope.encode_to_vec().into();
    }
    if let Ok(snapshot) = snap::decode(file, Path::new("fuzzed")) {
        // Of bytes that are all unknown fields nothing is left to write, and an empty file is refused.
        if snapshot.encoded_len() > 0 {
            let again = snap::decode(snap::encode(&snapshot).into(), Path::new("again"));
            assert_eq!(again.expect("what was read can be written"), snapshot);
        }
        let _ = snap::v2_members(snapshot.data());
    }
});
