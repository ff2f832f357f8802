//! `.snap` files: the raft snapshot that etcd up to 3.6 reads at start beside its database, and the v2 store in it.
//!
//! etcd 3.7 still writes them but builds its membership from the database. What a member keeps of its snapshots, and
//! when, is not decided here.

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use quorate_proto::{raftpb, snappb};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::rows::{Member, member_key};

/// Longest `.snap` file that is read; real ones have some kilobytes.
const FILE_MAX: u64 = 256 << 20;
/// Events that the v2 store of an etcd remembers.
const EVENT_CAPACITY: usize = 1000;

/// Name of the file for a snapshot: `%016x-%016x.snap` of term and index.
pub fn file_name(term: u64, index: u64) -> String {
    format!("{term:016x}-{index:016x}.snap")
}

/// Term and index of a `.snap` file by its name.
pub fn parse_file_name(name: &str) -> Option<(u64, u64)> {
    let (term, index) = name.strip_suffix(".snap")?.split_once('-')?;
    let number =
        |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    Some((number(term)?, number(index)?))
}

/// Bytes of a `.snap` file.
pub fn encode(snapshot: &raftpb::Snapshot) -> Vec<u8> {
    let data = Bytes::from(snapshot.encode_to_vec());
    let crc = crc32c::crc32c(&data);
    snappb::Snapshot { crc, data: Some(data) }.encode_to_vec()
}

/// Reads and checks a `.snap` file. Fails as damaged where etcd would put it aside as `.broken`.
pub fn read(path: &Path) -> Result<raftpb::Snapshot> {
    let length = std::fs::metadata(path).map_err(Error::io("measure", path))?.len();
    if length > FILE_MAX {
        return Err(Error::damaged(path, 0, format!("a .snap file of {length} bytes")));
    }
    let bytes = Bytes::from(std::fs::read(path).map_err(Error::io("read", path))?);
    let damaged = |what: &str| Error::damaged(path, 0, what);
    let envelope =
        snappb::Snapshot::decode(bytes).map_err(|_| damaged("not the envelope of a snapshot"))?;
    let data = envelope.data.unwrap_or_default();
    if envelope.crc == 0 || data.is_empty() {
        return Err(damaged("an empty snapshot"));
    }
    if crc32c::crc32c(&data) != envelope.crc {
        return Err(damaged("the checksum of the snapshot is wrong"));
    }
    raftpb::Snapshot::decode(data).map_err(|_| damaged("not a raft snapshot"))
}

/// The v2 store of a cluster that has these members and nothing else, as JSON (`reference/file-formats.md`, section 9).
pub fn v2_store(members: &[Member], index: u64) -> Vec<u8> {
    let folder = |path: &str, children: Map<String, Value>| node(path, "", Some(children));
    let mut by_id = Map::new();
    for member in members {
        let id = member_key(member.id);
        let path = format!("/0/members/{id}");
        let attributes = format!("{path}/raftAttributes");
        let mut raft = json!({ "peerURLs": member.peer_urls });
        if member.is_learner {
            raft["isLearner"] = json!(true);
        }
        let raft = node(&attributes, &raft.to_string(), None);
        by_id.insert(id, folder(&path, Map::from_iter([("raftAttributes".to_owned(), raft)])));
    }
    let members = Map::from_iter([("members".to_owned(), folder("/0/members", by_id))]);
    let root = Map::from_iter([
        ("0".to_owned(), folder("/0", members)),
        ("1".to_owned(), folder("/1", Map::new())),
    ]);
    let store = json!({
        "Root": folder("/", root),
        "WatcherHub": {
            "EventHistory": {
                "Queue": {
                    "Events": vec![Value::Null; EVENT_CAPACITY],
                    "Size": 0, "Front": 0, "Back": 0, "Capacity": EVENT_CAPACITY,
                },
                "StartIndex": 0, "LastIndex": 0, "DuplicateIndex": 0,
            },
        },
        "CurrentIndex": index,
        "Stats": {},
        "CurrentVersion": 2,
    });
    store.to_string().into_bytes()
}

fn node(path: &str, value: &str, children: Option<Map<String, Value>>) -> Value {
    json!({
        "Path": path,
        "CreatedIndex": 0,
        "ModifiedIndex": 0,
        "ExpireTime": "0001-01-01T00:00:00Z",
        "Value": value,
        "Children": children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot comes back as written, and a flipped bit is found.
    #[test]
    fn snapshots_are_checked() {
        let member = Member { id: 5, peer_urls: vec!["http://a:1".into()], ..Default::default() };
        let metadata = raftpb::SnapshotMetadata { index: Some(3), ..Default::default() };
        let data = Some(Bytes::from(v2_store(&[member], 3)));
        let snapshot = raftpb::Snapshot { data, metadata: Some(metadata) };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(1, 3));
        let mut bytes = encode(&snapshot);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), snapshot);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(read(&path).unwrap_err().is_damaged());
    }

    /// Names carry term and index.
    #[test]
    fn names_are_read_back() {
        assert_eq!(parse_file_name(&file_name(1, 0x2a)), Some((1, 42)));
        assert_eq!(parse_file_name("000000000000002a.snap.db"), None);
    }
}
