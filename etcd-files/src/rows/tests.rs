//! Tests of the encodings against bytes that etcd wrote.

use bytes::Bytes;

use super::*;

/// A revision is two numbers around an underscore; a tombstone has one more byte.
#[test]
fn revisions_are_encoded_as_etcd_does() {
    let revision = Revision { main: 258, sub: 3 };
    assert_eq!(&revision.encode(), b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03");
    for is_tombstone in [false, true] {
        let key = RevisionKey { revision, is_tombstone };
        let mut bytes = Vec::new();
        key.encode_to(&mut bytes);
        assert_eq!(bytes.len(), 17 + usize::from(is_tombstone));
        assert_eq!(RevisionKey::decode(&bytes), Some(key));
    }
    for wrong in [&b""[..], b"\0\0\0\0\0\0\x01\x02-\0\0\0\0\0\0\0\x03", &[b'_'; 16], &[b'_'; 18]] {
        assert_eq!(RevisionKey::decode(wrong), None);
    }
}

/// The text of a member row, with what etcd omits.
#[test]
fn members_are_gos_json() {
    let mut member =
        Member { id: 7, peer_urls: vec!["http://localhost:2380".into()], ..Default::default() };
    assert_eq!(member.to_json(), br#"{"id":7,"peerURLs":["http://localhost:2380"]}"#);
    member.name = "m1".into();
    member.is_learner = true;
    let json = member.to_json();
    assert_eq!(
        json,
        br#"{"id":7,"peerURLs":["http://localhost:2380"],"isLearner":true,"name":"m1"}"#
    );
    assert_eq!(Member::from_json(&json), Some(member));
    let bare = Member { id: 1, ..Default::default() };
    assert_eq!(Member::from_json(br#"{"id":1,"peerURLs":null,"isPromote":true}"#), Some(bare));
    assert_eq!(member_key(0x0062_8170), "628170");
    assert_eq!(parse_member_key(b"628170"), Some(0x0062_8170));
}

/// Empty lists are left out of a conf state, and read as empty.
#[test]
fn conf_states_are_gos_json() {
    let conf_state = quorate_proto::raftpb::ConfState { voters: vec![1, 2], ..Default::default() };
    let json = meta::encode_conf_state(&conf_state);
    assert_eq!(json, br#"{"voters":[1,2],"auto_leave":false}"#);
    assert_eq!(meta::decode_conf_state(&json).unwrap().voters, [1, 2]);
    assert_eq!(meta::decode_conf_state(br#"{"voters":[3]}"#).unwrap().voters, [3]);
}

/// The short way to a user's key agrees with decoding, for short, long, empty and foreign values.
#[test]
fn user_keys_are_found() {
    use prost::Message;
    for length in [1, 127, 128, 4000] {
        let key = Bytes::from(vec![b'k'; length]);
        let pair = quorate_proto::mvccpb::KeyValue { key: key.clone(), ..Default::default() };
        assert_eq!(user_key(&Bytes::from(pair.encode_to_vec())), Some(key));
    }
    assert_eq!(user_key(&Bytes::new()), Some(Bytes::new()));
    assert_eq!(user_key(&Bytes::from_static(b"\x0a\x05ab")), None);
}
