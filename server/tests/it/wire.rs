//! Requests as data, sent over gRPC to any server of etcd's API, and answers as text that two servers can be compared
//! by: ids, terms and addresses masked.

use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use std::fmt::Debug;
use std::time::Duration;
use tonic::Status;
use tonic::transport::Channel;

/// One call.
#[derive(Clone, Debug)]
pub enum Call {
    Range(pb::RangeRequest),
    RangeStream(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    KeepAlive(i64),
    TimeToLive(pb::LeaseTimeToLiveRequest),
    Leases,
    Alarm(pb::AlarmRequest),
    HashKv(i64),
    MemberAdd(pb::MemberAddRequest),
    MemberRemove(u64),
    MemberUpdate(pb::MemberUpdateRequest),
    MemberPromote(u64),
    MoveLeader(u64),
    Downgrade(pb::DowngradeRequest),
    /// Requests on one stream, and how many messages to wait for.
    Watch(Vec<pb::WatchRequest>, usize),
}

/// A connection to one server.
#[derive(Clone)]
pub struct Wire {
    channel: Channel,
}

/// Time that a watch has to say what it has to say.
const WATCH_TIME: Duration = Duration::from_secs(5);

fn text<T: Debug>(answer: Result<tonic::Response<T>, Status>) -> String {
    match answer {
        Ok(response) => format!("{:?}", response.into_inner()),
        Err(status) => error_text(&status),
    }
}

fn error_text(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Wire {
    pub async fn connect(url: &str) -> Wire {
        let channel = Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        Wire { channel }
    }

    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub async fn call(&self, call: Call) -> String {
        match call {
            Call::Range(request) => text(self.kv().range(request).await),
            Call::RangeStream(request) => self.range_stream(request).await,
            Call::Put(request) => text(self.kv().put(request).await),
            Call::Delete(request) => text(self.kv().delete_range(request).await),
            Call::Txn(request) => text(self.kv().txn(request).await),
            Call::Compact(request) => text(self.kv().compact(request).await),
            Call::Grant(request) => text(self.lease().lease_grant(request).await),
            Call::Revoke(request) => text(self.lease().lease_revoke(request).await),
            Call::KeepAlive(id) => self.keep_alive(id).await,
            Call::TimeToLive(request) => text(self.lease().lease_time_to_live(request).await),
            Call::Leases => text(self.lease().lease_leases(pb::LeaseLeasesRequest {}).await),
            Call::Alarm(request) => text(self.maintenance().alarm(request).await),
            Call::HashKv(revision) => {
                text(self.maintenance().hash_kv(pb::HashKvRequest { revision }).await)
            }
            Call::MemberAdd(request) => text(self.cluster().member_add(request).await),
            Call::MemberRemove(id) => {
                text(self.cluster().member_remove(pb::MemberRemoveRequest { id }).await)
            }
            Call::MemberUpdate(request) => text(self.cluster().member_update(request).await),
            Call::MemberPromote(id) => {
                text(self.cluster().member_promote(pb::MemberPromoteRequest { id }).await)
            }
            Call::MoveLeader(target_id) => {
                text(self.maintenance().move_leader(pb::MoveLeaderRequest { target_id }).await)
            }
            Call::Downgrade(request) => text(self.maintenance().downgrade(request).await),
            Call::Watch(requests, n) => self.watch(requests, n).await,
        }
    }

    async fn range_stream(&self, request: pb::RangeRequest) -> String {
        let mut stream = match self.kv().range_stream(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return error_text(&status),
        };
        let mut lines = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => lines.push(format!("{message:?}")),
                Ok(None) => return lines.join("\n"),
                Err(status) => {
                    lines.push(error_text(&status));
                    return lines.join("\n");
                }
            }
        }
    }

    async fn keep_alive(&self, id: i64) -> String {
        let requests = tokio_stream::iter([pb::LeaseKeepAliveRequest { id }]);
        match self.lease().lease_keep_alive(requests).await {
            Ok(stream) => match stream.into_inner().message().await {
                Ok(message) => format!("{message:?}"),
                Err(status) => error_text(&status),
            },
            Err(status) => error_text(&status),
        }
    }

    /// All messages of the stream until `n` have come, merged where a server was free to cut.
    async fn watch(&self, requests: Vec<pb::WatchRequest>, n: usize) -> String {
        use tokio_stream::StreamExt;
        let open = tokio_stream::iter(requests).chain(tokio_stream::pending());
        let mut client = WatchClient::new(self.channel.clone());
        let mut stream = match client.watch(open).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return error_text(&status),
        };
        let mut lines = Vec::new();
        for _ in 0..n {
            match tokio::time::timeout(WATCH_TIME, stream.message()).await {
                Ok(Ok(Some(message))) => lines.push(format!("{message:?}")),
                Ok(Ok(None)) => lines.push("end".to_owned()),
                Ok(Err(status)) => lines.push(error_text(&status)),
                Err(_) => lines.push("nothing more".to_owned()),
            }
        }
        lines.join("\n")
    }
}

/// Hides what two servers may differ in: the values of these fields.
pub fn mask(text: &str) -> String {
    const FIELDS: [&str; 3] = ["cluster_id: ", "member_id: ", "raft_term: "];
    let mut masked = text.to_owned();
    for field in FIELDS {
        let mut out = String::with_capacity(masked.len());
        let mut rest = masked.as_str();
        while let Some(at) = rest.find(field) {
            let (before, after) = rest.split_at(at + field.len());
            out.push_str(before);
            let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            out.push(if after.starts_with("0,") { '0' } else { 'X' });
            rest = &after[end..];
        }
        out.push_str(rest);
        masked = out;
    }
    masked
}

/// Shorthand for bytes.
pub fn b(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
