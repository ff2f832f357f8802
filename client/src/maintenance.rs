//! The Maintenance service: status, alarms, defragmentation, hashes, snapshots, leadership.
//!
//! Most of these are answered by the asked member alone; use them through [`Client::at`].

use crate::call::{Client, Method};
use crate::error::Result;
use crate::snapshot::SnapshotStream;
use quorate_proto::etcdserverpb as pb;

/// The Maintenance service. Errors are the server's.
#[derive(Clone)]
pub struct MaintenanceClient(Client);

impl Client {
    /// The Maintenance service.
    pub fn maintenance(&self) -> MaintenanceClient {
        MaintenanceClient(self.clone())
    }
}

impl MaintenanceClient {
    /// The member's own state; works without a quorum.
    pub async fn status(&self) -> Result<pb::StatusResponse> {
        self.0.unary(Method::read("/etcdserverpb.Maintenance/Status"), pb::StatusRequest {}).await
    }

    /// All alarms of the cluster. Needs a quorum.
    pub async fn alarm_list(&self) -> Result<pb::AlarmResponse> {
        let request = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Get as i32,
            member_id: 0,
            alarm: pb::AlarmType::None as i32,
        };
        self.0.unary(Method::read("/etcdserverpb.Maintenance/Alarm"), request).await
    }

    /// Clears one alarm; answers with it if it was set.
    pub async fn alarm_disarm(&self, alarm: pb::AlarmMember) -> Result<pb::AlarmResponse> {
        let request = pb::AlarmRequest {
            action: pb::alarm_request::AlarmAction::Deactivate as i32,
            member_id: alarm.member_id,
            alarm: alarm.alarm,
        };
        self.0.unary(Method::write("/etcdserverpb.Maintenance/Alarm"), request).await
    }

    /// Reclaims file space. The member serves nothing meanwhile.
    pub async fn defragment(&self) -> Result<pb::DefragmentResponse> {
        let method = Method::write("/etcdserverpb.Maintenance/Defragment");
        self.0.unary(method, pb::DefragmentRequest {}).await
    }

    /// Hash of the member's whole backend.
    pub async fn hash(&self) -> Result<pb::HashResponse> {
        self.0.unary(Method::read("/etcdserverpb.Maintenance/Hash"), pb::HashRequest {}).await
    }

    /// Hash of the key space at `revision`, 0 for now.
    pub async fn hash_kv(&self, revision: i64) -> Result<pb::HashKvResponse> {
        let request = pb::HashKvRequest { revision };
        self.0.unary(Method::read("/etcdserverpb.Maintenance/HashKV"), request).await
    }

    /// Streams the member's snapshot, verified on the way.
    pub async fn snapshot(&self) -> Result<SnapshotStream> {
        let method = Method::read("/etcdserverpb.Maintenance/Snapshot");
        let endpoint = self.0.current_endpoint();
        let client = self.0.with_timeout(None);
        let stream = client.server_stream(method, pb::SnapshotRequest {}).await?;
        Ok(SnapshotStream::new(stream, endpoint))
    }

    /// Hands leadership to `target`; only the leader takes this.
    pub async fn move_leader(&self, target: u64) -> Result<pb::MoveLeaderResponse> {
        let method = Method::write("/etcdserverpb.Maintenance/MoveLeader");
        self.0.unary(method, pb::MoveLeaderRequest { target_id: target }).await
    }

    /// Validates, enables or cancels a downgrade to `version` (`X.Y`).
    pub async fn downgrade(
        &self,
        action: pb::downgrade_request::DowngradeAction,
        version: &str,
    ) -> Result<pb::DowngradeResponse> {
        let path = "/etcdserverpb.Maintenance/Downgrade";
        let method = if action == pb::downgrade_request::DowngradeAction::Validate {
            Method::read(path)
        } else {
            Method::write(path)
        };
        let request = pb::DowngradeRequest { action: action as i32, version: version.to_owned() };
        self.0.unary(method, request).await
    }
}
