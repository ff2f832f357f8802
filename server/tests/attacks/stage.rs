//! Servers under attack and those who attack them: a cluster of any program, callers with and without a token.

use quorate_proto::authpb::{Permission, permission::Type};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testbed::{Cluster, Plan, Version, reference};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Longest time that anything here may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Our server.
pub fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quorate-server"))
}

/// An etcd that has the holes of 2026 which it is old enough for.
pub fn old_etcd() -> PathBuf {
    reference(Version::V3_5_1, "etcd")
}

/// A cluster on plain ports.
pub struct Stage {
    pub cluster: Cluster,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub fn start(program: &Path, members: usize, extra: &[&str]) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec!["--bcrypt-cost=4".to_owned()];
        all.extend(extra.iter().map(|flag| (*flag).to_owned()));
        let plan = Plan { program, members, folder: folder.path(), extra: &all };
        Stage { cluster: Cluster::start(&plan).unwrap(), _folder: folder }
    }

    /// Somebody without a token at a member.
    pub fn nobody_at(&self, member: usize) -> Caller {
        let url = self.cluster.members[member].client_url.clone();
        let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
        Caller { channel, token: None }
    }

    pub fn nobody(&self) -> Caller {
        self.nobody_at(0)
    }

    /// Users `root` and `alice`, whose passwords are their names; alice has these permissions. Authentication is on, and
    /// root has put `secret`.
    pub async fn with_alice(&self, granted: &[Permission]) -> (Caller, Caller) {
        let nobody = self.nobody();
        nobody.add_user("root").await;
        nobody.add_user("alice").await;
        nobody.auth().role_add(pb::AuthRoleAddRequest { name: "r".into() }).await.unwrap();
        for perm in granted {
            let request =
                pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: Some(perm.clone()) };
            nobody.auth().role_grant_permission(request).await.unwrap();
        }
        nobody.grant_role("root", "root").await;
        nobody.grant_role("alice", "r").await;
        nobody.put("secret", "treasure").await.unwrap();
        nobody.auth().auth_enable(pb::AuthEnableRequest {}).await.unwrap();
        (nobody.login("root").await, nobody.login("alice").await)
    }
}

/// Who calls.
#[derive(Clone)]
pub struct Caller {
    pub channel: Channel,
    pub token: Option<String>,
}

impl Caller {
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(PATIENCE);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().unwrap());
        }
        request
    }

    pub fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    pub fn lease(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub fn watch(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone())
    }

    pub async fn add_user(&self, name: &str) {
        let (name, password) = (name.to_owned(), name.to_owned());
        let request = pb::AuthUserAddRequest { name, password, ..Default::default() };
        self.auth().user_add(self.request(request)).await.unwrap();
    }

    pub async fn grant_role(&self, user: &str, role: &str) {
        let request = pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
        self.auth().user_grant_role(self.request(request)).await.unwrap();
    }

    /// The same connection in a user's name.
    pub async fn login(&self, name: &str) -> Caller {
        let request = pb::AuthenticateRequest { name: name.into(), password: name.into() };
        let token = self.auth().authenticate(request).await.unwrap().into_inner().token;
        Caller { channel: self.channel.clone(), token: Some(token) }
    }

    pub async fn put(&self, key: &str, value: &str) -> Result<(), Status> {
        self.kv().put(self.request(put(key, value))).await.map(drop)
    }

    pub async fn txn(&self, txn: pb::TxnRequest) -> Result<pb::TxnResponse, Status> {
        self.kv().txn(self.request(txn)).await.map(tonic::Response::into_inner)
    }

    pub async fn get(&self, key: &str) -> Result<pb::RangeResponse, Status> {
        self.kv().range(self.request(range(key, ""))).await.map(tonic::Response::into_inner)
    }
}

fn bytes(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

pub fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: bytes(key), value: bytes(value), ..Default::default() }
}

pub fn range(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), range_end: bytes(end), ..Default::default() }
}

/// A permission for `[key, end)`, or for one key where there is no end.
pub fn permission(kind: Type, key: &str, end: &str) -> Permission {
    Permission { perm_type: kind as i32, key: bytes(key), range_end: bytes(end) }
}

/// A transaction that does this whatever is true.
pub fn always(ops: Vec<Op>) -> pb::TxnRequest {
    let ops = ops.into_iter().map(|op| pb::RequestOp { request: Some(op) });
    pb::TxnRequest { success: ops.collect(), ..Default::default() }
}

/// A transaction so many levels inside others.
pub fn nested(inner: pb::TxnRequest, levels: usize) -> pb::TxnRequest {
    (0..levels).fold(inner, |inner, _| always(vec![Op::RequestTxn(inner)]))
}
