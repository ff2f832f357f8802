//! The Cluster service: who the members are.

use crate::call::{Client, Method};
use crate::error::Result;
use quorate_proto::etcdserverpb as pb;

/// The Cluster service. Errors are the server's.
#[derive(Clone)]
pub struct ClusterClient(Client);

impl Client {
    /// The Cluster service.
    pub fn cluster(&self) -> ClusterClient {
        ClusterClient(self.clone())
    }
}

impl ClusterClient {
    /// The members, confirmed by a quorum.
    pub async fn member_list(&self) -> Result<pb::MemberListResponse> {
        self.list(true).await
    }

    /// The members as the asked member knows them; works without a quorum.
    pub async fn member_list_local(&self) -> Result<pb::MemberListResponse> {
        self.list(false).await
    }

    async fn list(&self, linearizable: bool) -> Result<pb::MemberListResponse> {
        let method = Method::read("/etcdserverpb.Cluster/MemberList");
        self.0.unary(method, pb::MemberListRequest { linearizable }).await
    }

    /// Adds a voter.
    pub async fn member_add(&self, peer_urls: Vec<String>) -> Result<pb::MemberAddResponse> {
        self.add(peer_urls, false).await
    }

    /// Adds a learner.
    pub async fn member_add_learner(
        &self,
        peer_urls: Vec<String>,
    ) -> Result<pb::MemberAddResponse> {
        self.add(peer_urls, true).await
    }

    async fn add(
        &self,
        peer_ur_ls: Vec<String>,
        is_learner: bool,
    ) -> Result<pb::MemberAddResponse> {
        let method = Method::write("/etcdserverpb.Cluster/MemberAdd");
        self.0.unary(method, pb::MemberAddRequest { peer_ur_ls, is_learner }).await
    }

    /// Removes a member for good.
    pub async fn member_remove(&self, id: u64) -> Result<pb::MemberRemoveResponse> {
        let method = Method::write("/etcdserverpb.Cluster/MemberRemove");
        self.0.unary(method, pb::MemberRemoveRequest { id }).await
    }

    /// Replaces a member's peer URLs.
    pub async fn member_update(
        &self,
        id: u64,
        peer_urls: Vec<String>,
    ) -> Result<pb::MemberUpdateResponse> {
        let method = Method::write("/etcdserverpb.Cluster/MemberUpdate");
        self.0.unary(method, pb::MemberUpdateRequest { id, peer_ur_ls: peer_urls }).await
    }

    /// Makes a learner a voter.
    pub async fn member_promote(&self, id: u64) -> Result<pb::MemberPromoteResponse> {
        let method = Method::write("/etcdserverpb.Cluster/MemberPromote");
        self.0.unary(method, pb::MemberPromoteRequest { id }).await
    }
}
