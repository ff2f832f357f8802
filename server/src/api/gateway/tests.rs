//! The translation between JSON and messages, against what Go's libraries do.

use super::decode::decode;
use super::encode::{Escape, encode};
use super::json_error::JsonError;
use super::json_values::JsonValues;
use super::routes::ROUTES;
use super::schema::Schema;
use prost::Message;
use quorate_proto::etcdserverpb as pb;

fn schema() -> Schema {
    Schema::from_descriptors(quorate_proto::DESCRIPTORS).unwrap()
}

fn decoded<M: Message + Default>(path: &str, json: &str) -> Result<M, String> {
    let schema = schema();
    let input = schema.method(path).unwrap().input;
    let mut values = JsonValues::new(1 << 20);
    values.push(json.as_bytes());
    let value = match values.next_value() {
        Ok(Some(value)) => value,
        Ok(None) => values.finish().map_err(|e| e.to_string())?.unwrap_or_default(),
        Err(error) => return Err(error.to_string()),
    };
    let bytes = decode(&schema, input, &value).map_err(|error| error.to_string())?;
    Ok(M::decode(&bytes[..]).unwrap())
}

fn put(json: &str) -> Result<pb::PutRequest, String> {
    decoded("/etcdserverpb.KV/Put", json)
}

/// Every path leads to a method that the descriptors have.
#[test]
fn routes_have_methods() {
    let schema = schema();
    for (path, grpc_path) in ROUTES {
        assert!(schema.method(grpc_path).is_some(), "{path} leads nowhere");
    }
    assert_eq!(ROUTES.len(), 51);
}

/// Names in both spellings, numbers bare or quoted or in scientific notation, base64 in both alphabets.
#[test]
fn requests_are_read_leniently() {
    let expected = pb::PutRequest {
        key: "a\u{fb}\u{f}?".chars().map(|c| c as u8).collect::<Vec<_>>().into(),
        lease: 7,
        prev_kv: true,
        ..Default::default()
    };
    for json in [
        r#"{"key":"YfsPPw==","lease":7,"prev_kv":true}"#,
        r#"{"key":"YfsPPw","lease":"7","prevKv":true}"#,
        r#"{"key":"YfsPPw==","lease":70.0e-1,"prev_kv":true,"value":null}"#,
        r#"{"unknown":[{"key":["]"]}],"key":"\u0059fsPPw","lease":"0.7e1","prev_kv":true}"#,
    ] {
        assert_eq!(put(json).unwrap(), expected, "{json}");
    }
    assert_eq!(put("{}").unwrap(), pb::PutRequest::default());
    assert_eq!(put(r#"{"key":"-_8="}"#).unwrap().key[..], [0xfb, 0xff]);
    let range: pb::RangeRequest = decoded(
        "/etcdserverpb.KV/Range",
        r#"{"sort_order":"DESCEND","sortTarget":3,"revision":"-9223372036854775808"}"#,
    )
    .unwrap();
    assert_eq!((range.sort_order, range.sort_target, range.revision), (2, 3, i64::MIN));
    let range: pb::RangeRequest =
        decoded("/etcdserverpb.KV/Range", r#"{"sort_order":"NOPE"}"#).unwrap();
    assert_eq!(range.sort_order, 0);
}

/// What is wrong is told in Go's words, with Go's line and column (seen from etcd 3.7.1).
#[test]
fn refusals_are_gos() {
    for (json, text) in [
        (r#"{"key":"Zm9v""#, "unexpected EOF"),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        ("null", "proto: syntax error (line 1:1): unexpected token null"),
        (r#"{"key":1}"#, "proto: (line 1:8): invalid value for bytes field key: 1"),
        (r#"{"key":"***"}"#, "proto: (line 1:8): invalid value for bytes field key: \"***\""),
        (
            "{\"key\":\"Zm9v\",\n \"lease\":\"abc\"}",
            "proto: (line 2:10): invalid value for int64 field lease: \"abc\"",
        ),
        (r#"{"lease":1.5}"#, "proto: (line 1:10): invalid value for int64 field lease: 1.5"),
        (
            r#"{"lease":9223372036854775808}"#,
            "proto: (line 1:10): invalid value for int64 field lease: 9223372036854775808",
        ),
        (r#"{"key":"","key":""}"#, "proto: (line 1:11): duplicate field \"key\""),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("{x", "invalid character 'x' looking for beginning of object key string"),
        (r#"{"a" 1}"#, "invalid character '1' after object key"),
        (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
        (r#"{"a":[1 2]}"#, "invalid character '2' after array element"),
        (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
        ("{\"a\":\"\u{1}\"}", "invalid character '\\x01' in string literal"),
        (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
        (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
        (r#"{"a":-}"#, "invalid character '}' in numeric literal"),
    ] {
        assert_eq!(put(json).unwrap_err(), text, "{json}");
    }
    let twice = r#"{"compare":[{"version":"0","key":"Zm9v","mod_revision":3}]}"#;
    assert_eq!(
        decoded::<pb::TxnRequest>("/etcdserverpb.KV/Txn", twice).unwrap_err(),
        "proto: (line 1:41): error parsing \"mod_revision\", oneof \
         etcdserverpb.Compare.target_union is already set"
    );
}

/// Nesting is refused before it can use up the stack, in known fields and in unknown ones.
#[test]
fn deep_nesting_is_refused() {
    let nested = |n: usize| {
        let open = r#"{"success":[{"request_txn":"#.repeat(n);
        format!("{open}{{}}{}", "}]}".repeat(n))
    };
    assert!(decoded::<pb::TxnRequest>("/etcdserverpb.KV/Txn", &nested(40)).is_ok());
    let error = decoded::<pb::TxnRequest>("/etcdserverpb.KV/Txn", &nested(2000)).unwrap_err();
    assert_eq!(error, "proto: exceeded max recursion depth");
    let unknown = format!("{{\"x\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
    assert!(put(&unknown).is_ok());
    let unknown = format!("{{\"x\":{}{}}}", "[".repeat(11_000), "]".repeat(11_000));
    assert_eq!(put(&unknown).unwrap_err(), "invalid character '[' exceeded max depth");
}

/// Values are cut out wherever the bytes are torn, and what follows the last one asked for does no harm.
#[test]
fn values_are_cut_at_any_byte() {
    let body = br#" {"a":"}\"{"} [1,2]"x"12 {"b":{}} garbage"#;
    for size in 1..body.len() {
        let mut values = JsonValues::new(1024);
        let mut found = Vec::new();
        for chunk in body.chunks(size) {
            values.push(chunk);
            while let Ok(Some(value)) = values.next_value() {
                found.push(String::from_utf8(value.to_vec()).unwrap());
            }
        }
        assert_eq!(found, [r#"{"a":"}\"{"}"#, "[1,2]", "\"x\"", "12", r#"{"b":{}}"#], "{size}");
    }
}

/// A value that does not end is not kept beyond the limit.
#[test]
fn endless_values_are_refused() {
    let mut values = JsonValues::new(10);
    values.push(b"{\"aaaaaaaaaaaaaaaa");
    assert_eq!(values.next_value(), Err(JsonError::TooLarge { found: 18, limit: 10 }));
}

/// Answers are compact, in order, without defaults; members of a oneof stay although they are zero.
#[test]
fn answers_are_etcds() {
    let schema = schema();
    let json = |path: &str, bytes: Vec<u8>, escape: Escape| {
        encode(&schema, schema.method(path).unwrap().output, &bytes, escape).unwrap()
    };
    let header = pb::ResponseHeader { cluster_id: u64::MAX, revision: -1, ..Default::default() };
    let response = pb::ResponseOp {
        response: Some(pb::response_op::Response::ResponsePut(pb::PutResponse::default())),
    };
    let txn = pb::TxnResponse {
        header: Some(header),
        succeeded: true,
        responses: vec![response, pb::ResponseOp { response: None }],
    };
    assert_eq!(
        json("/etcdserverpb.KV/Txn", txn.encode_to_vec(), Escape::Plain),
        r#"{"header":{"cluster_id":"18446744073709551615","revision":"-1"},"succeeded":true,"responses":[{"response_put":{}},{}]}"#
    );
    let alarms = pb::AlarmResponse {
        alarms: vec![
            pb::AlarmMember { member_id: 3, alarm: 1 },
            pb::AlarmMember { member_id: 4, alarm: 9 },
        ],
        header: None,
    };
    assert_eq!(
        json("/etcdserverpb.Maintenance/Alarm", alarms.encode_to_vec(), Escape::Plain),
        r#"{"alarms":[{"memberID":"3","alarm":"NOSPACE"},{"memberID":"4","alarm":9}]}"#
    );
    let hash = pb::HashKvResponse { hash: u32::MAX, compact_revision: -1, ..Default::default() };
    assert_eq!(
        json("/etcdserverpb.Maintenance/HashKV", hash.encode_to_vec(), Escape::Plain),
        r#"{"hash":4294967295,"compact_revision":"-1"}"#
    );
    let watch = pb::WatchResponse { cancel_reason: "<a>&\"\n".into(), ..Default::default() };
    assert_eq!(
        json("/etcdserverpb.Watch/Watch", watch.encode_to_vec(), Escape::Html),
        r#"{"cancel_reason":"\u003ca\u003e\u0026\"\n"}"#
    );
}

/// Any message survives the way to JSON and back.
#[test]
fn round_trips() {
    use proptest::prelude::*;
    let schema = schema();
    let shape = schema.method("/etcdserverpb.KV/Put").unwrap().input;
    proptest!(|(key: Vec<u8>, value: Vec<u8>, lease: i64, prev_kv: bool)| {
        let put = pb::PutRequest { key: key.into(), value: value.into(), lease, prev_kv, ..Default::default() };
        let json = encode(&schema, shape, &put.encode_to_vec(), Escape::Html).unwrap();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        let back = decode(&schema, shape, json.as_bytes()).unwrap();
        prop_assert_eq!(pb::PutRequest::decode(&back[..]).unwrap(), put);
    });
}

/// No bytes make the readers panic.
#[test]
fn garbage_is_refused_quietly() {
    use proptest::prelude::*;
    let schema = schema();
    let shape = schema.method("/etcdserverpb.KV/Txn").unwrap().input;
    proptest!(|(text in r#"([{}\[\],:"\\ue0-9a.\-]|"compare"|"success"|"request_put"|\PC|\xff){0,40}"#)| {
        let mut values = JsonValues::new(1 << 20);
        values.push(text.as_bytes());
        while let Ok(Some(value)) = values.next_value() {
            let _ = decode(&schema, shape, &value);
        }
        let _ = values.finish();
    });
}
