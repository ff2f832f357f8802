//! Every call that there is, without a token and with one that nobody holds: a call that forgets to ask is found here
//! the day it is added.

use super::stage::{Caller, PATIENCE, Stage, always, ours, range};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::v3electionpb as epb;
use tokio_stream::StreamExt;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// Messages as their bytes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The paths of all methods in our descriptors, those between members included.
fn methods() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(quorate_proto::DESCRIPTORS).unwrap();
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let of = |method: &prost_types::MethodDescriptorProto| {
                format!("/{}.{}/{}", file.package(), service.name(), method.name())
            };
            paths.extend(service.method.iter().map(of));
        }
    }
    paths
}

/// A message that passes the checks that need no caller.
fn message(path: &str) -> Vec<u8> {
    let leader = epb::LeaderKey { name: "k".into(), key: "k".into(), rev: 1, lease: 1 };
    match path {
        "/etcdserverpb.KV/Txn" => always(vec![Op::RequestRange(range("k", ""))]).encode_to_vec(),
        "/etcdserverpb.Watch/Watch" => {
            let create = pb::WatchCreateRequest { key: "k".into(), ..Default::default() };
            let request_union = Some(RequestUnion::CreateRequest(create));
            pb::WatchRequest { request_union }.encode_to_vec()
        }
        "/etcdserverpb.Cluster/MemberAdd" => {
            let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
            pb::MemberAddRequest { peer_ur_ls, is_learner: true }.encode_to_vec()
        }
        "/v3electionpb.Election/Proclaim" => {
            epb::ProclaimRequest { leader: Some(leader), value: "v".into() }.encode_to_vec()
        }
        "/v3electionpb.Election/Resign" => {
            epb::ResignRequest { leader: Some(leader) }.encode_to_vec()
        }
        "/etcdserverpb.KV/Compact" => vec![0x08, 1],
        // The first field is a key or a name.
        path if ["KV/", "Auth/", "Lock/", "Election/"].iter().any(|part| path.contains(part)) => {
            vec![0x0a, 1, b'k']
        }
        _ => Vec::new(),
    }
}

/// The first word of the server: the text of the refusal, or what the first message holds.
async fn first_word(caller: &Caller, path: &str) -> (Option<Code>, String) {
    let mut client = tonic::client::Grpc::new(caller.channel.clone());
    client.ready().await.unwrap();
    // Open to the end: some calls would be over with their requests.
    let requests = tokio_stream::iter([message(path)]).chain(tokio_stream::pending());
    let unary = tokio_stream::iter([message(path)]);
    let is_stream = ["Watch/Watch", "LeaseKeepAlive", "Peer/Append", "Peer/Relay"];
    let path_and_query = path.parse().unwrap();
    let answer = if is_stream.iter().any(|end| path.ends_with(end)) {
        client.streaming(caller.request(requests), path_and_query, Raw).await
    } else {
        client.streaming(caller.request(unary), path_and_query, Raw).await
    };
    let said = match answer {
        Err(status) => Err(status),
        Ok(answer) => {
            let mut stream = answer.into_inner();
            tokio::time::timeout(PATIENCE, stream.message()).await.unwrap()
        }
    };
    match said {
        Err(status) => (Some(status.code()), status.message().to_owned()),
        Ok(message) => (None, String::from_utf8_lossy(&message.unwrap_or_default()).into_owned()),
    }
}

/// Nobody, and somebody with a made-up token, get no call answered but those that exist for them, at no member.
#[tokio::test]
async fn every_call_asks_who_calls() {
    let stage = Stage::start(&ours(), 3, &[]);
    stage.with_alice(&[]).await;
    let paths = methods();
    assert!(paths.len() > 45, "{paths:?}");
    let mut open = Vec::new();
    for member in 0..3 {
        let nobody = stage.nobody_at(member);
        let stranger =
            Caller { token: Some("abcdefghijklmnop.1".to_owned()), ..stage.nobody_at(member) };
        for (who, caller, refusal) in [
            ("nobody", nobody, "etcdserver: user name is empty"),
            ("stranger", stranger, "etcdserver: invalid auth token"),
        ] {
            for path in &paths {
                let (code, text) = first_word(&caller, path).await;
                let is_refused = text.contains(refusal)
                    // The peers' port is elsewhere.
                    || (path.starts_with("/quoratepb.") && code == Some(Code::Unimplemented))
                    // etcd's words whatever the reason is; nothing is shown.
                    || (path.ends_with("/Observe") && text == "election: observe closed early");
                if !is_refused {
                    open.push(format!("{who} {path} {code:?}"));
                }
            }
        }
    }
    open.sort_unstable();
    open.dedup();
    let login = "/etcdserverpb.Auth/Authenticate Some(InvalidArgument)";
    let expected = [
        format!("nobody {}", "/etcdserverpb.Auth/AuthStatus None"),
        format!("nobody {login}"),
        format!("stranger {login}"),
    ];
    assert_eq!(open, expected);
}
