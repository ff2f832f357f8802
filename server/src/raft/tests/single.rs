//! A cluster of one member: proposals, restarts and purging where there is nobody to replicate to.

use std::time::Duration;

use super::cluster::Cluster;
use super::machine::put;
use crate::raft::{ProposeError, Role};

/// A fresh member elects itself, applies its bootstrap entries and what is proposed, and answers with the outcome.
#[tokio::test(flavor = "multi_thread")]
async fn proposes_and_applies() {
    let cluster = Cluster::start(1).await;
    assert_eq!(cluster.leader().await, 1);
    let raft = cluster.raft(1);
    // Entry 1 is the bootstrap, entry 2 the leader's first.
    assert_eq!(raft.propose(put("a", "1")).await.unwrap(), 3);
    assert_eq!(raft.propose(put("a", "2")).await.unwrap(), 4);
    assert_eq!(raft.read_index().await.unwrap(), 4);
    assert_eq!(raft.term(), 2);
    assert_eq!(raft.role(), Role::Leader);
    assert_eq!(cluster.settled().await.keys["a"], ("2".to_owned(), 4));
    cluster.stop().await;
}

/// A lone voter leads at once, whatever the election timeout and whether its first ticks may be skipped: there is nobody
/// to wait for, at its first start and at any other.
#[tokio::test(flavor = "multi_thread")]
async fn leads_at_once() {
    let settings = |config: &mut crate::raft::RaftConfig| {
        config.election = Duration::from_secs(50);
        config.initial_election_tick_advance = false;
    };
    let mut cluster = Cluster::start_with(1, settings, 1).await;
    // Fails after 20 s.
    cluster.leader().await;
    cluster.fill(1, 0..1).await;
    cluster.kill(1).await;
    cluster.run(1).await;
    cluster.leader().await;
    cluster.stop().await;
}

/// After a restart everything acknowledged is there, whether the machine had flushed it or not.
#[tokio::test(flavor = "multi_thread")]
async fn survives_restarts() {
    let mut cluster = Cluster::start_with(1, |_| {}, 7).await;
    for round in 0..4 {
        cluster.leader().await;
        cluster.fill(1, round * 20..round * 20 + 20).await;
        let before = cluster.settled().await;
        cluster.kill(1).await;
        cluster.run(1).await;
        let after = cluster.nodes[&1].live.lock().clone();
        assert_eq!(after.keys, before.keys, "applied again before the start has ended");
    }
    assert_eq!(cluster.settled().await.keys.len(), 80);
    cluster.stop().await;
}

/// The log is purged below the state that is on disk, and a restart still works.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_from_a_purged_log() {
    let settings = |config: &mut crate::raft::RaftConfig| {
        config.snapshot_count = 10;
        config.snapshot_catchup_entries = 5;
    };
    let mut cluster = Cluster::start_with(1, settings, 3).await;
    cluster.leader().await;
    for round in 0..3 {
        cluster.fill(1, round * 50..round * 50 + 50).await;
        cluster.kill(1).await;
        cluster.run(1).await;
        cluster.leader().await;
    }
    assert_eq!(cluster.settled().await.keys.len(), 150);
    cluster.stop().await;
}

/// A request over the limit never reaches the log.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_large_requests() {
    let cluster = Cluster::start_with(1, |config| config.max_request_bytes = 1000, 1).await;
    cluster.leader().await;
    let raft = cluster.raft(1);
    let before = raft.commit_index();
    let error = raft.propose(put("a", &"x".repeat(1000))).await.unwrap_err();
    assert_eq!(error, ProposeError::TooLarge);
    assert_eq!(raft.commit_index(), before);
    cluster.stop().await;
}

/// A stopped member answers at once.
#[tokio::test(flavor = "multi_thread")]
async fn stops_in_order() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let raft = cluster.raft(1);
    raft.shutdown().await;
    assert_eq!(raft.propose(put("a", "1")).await.unwrap_err(), ProposeError::Stopped);
    assert!(raft.fatal().borrow().is_none());
}
