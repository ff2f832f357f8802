//! Every gRPC method that the client port knows, with what the door must know about it before the handler runs.

/// Shape of a call, in the words of the `grpc_type` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, one answer.
    Unary,
    /// One request, a stream of answers.
    ServerStream,
    /// Streams both ways.
    BidiStream,
}

impl Shape {
    /// The label.
    pub const fn label(self) -> &'static str {
        match self {
            Shape::Unary => "unary",
            Shape::ServerStream => "server_stream",
            Shape::BidiStream => "bidi_stream",
        }
    }
}

/// One method.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Shape of the call.
    pub shape: Shape,
    /// Served on a learner; `Range` is, when serializable, which its handler decides.
    pub on_learner: bool,
}

impl Method {
    /// Service and method name.
    pub fn names(&self) -> (&'static str, &'static str) {
        let path = self.path.trim_start_matches('/');
        path.split_once('/').unwrap_or((path, ""))
    }
}

const fn unary(path: &'static str) -> Method {
    Method { path, shape: Shape::Unary, on_learner: false }
}

/// All methods that are served.
pub const METHODS: &[Method] = &[
    Method { path: "/etcdserverpb.KV/Range", shape: Shape::Unary, on_learner: true },
    Method { path: "/etcdserverpb.KV/RangeStream", shape: Shape::ServerStream, on_learner: false },
    unary("/etcdserverpb.KV/Put"),
    unary("/etcdserverpb.KV/DeleteRange"),
    unary("/etcdserverpb.KV/Txn"),
    unary("/etcdserverpb.KV/Compact"),
    Method { path: "/etcdserverpb.Watch/Watch", shape: Shape::BidiStream, on_learner: false },
    unary("/etcdserverpb.Lease/LeaseGrant"),
    unary("/etcdserverpb.Lease/LeaseRevoke"),
    Method {
        path: "/etcdserverpb.Lease/LeaseKeepAlive",
        shape: Shape::BidiStream,
        on_learner: false,
    },
    unary("/etcdserverpb.Lease/LeaseTimeToLive"),
    unary("/etcdserverpb.Lease/LeaseLeases"),
    unary("/etcdserverpb.Cluster/MemberAdd"),
    unary("/etcdserverpb.Cluster/MemberRemove"),
    unary("/etcdserverpb.Cluster/MemberUpdate"),
    unary("/etcdserverpb.Cluster/MemberList"),
    unary("/etcdserverpb.Cluster/MemberPromote"),
    unary("/etcdserverpb.Maintenance/Alarm"),
    Method { path: "/etcdserverpb.Maintenance/Status", shape: Shape::Unary, on_learner: true },
    unary("/etcdserverpb.Maintenance/Defragment"),
    unary("/etcdserverpb.Maintenance/Hash"),
    unary("/etcdserverpb.Maintenance/HashKV"),
    Method {
        path: "/etcdserverpb.Maintenance/Snapshot",
        shape: Shape::ServerStream,
        on_learner: true,
    },
    unary("/etcdserverpb.Maintenance/MoveLeader"),
    unary("/etcdserverpb.Maintenance/Downgrade"),
    unary("/etcdserverpb.Auth/AuthEnable"),
    unary("/etcdserverpb.Auth/AuthDisable"),
    unary("/etcdserverpb.Auth/AuthStatus"),
    unary("/etcdserverpb.Auth/Authenticate"),
    unary("/etcdserverpb.Auth/UserAdd"),
    unary("/etcdserverpb.Auth/UserGet"),
    unary("/etcdserverpb.Auth/UserList"),
    unary("/etcdserverpb.Auth/UserDelete"),
    unary("/etcdserverpb.Auth/UserChangePassword"),
    unary("/etcdserverpb.Auth/UserGrantRole"),
    unary("/etcdserverpb.Auth/UserRevokeRole"),
    unary("/etcdserverpb.Auth/RoleAdd"),
    unary("/etcdserverpb.Auth/RoleGet"),
    unary("/etcdserverpb.Auth/RoleList"),
    unary("/etcdserverpb.Auth/RoleDelete"),
    unary("/etcdserverpb.Auth/RoleGrantPermission"),
    unary("/etcdserverpb.Auth/RoleRevokePermission"),
    unary("/v3lockpb.Lock/Lock"),
    unary("/v3lockpb.Lock/Unlock"),
    unary("/v3electionpb.Election/Campaign"),
    unary("/v3electionpb.Election/Proclaim"),
    unary("/v3electionpb.Election/Leader"),
    Method {
        path: "/v3electionpb.Election/Observe",
        shape: Shape::ServerStream,
        on_learner: false,
    },
    unary("/v3electionpb.Election/Resign"),
    // etcd's interceptor makes no exception for health: a learner does not tell.
    unary("/grpc.health.v1.Health/Check"),
    Method { path: "/grpc.health.v1.Health/Watch", shape: Shape::ServerStream, on_learner: false },
];
