//! Can a server read a row? Judged without keeping anything of it, so that a file can be judged before anything is done
//! with it. What the rows say together is not judged.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use quorate_proto::etcdserverpb::AlarmMember;
use quorate_proto::{authpb, leasepb};

use super::{Member, Revision, RevisionKey, bucket, meta, parse_member_key};
use crate::error::{Error, Result};
use std::path::Path;

/// Rows of bucket `auth` and `cluster` that are decoded at a start.
const AUTH_REVISION: &[u8] = b"authRevision";
const DOWNGRADE: &[u8] = b"downgrade";

/// Refuses a row of the database at `path` that no server can read, and names it.
///
/// # Errors
/// [`Error::DamagedRow`].
pub fn check(path: &Path, bucket: &str, key: &[u8], value: &[u8]) -> Result<()> {
    let Some(what) = damage(bucket, key, value) else { return Ok(()) };
    let (path, bucket) = (path.to_owned(), bucket.to_owned());
    Err(Error::DamagedRow { path, bucket, key: key.to_vec(), what })
}

/// What is wrong with a row of a bucket, as part of a sentence; `None` where a server can read it. Buckets and rows that no
/// server reads are never wrong.
fn damage(bucket: &str, key: &[u8], value: &[u8]) -> Option<&'static str> {
    let (is_right, what) = match bucket {
        bucket::KEY if RevisionKey::decode(key).is_none() => (false, "its key is no revision"),
        bucket::KEY => (is_pair(value), "its value is no key-value pair"),
        bucket::LEASE => (leasepb::Lease::decode(value).is_ok(), "its value is no lease"),
        bucket::ALARM => (AlarmMember::decode(key).is_ok(), "its key is no alarm"),
        bucket::AUTH if key == AUTH_REVISION => (value.len() == 8, "it has not eight bytes"),
        bucket::AUTH_USERS => (authpb::User::decode(value).is_ok(), "its value is no user"),
        bucket::AUTH_ROLES => (authpb::Role::decode(value).is_ok(), "its value is no role"),
        bucket::MEMBERS => (Member::from_json(value).is_some(), "its value is no member"),
        bucket::MEMBERS_REMOVED => (parse_member_key(key).is_some(), "its key is no member id"),
        bucket::CLUSTER if key == DOWNGRADE => (is_json(value), "its value is no downgrade"),
        bucket::META if key == meta::SCHEDULED_COMPACT || key == meta::FINISHED_COMPACT => {
            (Revision::decode(value).is_some(), "its value is no revision")
        }
        _ => return None,
    };
    (!is_right).then_some(what)
}

fn is_json(value: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok()
}

/// True for what decodes as `mvccpb.KeyValue`; nothing is allocated, since there may be a hundred million of them.
fn is_pair(value: &[u8]) -> bool {
    let mut rest = value;
    while !rest.is_empty() {
        let Ok((tag, wire)) = decode_key(&mut rest) else { return false };
        let is_right = match tag {
            1 | 5 => wire == WireType::LengthDelimited,
            2..=4 | 6 => wire == WireType::Varint,
            _ => true,
        };
        if !is_right || skip_field(wire, tag, &mut rest, DecodeContext::default()).is_err() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quorate_proto::mvccpb::KeyValue;

    fn pair(value: Vec<u8>) -> Vec<u8> {
        KeyValue {
            key: "key".into(),
            create_revision: 2,
            mod_revision: 300,
            version: 1,
            value: value.into(),
            lease: -5,
        }
        .encode_to_vec()
    }

    proptest! {
        /// What is called a pair is what decodes as one, for pairs with some bytes changed and cut off as for any bytes.
        #[test]
        fn a_pair_is_what_decodes(
            value in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            prop_assert_eq!(is_pair(&value), KeyValue::decode(&value[..]).is_ok());
            let mut row = pair(value);
            for (at, byte) in changes {
                let at = at.index(row.len());
                row[at] = byte;
            }
            if let Some(cut) = cut {
                row.truncate(cut.index(row.len() + 1));
            }
            prop_assert_eq!(is_pair(&row), KeyValue::decode(&row[..]).is_ok());
        }
    }

    /// Every bucket has its own idea of a row.
    #[test]
    fn rows_are_judged_by_their_bucket() {
        let revision = Revision { main: 5, sub: 0 }.encode();
        let pair = pair(b"value".to_vec());
        let alarm = AlarmMember { member_id: 7, alarm: 1 }.encode_to_vec();
        let user = authpb::User { name: "root".into(), ..Default::default() }.encode_to_vec();
        let role = authpb::Role { name: "root".into(), ..Default::default() }.encode_to_vec();
        let lease = leasepb::Lease { id: 7, ttl: 9, remaining_ttl: 0 }.encode_to_vec();
        let member = Member { id: 7, ..Member::default() }.to_json();
        let good: [(&str, &[u8], &[u8]); 12] = [
            (bucket::KEY, &revision, &pair),
            (bucket::KEY, &revision, b""),
            (bucket::LEASE, &[0; 8], &lease),
            (bucket::ALARM, &alarm, b""),
            (bucket::AUTH, AUTH_REVISION, &[1; 8]),
            (bucket::AUTH_USERS, b"root", &user),
            (bucket::AUTH_ROLES, b"root", &role),
            (bucket::MEMBERS, b"7", &member),
            (bucket::MEMBERS_REMOVED, b"7f", b"removed"),
            (bucket::CLUSTER, DOWNGRADE, br#"{"enabled":false}"#),
            (bucket::META, meta::FINISHED_COMPACT, &revision),
            ("test", b"\xff", b"\xff"),
        ];
        for (name, key, value) in good {
            assert_eq!(damage(name, key, value), None, "{name}");
        }
        let bad: [(&str, &[u8], &[u8]); 11] = [
            (bucket::KEY, &revision[1..], &pair),
            (bucket::KEY, &revision, &pair[1..]),
            (bucket::LEASE, &[0; 8], b"\x0e"),
            (bucket::ALARM, b"\x0e", b""),
            (bucket::AUTH, AUTH_REVISION, &[1; 7]),
            (bucket::AUTH_USERS, b"root", b"\x0e"),
            (bucket::AUTH_ROLES, b"root", b"\x0e"),
            (bucket::MEMBERS, b"7", b"{"),
            (bucket::MEMBERS_REMOVED, b"x", b"removed"),
            (bucket::CLUSTER, DOWNGRADE, b"{"),
            (bucket::META, meta::SCHEDULED_COMPACT, b"1"),
        ];
        for (name, key, value) in bad {
            assert!(damage(name, key, value).is_some(), "{name}");
        }
    }
}
