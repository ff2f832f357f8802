//! Leases on the leader: deadlines are taken up and given back with leadership, expired leases are revoked through
//! the log, long ones are checkpointed.

use crate::apply::{Outcome, State};
use crate::auth::ROOT;
use crate::metrics::Metrics;
use crate::raft::Raft;
use futures::StreamExt;
use futures::stream;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest, RequestHeader,
};
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at the deadlines.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);
/// Leases taken in one look; the next look follows at once when there are more.
const EXPIRY_BATCH: usize = 2000;
/// Revocations under way at a time.
const REVOKES_IN_FLIGHT: usize = 128;
/// etcd's interval and threshold of checkpoints, and its most per entry.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
const CHECKPOINTS_PER_ENTRY: usize = 1000;

/// Keeps the leases of a cluster while its member leads.
pub struct LeaseKeeper {
    /// Leadership and proposals.
    pub raft: Raft<Outcome>,
    /// The leases.
    pub state: Arc<State>,
    /// What expired is counted.
    pub metrics: Metrics,
    /// `--election-timeout`: what a new leader adds to every deadline.
    pub election: Duration,
    /// Feature gate `LeaseCheckpoint`: what is left of a long TTL outlives a change of the leader.
    pub keeps_ttl: bool,
}

impl LeaseKeeper {
    /// Runs until the task is dropped.
    pub async fn run(self) {
        let local = self.state.cluster.local_id();
        let mut leadership = self.raft.watch_leader();
        let mut generation = self.state.generation();
        loop {
            if leadership.borrow_and_update().leader == Some(local) {
                // Everything of earlier terms must be applied, or a renewal could miss a lease.
                if self.raft.read_index().await.is_ok() {
                    self.state.lessor.lead(self.election);
                    tokio::select! {
                        () = self.expire() => {}
                        () = self.checkpoint() => {}
                        _ = leadership.wait_for(|now| now.leader != Some(local)) => {}
                        _ = generation.changed() => {}
                    }
                    self.state.lessor.follow();
                    continue;
                }
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                continue;
            }
            self.state.lessor.follow();
            if leadership.changed().await.is_err() {
                return;
            }
        }
    }

    async fn expire(&self) {
        loop {
            let expired = self.state.lessor.expired(EXPIRY_BATCH);
            if expired.is_empty() {
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                continue;
            }
            // Only a proven leader revokes: one that was cut off must not propose what a new leader may not know.
            if self.raft.read_index().await.is_err() {
                tokio::time::sleep(EXPIRY_INTERVAL).await;
                continue;
            }
            let revoke = |id| async move { self.revoke(id).await };
            stream::iter(expired).for_each_concurrent(REVOKES_IN_FLIGHT, revoke).await;
        }
    }

    /// A revocation without an outcome is tried again at the next look, if the lease is still there.
    async fn revoke(&self, id: i64) {
        let lease_revoke = Some(LeaseRevokeRequest { id });
        // Nobody's wish, but the keys may be anybody's: with authentication on only root may let all of them go.
        let header = Some(RequestHeader {
            id: 0,
            username: ROOT.to_owned(),
            auth_revision: self.state.auth.view().revision(),
        });
        let request = InternalRaftRequest { header, lease_revoke, ..Default::default() };
        match self.raft.propose(request).await {
            Ok(Ok(_)) => self.metrics.lease.expired.inc(),
            // Its holder was faster.
            Ok(Err(EtcdError::LeaseNotFound)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease_id = format_args!("{id:016x}"), %error, "failed to revoke lease");
            }
            Err(error) => {
                tracing::warn!(lease_id = format_args!("{id:016x}"), %error, "failed to revoke lease");
            }
        }
    }

    async fn checkpoint(&self) {
        if !self.keeps_ttl {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(CHECKPOINT_INTERVAL).await;
            let leases = self.state.lessor.long_lived(CHECKPOINT_INTERVAL, usize::MAX);
            for chunk in leases.chunks(CHECKPOINTS_PER_ENTRY) {
                let checkpoint = |(id, remaining_ttl): &(i64, i64)| LeaseCheckpoint {
                    id: *id,
                    remaining_ttl: *remaining_ttl,
                };
                let checkpoints = chunk.iter().map(checkpoint).collect();
                let lease_checkpoint = Some(LeaseCheckpointRequest { checkpoints });
                let request = InternalRaftRequest { lease_checkpoint, ..Default::default() };
                if let Err(error) = self.raft.propose(request).await {
                    tracing::warn!(%error, "failed to checkpoint leases");
                }
            }
        }
    }
}
