//! Many proposals share one sync.

use std::sync::atomic::Ordering;

use super::cluster::Cluster;
use super::machine::put;

/// 64 callers at once need far fewer syncs than they make proposals.
#[tokio::test(flavor = "multi_thread")]
async fn proposals_share_syncs() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let before = cluster.nodes[&1].syncs.0.load(Ordering::Relaxed);
    let callers = (0..64).map(|caller| {
        let raft = cluster.raft(1);
        tokio::spawn(async move {
            for i in 0..20 {
                raft.propose(put(&format!("{caller}-{i}"), "v")).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let syncs = cluster.nodes[&1].syncs.0.load(Ordering::Relaxed) - before;
    // Without sharing there would be one each; how many share depends on how busy the machine is.
    assert!(syncs < 64 * 20 / 2, "{syncs} syncs for {} proposals", 64 * 20);
    assert_eq!(cluster.settled().await.keys.len(), 64 * 20);
    cluster.stop().await;
}
