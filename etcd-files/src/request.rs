//! The data of a normal log entry: etcd's replicated request, in the form of every release from 3.4 on.
//!
//! Up to 3.5 a member publishes its name and the cluster its version by requests of etcd's old API (v2), whose bytes are
//! no `InternalRaftRequest`. They are turned into the requests that newer releases write for the same purpose. So are the
//! passwords that 3.4 hashes only when it applies them. What a request does to the state is not decided here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::{InternalRaftRequest, RequestHeader};
use quorate_proto::membershippb::{
    Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The cost that etcd hashes passwords with by default.
const BCRYPT_COST: u32 = 10;

/// The fields of `etcdserverpb.Request` (the old API's) that mean something to a store without that API.
#[derive(Clone, PartialEq, Message)]
struct OldRequest {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(string, tag = "3")]
    path: String,
    #[prost(string, tag = "4")]
    value: String,
}

/// What a member publishes of itself; JSON in the value of an [`OldRequest`].
#[derive(Default, Deserialize)]
#[serde(default)]
struct OldAttributes {
    name: Option<String>,
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
}

/// Decodes the data of a normal entry.
///
/// Requests of the old API other than the two that concern the members come out as a request without content: they
/// touched only the old API's own keys, which no release from 3.6 on has.
///
/// # Errors
/// The data are neither: damage that no checksum noticed, or a request of a newer release.
pub fn decode_request(data: Bytes) -> Result<InternalRaftRequest, prost::DecodeError> {
    let decoded = InternalRaftRequest::decode(data.clone());
    let mut request = decoded.or_else(|error| from_old(data).ok_or(error))?;
    hash_password(&mut request);
    Ok(request)
}

/// 3.4 puts passwords into its log as they were typed, and every member hashes them with a salt of its own when it applies
/// them. Here all members shall come to the same hash: the salt is made of the request's id, which is unique.
fn hash_password(request: &mut InternalRaftRequest) {
    let id = request.header.as_ref().map_or(request.id, |header| header.id);
    let (name, password, hashed) = if let Some(add) = &mut request.auth_user_add {
        (&add.name, &mut add.password, &mut add.hashed_password)
    } else if let Some(change) = &mut request.auth_user_change_password {
        (&change.name, &mut change.password, &mut change.hashed_password)
    } else {
        return;
    };
    if password.is_empty() || !hashed.is_empty() {
        return;
    }
    let salt = Sha256::digest([&id.to_be_bytes()[..], name.as_bytes()].concat());
    let salt = *salt.first_chunk::<16>().expect("SHA-256 has 32 bytes");
    // Fails only for a cost that bcrypt does not know.
    if let Ok(hash) = bcrypt::hash_with_salt(password.as_bytes(), BCRYPT_COST, salt) {
        *hashed = BASE64.encode(hash.format_for_version(bcrypt::Version::TwoA));
    }
    password.clear();
}

fn from_old(data: Bytes) -> Option<InternalRaftRequest> {
    let old = OldRequest::decode(data).ok()?;
    if !["PUT", "POST", "GET", "QGET", "DELETE", "SYNC", "HEAD"].contains(&old.method.as_str()) {
        return None;
    }
    let header = Some(RequestHeader { id: old.id, ..RequestHeader::default() });
    let mut request = InternalRaftRequest { header, ..InternalRaftRequest::default() };
    if old.method == "PUT" {
        if let Some(member_id) = attributes_path(&old.path) {
            // etcd panics over an unreadable value, so no log has one.
            let attributes: OldAttributes = serde_json::from_str(&old.value).ok()?;
            let member_attributes = Some(Attributes {
                name: attributes.name.unwrap_or_default(),
                client_urls: attributes.client_urls.unwrap_or_default(),
            });
            let set = ClusterMemberAttrSetRequest { member_id, member_attributes };
            request.cluster_member_attr_set = Some(set);
        } else if old.path == "/0/version" {
            request.cluster_version_set = Some(ClusterVersionSetRequest { ver: old.value });
        }
    }
    Some(request)
}

/// The member whose attributes are at this path: `/0/members/<hex>/attributes`.
fn attributes_path(path: &str) -> Option<u64> {
    let id = path.strip_prefix("/0/members/")?.strip_suffix("/attributes")?;
    u64::from_str_radix(id, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_proto::etcdserverpb::PutRequest;

    /// The bytes as 3.4 writes them: every field, even where it is empty (tags 5 to 17 after the value).
    fn old(method: &str, path: &str, value: &str) -> Bytes {
        let mut bytes = Vec::new();
        let request = OldRequest {
            id: 0x2a,
            method: method.to_owned(),
            path: path.to_owned(),
            value: value.to_owned(),
        };
        // An empty text is written too, which prost would leave out.
        bytes.extend([0x08, 0x2a]);
        for (tag, text) in [(0x12, &request.method), (0x1a, &request.path), (0x22, &request.value)]
        {
            bytes.extend([tag, u8::try_from(text.len()).unwrap()]);
            bytes.extend(text.as_bytes());
        }
        bytes.extend([0x28, 0, 0x32, 0, 0x38, 0, 0x48, 0, 0x50, 0, 0x58, 0, 0x60, 0, 0x68, 0]);
        bytes.extend([0x70, 0, 0x78, 0, 0x80, 0x01, 0]);
        bytes.into()
    }

    /// A member's name and addresses, and the cluster's version, are what newer releases write in their own way.
    #[test]
    fn old_requests_about_members_are_understood() {
        let value = r#"{"name":"m1","clientURLs":["http://a:1"]}"#;
        let request = decode_request(old("PUT", "/0/members/8e9e/attributes", value)).unwrap();
        let set = request.cluster_member_attr_set.unwrap();
        assert_eq!(set.member_id, 0x8e9e);
        let attributes = set.member_attributes.unwrap();
        assert_eq!((attributes.name.as_str(), attributes.client_urls.len()), ("m1", 1));
        assert_eq!(request.header.unwrap().id, 0x2a);
        let request = decode_request(old("PUT", "/0/version", "3.4.0")).unwrap();
        assert_eq!(request.cluster_version_set.unwrap().ver, "3.4.0");
    }

    /// Other requests of the old API change nothing, and do not look like a request of the new one.
    #[test]
    fn other_old_requests_are_empty() {
        for (method, path) in [("SYNC", ""), ("PUT", "/1/key"), ("DELETE", "/1/key")] {
            let request = decode_request(old(method, path, "")).unwrap();
            let header = request.header.clone();
            assert_eq!(request, InternalRaftRequest { header, ..InternalRaftRequest::default() });
        }
    }

    /// A password that 3.4 left as it was typed comes out hashed, the same on every member; a hash stays as it is.
    #[test]
    fn clear_passwords_are_hashed_alike() {
        use quorate_proto::etcdserverpb::AuthUserAddRequest;
        let with = |hashed: &str| {
            let add = AuthUserAddRequest {
                name: "root".to_owned(),
                password: if hashed.is_empty() { "secret".to_owned() } else { String::new() },
                hashed_password: hashed.to_owned(),
                ..AuthUserAddRequest::default()
            };
            let request =
                InternalRaftRequest { auth_user_add: Some(add), id: 9, ..Default::default() };
            decode_request(request.encode_to_vec().into()).unwrap().auth_user_add.unwrap()
        };
        let (one, other) = (with(""), with(""));
        assert_eq!((one.password.as_str(), &one), ("", &other));
        let hash = String::from_utf8(BASE64.decode(&one.hashed_password).unwrap()).unwrap();
        assert!(hash.starts_with("$2a$10$") && bcrypt::verify("secret", &hash).unwrap());
        assert_eq!(with("aGFzaA==").hashed_password, "aGFzaA==");
    }

    /// Requests of the new API come through, other bytes do not.
    #[test]
    fn new_requests_and_noise() {
        let put = PutRequest { key: "k".into(), ..PutRequest::default() };
        let request = InternalRaftRequest { put: Some(put), ..InternalRaftRequest::default() };
        assert_eq!(decode_request(request.encode_to_vec().into()).unwrap(), request);
        assert!(decode_request(Bytes::from_static(b"\xff\xff\xff")).is_err());
        assert!(decode_request(old("STEAL", "/0/version", "")).is_err());
    }
}
