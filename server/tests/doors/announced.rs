//! What a server says of itself when a connection begins, beside real etcd 3.7.1.

use super::ask::{Lone, etcd, ours};
use super::wire::{SETTINGS, Wire};

const MAX_CONCURRENT_STREAMS: u16 = 3;

/// The number of streams that the first settings of a connection allow; none where they do not say.
fn streams_max(port: u16) -> Option<u32> {
    let mut wire = Wire::open(port);
    loop {
        let got = wire.receive().expect("the connection ended before its settings");
        if got.kind == SETTINGS && got.flags & 1 == 0 {
            let of = |setting: &[u8]| {
                let id = u16::from_be_bytes([setting[0], setting[1]]);
                let value = u32::from_be_bytes(setting[2..6].try_into().unwrap());
                (id == MAX_CONCURRENT_STREAMS).then_some(value)
            };
            return got.payload.chunks_exact(6).find_map(of);
        }
    }
}

/// `--max-concurrent-streams` is told to clients, as by etcd, and there is as good as no limit without it.
#[test]
fn streams_are_limited_as_told() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        for (name, flag) in [("few", &["--max-concurrent-streams=7"][..]), ("many", &[])] {
            let name = format!("{kind}-{name}");
            let member = Lone::plain(&program, folder.path(), &name, flag);
            let told = streams_max(member.client);
            match flag.is_empty() {
                false => assert_eq!(told, Some(7), "{name}"),
                true => assert!(told.is_none_or(|n| n >= 100_000), "{name}: {told:?}"),
            }
        }
    }
}
