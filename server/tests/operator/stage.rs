//! What these tests begin with: members of Quorate or etcd with flags, calls, and waiting with a limit.

use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use testbed::{Cluster, Plan, Process, free_ports};
use tonic::transport::Channel;

pub const SERVER: &str = env!("CARGO_BIN_EXE_quorate-server");
/// Longest time that anything here may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub fn start(program: &Path, folder: &Path, members: usize, extra: &[&str]) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    let extra: Vec<String> = extra.iter().map(|flag| (*flag).to_owned()).collect();
    Cluster::start(&Plan { program, members, folder, extra: &extra }).unwrap()
}

pub fn ours(folder: &Path, members: usize, extra: &[&str]) -> Cluster {
    start(Path::new(SERVER), folder, members, extra)
}

/// A member that is laid out by hand: everything but how it finds the others.
pub struct Lone {
    pub process: Process,
    pub client: String,
    pub peer: String,
}

pub fn lone(program: &Path, folder: &Path, name: &str, extra: &[String]) -> Lone {
    lone_on(program, folder, name, &free_ports(2).unwrap(), extra)
}

/// The same on these ports: the first for clients, the second for peers.
pub fn lone_on(program: &Path, folder: &Path, name: &str, ports: &[u16], extra: &[String]) -> Lone {
    std::fs::create_dir_all(folder).unwrap();
    let (client, peer) =
        (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
    let mut flags = vec![
        format!("--name={name}"),
        format!("--data-dir={}", folder.join(name).display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
    ];
    flags.extend_from_slice(extra);
    Lone { process: Process::new(name, folder, program, &flags), client, peer }
}

#[derive(Clone)]
pub struct Caller(pub Channel);

impl Caller {
    pub async fn to(url: &str) -> Caller {
        Caller(Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap())
    }

    pub fn kv(&self) -> KvClient<Channel> {
        let client = KvClient::new(self.0.clone());
        client.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.0.clone())
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.0.clone())
    }

    pub async fn put(&self, key: &str, value: impl Into<Bytes>) -> Result<(), tonic::Status> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let request = pb::PutRequest { key, value: value.into(), ..Default::default() };
        self.kv().put(request).await.map(drop)
    }

    pub async fn status(&self) -> pb::StatusResponse {
        self.maintenance().status(pb::StatusRequest {}).await.unwrap().into_inner()
    }

    pub async fn members(&self, linearizable: bool) -> Vec<pb::Member> {
        let request = pb::MemberListRequest { linearizable };
        self.cluster().member_list(request).await.unwrap().into_inner().members
    }

    pub async fn alarms(&self) -> Vec<pb::AlarmMember> {
        let answer = self.maintenance().alarm(pb::AlarmRequest::default()).await;
        answer.map(|answer| answer.into_inner().alarms).unwrap_or_default()
    }
}

/// Waits until `look` finds something.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
