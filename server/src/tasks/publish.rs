//! Tells the cluster this member's name and client URLs; until that is committed it has not started.

use crate::apply::Outcome;
use crate::raft::Raft;
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::membershippb::{Attributes, ClusterMemberAttrSetRequest};
use std::time::Duration;

/// Pause after a failed try.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Publishes until it has succeeded. Saying it twice does no harm, so it is tried again even when the outcome of a
/// try is unknown.
pub async fn publish_attributes(
    raft: &Raft<Outcome>,
    member_id: u64,
    name: &str,
    client_urls: &[String],
) {
    let attributes = Attributes { name: name.to_owned(), client_urls: client_urls.to_vec() };
    let request = InternalRaftRequest {
        cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
            member_id,
            member_attributes: Some(attributes),
        }),
        ..InternalRaftRequest::default()
    };
    loop {
        match raft.propose(request.clone()).await {
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "failed to publish local member to cluster through raft");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
