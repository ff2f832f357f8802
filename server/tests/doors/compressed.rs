//! Calls whose messages are compressed: taken and answered as by etcd 3.7.1, and never larger than others once unpacked.

use super::ask::{Lone, etcd, ours};
use super::calls::{connect, flagged, open, send};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest, WatchCreateRequest, WatchRequest};
use std::io::{Read, Write};
use std::path::Path;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

fn member(program: &Path, folder: &Path, name: &str) -> Lone {
    let initial = format!("--initial-cluster={name}=http://127.0.0.1:{{peer}}");
    let args = [
        "--listen-client-urls=http://127.0.0.1:{client}",
        "--advertise-client-urls=http://127.0.0.1:{client}",
        "--listen-peer-urls=http://127.0.0.1:{peer}",
        "--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        &initial,
    ];
    Lone::new(program, folder, name, &args).started()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn put(bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; bytes].into();
    PutRequest { key: "key".into(), value, ..PutRequest::default() }.encode_to_vec()
}

/// What a client hears: the encoding of the answer, the flag of its first message, the length of that once it is
/// unpacked, and status and text.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    encoding: Option<String>,
    flag: Option<u8>,
    is_sound: bool,
    status: String,
    text: String,
}

fn text(headers: &http::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

/// A status text as clients show it: which characters are escaped on the wire is each server's own affair.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at(2);
        plain.push(char::from(u8::from_str_radix(code, 16).unwrap()));
        plain.push_str(rest);
    }
    plain
}

/// Sends one message and reads to the end, or, on a stream, to the first message.
async fn ask(port: u16, path: &str, headers: &[(&str, &str)], message: Bytes) -> Heard {
    let client = connect(port, 1 << 20).await;
    let (response, mut stream) = open(&client, path, headers).await;
    let is_stream = path.ends_with("/Watch");
    send(&mut stream, message, !is_stream).await;
    let response = response.await.unwrap();
    let head = response.headers().clone();
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
        if is_stream {
            break;
        }
    }
    let trailers = if is_stream { None } else { body.trailers().await.unwrap() };
    let told = trailers.unwrap_or_else(|| head.clone());
    let flag = bytes.first().copied();
    let is_sound = match flag {
        None => false,
        Some(0) => true,
        Some(_) => GzDecoder::new(&bytes[5..]).read_to_end(&mut Vec::new()).is_ok(),
    };
    Heard {
        encoding: text(&head, "grpc-encoding"),
        flag,
        is_sound,
        status: text(&told, "grpc-status").unwrap_or_default(),
        text: unescaped(&text(&told, "grpc-message").unwrap_or_default()),
    }
}

/// Compressed requests, good and bad, and what a client says of itself, have etcd's answers.
#[tokio::test]
async fn compressed_calls_equal_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, etcd) =
        (member(&ours(), folder.path(), "ours"), member(&etcd(), folder.path(), "etcd"));
    let gzip: &[(&str, &str)] = &[("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")];
    let range = RangeRequest { key: "key".into(), ..RangeRequest::default() }.encode_to_vec();
    let create = WatchCreateRequest { key: "key".into(), ..WatchCreateRequest::default() };
    let watch = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let watch = zipped(&watch.encode_to_vec());
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Bytes);
    let cases: [Case<'_>; 14] = [
        ("as it is", PUT, &[], flagged(0, &put(1000))),
        ("compressed", PUT, gzip, flagged(1, &zipped(&put(1000)))),
        ("compressed, much", PUT, gzip, flagged(1, &zipped(&put(1 << 20)))),
        ("a long answer", RANGE, gzip, flagged(1, &zipped(&range))),
        ("named, but as it is", PUT, gzip, flagged(0, &put(1000))),
        (
            "without being asked to answer so",
            RANGE,
            &[("grpc-encoding", "gzip")],
            flagged(1, &zipped(&range)),
        ),
        (
            "asked to answer so without being",
            RANGE,
            &[("grpc-accept-encoding", "gzip")],
            flagged(0, &range),
        ),
        ("called identity", RANGE, &[("grpc-encoding", "identity")], flagged(0, &range)),
        ("of a stream", "/etcdserverpb.Watch/Watch", gzip, flagged(1, &watch)),
        ("too large once unpacked", PUT, gzip, flagged(1, &zipped(&put(10 << 20)))),
        ("noise", PUT, gzip, flagged(1, &[7; 100])),
        ("compressed without saying how", PUT, &[], flagged(1, &zipped(&put(1)))),
        ("named identity, compressed", PUT, &[("grpc-encoding", "identity")], flagged(1, &[1])),
        ("of a kind that is not known", PUT, &[("grpc-encoding", "snappy")], flagged(1, &[1])),
    ];
    for (name, path, headers, message) in cases {
        let ours = ask(ours.client, path, headers, message.clone()).await;
        let etcd = ask(etcd.client, path, headers, message).await;
        println!("{name}: {etcd:?}");
        assert_eq!(ours, etcd, "{name}");
    }
}

/// A client library that compresses by itself is served on every service.
#[tokio::test]
async fn a_client_that_compresses() {
    use quorate_proto::etcdserverpb as pb;
    use tonic::codec::CompressionEncoding::Gzip;
    let folder = tempfile::tempdir().unwrap();
    let member = member(&ours(), folder.path(), "m1");
    let url = format!("http://127.0.0.1:{}", member.client);
    let channel = tonic::transport::Endpoint::new(url).unwrap().connect().await.unwrap();
    macro_rules! client {
        ($client:path) => {
            <$client>::new(channel.clone()).send_compressed(Gzip).accept_compressed(Gzip)
        };
    }
    type Channel = tonic::transport::Channel;
    let mut kv = client!(pb::kv_client::KvClient<Channel>);
    let value = vec![b'v'; 100_000];
    kv.put(PutRequest { key: "a".into(), value: value.clone().into(), ..Default::default() })
        .await
        .unwrap();
    let got = kv.range(RangeRequest { key: "a".into(), ..Default::default() }).await.unwrap();
    assert_eq!(got.into_inner().kvs[0].value, value);
    let mut lease = client!(pb::lease_client::LeaseClient<Channel>);
    lease.lease_grant(pb::LeaseGrantRequest { ttl: 100, id: 7 }).await.unwrap();
    let mut cluster = client!(pb::cluster_client::ClusterClient<Channel>);
    cluster.member_list(pb::MemberListRequest::default()).await.unwrap();
    let mut maintenance = client!(pb::maintenance_client::MaintenanceClient<Channel>);
    maintenance.status(pb::StatusRequest {}).await.unwrap();
    let mut auth = client!(pb::auth_client::AuthClient<Channel>);
    auth.auth_status(pb::AuthStatusRequest {}).await.unwrap();
}
