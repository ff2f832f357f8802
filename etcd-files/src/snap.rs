//! `.snap` files: the raft snapshot that etcd up to 3.6 reads at start beside its database, and the v2 store in it.
//!
//! etcd 3.7 still writes them but builds its membership from the database. What a member keeps of its snapshots, and
//! when, is not decided here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use quorate_proto::{raftpb, snappb};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::rows::{Member, member_key, parse_member_key};

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
    decode(std::fs::read(path).map_err(Error::io("read", path))?.into(), path)
}

/// [`read`] of bytes that are in memory; `path` is for messages.
pub fn decode(bytes: Bytes, path: &Path) -> Result<raftpb::Snapshot> {
    let Envelope { crc, data, offset } =
        Envelope::decode(bytes).map_err(|(offset, what)| Error::damaged(path, offset, what))?;
    let damaged = |what: String| Error::damaged(path, offset, what);
    if crc == 0 || data.is_empty() {
        return Err(damaged("an empty snapshot".to_owned()));
    }
    let found = crc32c::crc32c(&data);
    if found != crc {
        let end = offset + data.len() as u64;
        let what = format!("the checksum of the bytes up to {end} is {found:08x}, not {crc:08x}");
        return Err(damaged(what));
    }
    raftpb::Snapshot::decode(data).map_err(|error| damaged(format!("not a raft snapshot: {error}")))
}

/// `snappb.Snapshot`, and where in the file the bytes are that its checksum covers. Read field by field, so that what is
/// wrong has a place.
struct Envelope {
    crc: u32,
    data: Bytes,
    offset: u64,
}

impl Envelope {
    const CRC: u32 = 1;
    const DATA: u32 = 2;

    fn decode(bytes: Bytes) -> Result<Envelope, (u64, String)> {
        let whole = bytes.len();
        let mut rest = bytes;
        let mut envelope = Envelope { crc: 0, data: Bytes::new(), offset: 0 };
        while !rest.is_empty() {
            let at = (whole - rest.len()) as u64;
            envelope
                .field(&mut rest, whole)
                .map_err(|error| (at, format!("not the envelope of a snapshot: {error}")))?;
        }
        if envelope.offset == 0 {
            envelope.offset = whole as u64;
        }
        Ok(envelope)
    }

    fn field(&mut self, rest: &mut Bytes, whole: usize) -> Result<(), prost::DecodeError> {
        use prost::encoding::{DecodeContext, bytes, decode_key, skip_field, uint32};
        let (tag, wire) = decode_key(rest)?;
        let context = DecodeContext::default();
        match (tag, wire) {
            (Envelope::CRC, _) => uint32::merge(wire, &mut self.crc, rest, context),
            (Envelope::DATA, _) => {
                bytes::merge(wire, &mut self.data, rest, context)?;
                self.offset = (whole - rest.len() - self.data.len()) as u64;
                Ok(())
            }
            _ => skip_field(wire, tag, rest, context),
        }
    }
}

/// The `.snap` files in a directory with the indexes they stand for, newest first. None of them has been read yet.
pub fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some((_, index)) = name.and_then(parse_file_name) {
            found.push((index, path));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Who is, and who can never again be, a member by the v2 store in a `.snap` file: that is where etcd up to 3.6 looks
/// when it starts. `None` where the JSON is not such a store.
pub fn v2_members(json: &[u8]) -> Option<(Vec<Member>, BTreeSet<u64>)> {
    let store: Value = serde_json::from_slice(json).ok()?;
    let private = &store["Root"]["Children"]["0"]["Children"];
    let empty = Map::new();
    let children = |node: &'_ Value| node["Children"].as_object().cloned();
    let by_id = children(&private["members"]).unwrap_or_else(|| empty.clone());
    let mut members = Vec::with_capacity(by_id.len());
    for (id, folder) in &by_id {
        let text = |name: &str| folder["Children"][name]["Value"].as_str();
        let mut member: Member =
            serde_json::from_str(&without_id(text("raftAttributes")?)?).ok()?;
        // A member that has never started has published nothing.
        if let Some(attributes) = text("attributes") {
            let published: Member = serde_json::from_str(&without_id(attributes)?).ok()?;
            (member.name, member.client_urls) = (published.name, published.client_urls);
        }
        member.id = parse_member_key(id.as_bytes())?;
        members.push(member);
    }
    members.sort_by_key(|member| member.id);
    let removed = children(&private["removed_members"]).unwrap_or(empty);
    let removed = removed.keys().map(|id| parse_member_key(id.as_bytes()));
    Some((members, removed.collect::<Option<_>>()?))
}

/// The JSON of attributes, which lacks the id, as that of a member.
fn without_id(attributes: &str) -> Option<String> {
    let mut attributes: Map<String, Value> = serde_json::from_str(attributes).ok()?;
    attributes.insert("id".to_owned(), json!(0));
    Some(Value::Object(attributes).to_string())
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

    /// A snapshot comes back as written, and a flipped bit is found, told with where the checked bytes begin.
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
        // Behind the checksum, as a number with its tag, and the length of the data, likewise.
        let begin = bytes.len() - snapshot.encoded_len();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("offset {begin}: the checksum")), "{error}");
        let error = decode(bytes[..middle].to_vec().into(), &path).unwrap_err();
        let field = begin - prost::length_delimiter_len(snapshot.encoded_len()) - 1;
        assert!(error.to_string().contains(&format!("offset {field}: ")), "{error}");
    }

    /// Members come back from the store that was made of them; other JSON is refused.
    #[test]
    fn members_are_in_the_v2_store() {
        let peer_urls = vec!["http://a:1".to_owned()];
        let voter = Member { id: 5, peer_urls: peer_urls.clone(), ..Default::default() };
        let learner = Member { id: 0x1f, peer_urls, is_learner: true, ..Default::default() };
        let members = vec![voter, learner];
        assert_eq!(v2_members(&v2_store(&members, 3)), Some((members, BTreeSet::new())));
        assert_eq!(v2_members(b"[1"), None);
        let (none, _) = v2_members(b"{}").unwrap();
        assert!(none.is_empty());
    }

    /// Names carry term and index.
    #[test]
    fn names_are_read_back() {
        assert_eq!(parse_file_name(&file_name(1, 0x2a)), Some((1, 42)));
        assert_eq!(parse_file_name("000000000000002a.snap.db"), None);
    }
}
