//! The generated services with our handlers and limits in them, one of each, cloned per call.

use super::auth::AuthApi;
use super::cluster::ClusterApi;
use super::context::SharedContext;
use super::election::ElectionApi;
use super::health::HealthApi;
use super::kv::KvApi;
use super::lease::LeaseApi;
use super::lock::LockApi;
use super::maintenance::MaintenanceApi;
use super::watch::WatchApi;
use quorate_proto::etcdserverpb::auth_server::AuthServer;
use quorate_proto::etcdserverpb::cluster_server::ClusterServer;
use quorate_proto::etcdserverpb::kv_server::KvServer;
use quorate_proto::etcdserverpb::lease_server::LeaseServer;
use quorate_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use quorate_proto::v3electionpb::election_server::ElectionServer;
use quorate_proto::v3lockpb::lock_server::LockServer;
use tonic::codec::CompressionEncoding;
use tonic_health::pb::health_server::HealthServer;

/// What grpc-go allows above `--max-request-bytes`, in bytes.
pub const GRPC_OVERHEAD_BYTES: usize = 512 * 1024;
/// Largest answer, in bytes: what grpc-go calls unlimited.
const ANSWER_BYTES_MAX: usize = i32::MAX as usize;

/// All services of the client port.
pub struct Services {
    pub(super) kv: KvServer<KvApi>,
    pub(super) watch: WatchApi,
    pub(super) lease: LeaseServer<LeaseApi>,
    pub(super) cluster: ClusterServer<ClusterApi>,
    pub(super) maintenance: MaintenanceServer<MaintenanceApi>,
    pub(super) auth: AuthServer<AuthApi>,
    pub(super) lock: LockServer<LockApi>,
    pub(super) election: ElectionServer<ElectionApi>,
    pub(super) health: HealthServer<HealthApi>,
}

/// How the messages of a call are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// Compressed both ways: grpc-go answers as it is asked, whatever the client says it takes.
    Gzip,
}

/// A server for messages of this encoding.
macro_rules! encoded {
    ($encoding:expr, $server:expr) => {
        match $encoding {
            Encoding::Identity => $server,
            Encoding::Gzip => $server
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip),
        }
    };
}

impl Services {
    /// Builds the services of a member.
    pub fn new(context: &SharedContext, encoding: Encoding) -> Services {
        let receive = context.limits.request_bytes_max + GRPC_OVERHEAD_BYTES;
        let maintenance = MaintenanceServer::new(MaintenanceApi::new(context.clone()))
            .max_decoding_message_size(receive);
        let kv = KvServer::new(KvApi::new(context.clone()))
            .max_decoding_message_size(receive)
            .max_encoding_message_size(ANSWER_BYTES_MAX);
        let lease = LeaseServer::new(LeaseApi::new(context.clone()))
            .max_decoding_message_size(receive)
            .max_encoding_message_size(ANSWER_BYTES_MAX);
        let cluster =
            ClusterServer::new(ClusterApi::new(context.clone())).max_decoding_message_size(receive);
        let auth =
            AuthServer::new(AuthApi::new(context.clone())).max_decoding_message_size(receive);
        let lock =
            LockServer::new(LockApi::new(context.clone())).max_decoding_message_size(receive);
        let election = ElectionServer::new(ElectionApi::new(context.clone()))
            .max_decoding_message_size(receive)
            .max_encoding_message_size(ANSWER_BYTES_MAX);
        Services {
            kv: encoded!(encoding, kv),
            watch: WatchApi::new(context.clone(), receive, encoding),
            lease: encoded!(encoding, lease),
            cluster: encoded!(encoding, cluster),
            maintenance: encoded!(encoding, maintenance),
            auth: encoded!(encoding, auth),
            lock: encoded!(encoding, lock),
            election: encoded!(encoding, election),
            health: encoded!(encoding, HealthServer::new(HealthApi::new(context.clone()))),
        }
    }
}
