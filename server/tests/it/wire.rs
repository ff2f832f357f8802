//! Requests as data, sent over gRPC to any server of etcd's API, and answers as text that two servers can be compared
//! by: ids, terms and addresses masked.

use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::cluster_client::ClusterClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
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
    MemberList(bool),
    Status,
    Hash,
    Defragment,
    /// Only whether it begins: what it holds differs.
    Snapshot,
    Auth(AuthCall),
    /// Requests on one stream, and how many messages to wait for.
    Watch(Vec<pb::WatchRequest>, usize),
}

/// A call of the Auth service.
#[derive(Clone, Debug)]
pub enum AuthCall {
    Enable,
    Disable,
    Status,
    /// Name and password; the token itself is not compared.
    Login(&'static str, &'static str),
    UserAdd(pb::AuthUserAddRequest),
    UserGet(&'static str),
    UserList,
    UserDelete(&'static str),
    ChangePassword(pb::AuthUserChangePasswordRequest),
    /// User and role.
    GrantRole(&'static str, &'static str),
    /// User and role.
    RevokeRole(&'static str, &'static str),
    RoleAdd(&'static str),
    RoleGet(&'static str),
    RoleList,
    RoleDelete(&'static str),
    Grant(pb::AuthRoleGrantPermissionRequest),
    Revoke(pb::AuthRoleRevokePermissionRequest),
}

/// A connection to one server.
#[derive(Clone)]
pub struct Wire {
    channel: Channel,
    /// Sent with every call, if there is one.
    token: Option<String>,
}

/// Time that a watch has to say what it has to say.
const WATCH_TIME: Duration = Duration::from_secs(5);

fn text<T: Debug>(answer: Result<tonic::Response<T>, Status>) -> String {
    match answer {
        Ok(response) => format!("{:?}", response.into_inner()),
        Err(status) => error_text(&status),
    }
}

/// Only whether it was answered, where what is answered differs between servers.
fn outcome<T>(answer: Result<tonic::Response<T>, Status>) -> String {
    match answer {
        Ok(_) => "answered".to_owned(),
        Err(status) => error_text(&status),
    }
}

fn error_text(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

impl Wire {
    pub async fn connect(url: &str) -> Wire {
        let channel = Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        Wire { channel, token: None }
    }

    /// The same over a connection that was made in another way.
    pub fn over(channel: Channel) -> Wire {
        Wire { channel, token: None }
    }

    /// The same connection for a caller with this token.
    pub fn with_token(&self, token: &str) -> Wire {
        Wire { channel: self.channel.clone(), token: Some(token.to_owned()) }
    }

    /// The connection, for clients of other services.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A request with the token, for calls that are not in the list.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.parse().unwrap());
        }
        request
    }

    pub fn auth(&self) -> AuthClient<Channel> {
        AuthClient::new(self.channel.clone())
    }

    /// Logs in and returns the token.
    pub async fn login(&self, name: &str, password: &str) -> Result<String, Status> {
        let (name, password) = (name.to_owned(), password.to_owned());
        let answer = self.auth().authenticate(pb::AuthenticateRequest { name, password }).await?;
        Ok(answer.into_inner().token)
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
            Call::Range(request) => text(self.kv().range(self.request(request)).await),
            Call::RangeStream(request) => self.range_stream(request).await,
            Call::Put(request) => text(self.kv().put(self.request(request)).await),
            Call::Delete(request) => text(self.kv().delete_range(self.request(request)).await),
            Call::Txn(request) => text(self.kv().txn(self.request(request)).await),
            Call::Compact(request) => text(self.kv().compact(self.request(request)).await),
            Call::Grant(request) => text(self.lease().lease_grant(self.request(request)).await),
            Call::Revoke(request) => text(self.lease().lease_revoke(self.request(request)).await),
            Call::KeepAlive(id) => self.keep_alive(id).await,
            Call::TimeToLive(request) => {
                let mut answer = self.lease().lease_time_to_live(self.request(request)).await;
                // etcd lists them as its map gives them, each time in another order.
                if let Ok(answer) = &mut answer {
                    answer.get_mut().keys.sort_unstable();
                }
                text(answer)
            }
            Call::Leases => {
                text(self.lease().lease_leases(self.request(pb::LeaseLeasesRequest {})).await)
            }
            Call::Alarm(request) => text(self.maintenance().alarm(self.request(request)).await),
            Call::HashKv(revision) => {
                text(self.maintenance().hash_kv(self.request(pb::HashKvRequest { revision })).await)
            }
            Call::MemberAdd(request) => {
                text(self.cluster().member_add(self.request(request)).await)
            }
            Call::MemberRemove(id) => text(
                self.cluster().member_remove(self.request(pb::MemberRemoveRequest { id })).await,
            ),
            Call::MemberUpdate(request) => {
                text(self.cluster().member_update(self.request(request)).await)
            }
            Call::MemberPromote(id) => text(
                self.cluster().member_promote(self.request(pb::MemberPromoteRequest { id })).await,
            ),
            Call::MoveLeader(target_id) => text(
                self.maintenance()
                    .move_leader(self.request(pb::MoveLeaderRequest { target_id }))
                    .await,
            ),
            Call::Downgrade(request) => {
                text(self.maintenance().downgrade(self.request(request)).await)
            }
            Call::MemberList(linearizable) => {
                let request = self.request(pb::MemberListRequest { linearizable });
                outcome(self.cluster().member_list(request).await)
            }
            Call::Status => {
                outcome(self.maintenance().status(self.request(pb::StatusRequest {})).await)
            }
            Call::Hash => outcome(self.maintenance().hash(self.request(pb::HashRequest {})).await),
            Call::Defragment => {
                text(self.maintenance().defragment(self.request(pb::DefragmentRequest {})).await)
            }
            Call::Snapshot => self.snapshot().await,
            Call::Auth(call) => self.auth_call(call).await,
            Call::Watch(requests, n) => self.watch(requests, n).await,
        }
    }

    /// Opens a stream of watches.
    pub async fn watch_stream(
        &self,
        requests: impl tokio_stream::Stream<Item = pb::WatchRequest> + Send + 'static,
    ) -> Result<tonic::Streaming<pb::WatchResponse>, Status> {
        let answer = WatchClient::new(self.channel.clone()).watch(self.request(requests)).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn snapshot(&self) -> String {
        match self.maintenance().snapshot(self.request(pb::SnapshotRequest {})).await {
            Ok(stream) => match stream.into_inner().message().await {
                Ok(_) => "begins".to_owned(),
                Err(status) => error_text(&status),
            },
            Err(status) => error_text(&status),
        }
    }

    async fn auth_call(&self, call: AuthCall) -> String {
        let mut auth = self.auth();
        let own = str::to_owned;
        match call {
            AuthCall::Enable => {
                text(auth.auth_enable(self.request(pb::AuthEnableRequest {})).await)
            }
            AuthCall::Disable => {
                text(auth.auth_disable(self.request(pb::AuthDisableRequest {})).await)
            }
            AuthCall::Status => {
                text(auth.auth_status(self.request(pb::AuthStatusRequest {})).await)
            }
            AuthCall::Login(name, password) => {
                let (name, password) = (own(name), own(password));
                let request = pb::AuthenticateRequest { name, password };
                text(auth.authenticate(self.request(request)).await)
            }
            AuthCall::UserAdd(request) => text(auth.user_add(self.request(request)).await),
            AuthCall::UserGet(name) => {
                text(auth.user_get(self.request(pb::AuthUserGetRequest { name: own(name) })).await)
            }
            AuthCall::UserList => {
                text(auth.user_list(self.request(pb::AuthUserListRequest {})).await)
            }
            AuthCall::UserDelete(name) => {
                let request = pb::AuthUserDeleteRequest { name: own(name) };
                text(auth.user_delete(self.request(request)).await)
            }
            AuthCall::ChangePassword(request) => {
                text(auth.user_change_password(self.request(request)).await)
            }
            AuthCall::GrantRole(user, role) => {
                let request = pb::AuthUserGrantRoleRequest { user: own(user), role: own(role) };
                text(auth.user_grant_role(self.request(request)).await)
            }
            AuthCall::RevokeRole(user, role) => {
                let request = pb::AuthUserRevokeRoleRequest { name: own(user), role: own(role) };
                text(auth.user_revoke_role(self.request(request)).await)
            }
            AuthCall::RoleAdd(name) => {
                text(auth.role_add(self.request(pb::AuthRoleAddRequest { name: own(name) })).await)
            }
            AuthCall::RoleGet(role) => {
                text(auth.role_get(self.request(pb::AuthRoleGetRequest { role: own(role) })).await)
            }
            AuthCall::RoleList => {
                text(auth.role_list(self.request(pb::AuthRoleListRequest {})).await)
            }
            AuthCall::RoleDelete(role) => {
                let request = pb::AuthRoleDeleteRequest { role: own(role) };
                text(auth.role_delete(self.request(request)).await)
            }
            AuthCall::Grant(request) => {
                text(auth.role_grant_permission(self.request(request)).await)
            }
            AuthCall::Revoke(request) => {
                text(auth.role_revoke_permission(self.request(request)).await)
            }
        }
    }

    async fn range_stream(&self, request: pb::RangeRequest) -> String {
        let mut stream = match self.kv().range_stream(self.request(request)).await {
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
        match self.lease().lease_keep_alive(self.request(requests)).await {
            Ok(stream) => match stream.into_inner().message().await {
                Ok(message) => format!("{message:?}"),
                Err(status) => error_text(&status),
            },
            Err(status) => error_text(&status),
        }
    }

    /// All messages of the stream until `n` have come, merged where a server was free to cut.
    async fn watch(&self, requests: Vec<pb::WatchRequest>, n: usize) -> String {
        // etcd answers a request for progress on another way than the others, which it may overtake.
        let is_progress = |request: &pb::WatchRequest| {
            matches!(request.request_union, Some(RequestUnion::ProgressRequest(_)))
        };
        let first = requests.iter().position(is_progress).unwrap_or(requests.len());
        let (sender, receiver) = tokio::sync::mpsc::channel(requests.len().max(1));
        let mut requests = requests.into_iter();
        for request in requests.by_ref().take(first) {
            sender.try_send(request).unwrap();
        }
        let open = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut client = WatchClient::new(self.channel.clone());
        let mut stream = match client.watch(self.request(open)).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return error_text(&status),
        };
        let mut lines = Vec::new();
        for at in 0..n {
            if at == first {
                requests.by_ref().for_each(|request| sender.try_send(request).unwrap());
            }
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
