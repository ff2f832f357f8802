//! Several members: replication, relaying, membership, transfer, catching up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_proto::raftpb::ConfChangeType;
use tokio::time::Instant;

use super::cluster::{Cluster, conf_change, eventually};
use super::machine::put;
use crate::raft::{ProposeError, TransferError};

fn follower_of(leader: u64) -> u64 {
    leader % 3 + 1
}

/// Three members elect a leader soon, and proposals through any of them reach all.
#[tokio::test(flavor = "multi_thread")]
async fn three_members_replicate() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    for id in 1..=3 {
        let raft = cluster.raft(id);
        let index = raft.propose(put(&format!("through{id}"), "v")).await.unwrap();
        // Wait by id: the member that answered has applied it.
        assert!(raft.applied_index() >= index);
        assert!(raft.read_index().await.unwrap() >= index);
    }
    let state = cluster.settled().await;
    assert_eq!(state.keys.len(), 3);
    assert_eq!(cluster.raft(leader).match_indexes().len(), 3);
    cluster.stop().await;
}

/// A follower's proposal is answered long before the next heartbeat: the commit mark does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn followers_hear_of_commits_at_once() {
    let slow = |config: &mut crate::raft::RaftConfig| {
        config.heartbeat = Duration::from_millis(500);
        config.election = Duration::from_secs(3);
    };
    let cluster = Cluster::start_with(3, slow, 1).await;
    let leader = cluster.leader().await;
    let raft = cluster.raft(follower_of(leader));
    raft.propose(put("warm", "up")).await.unwrap();
    let start = Instant::now();
    for i in 0..10 {
        raft.propose(put("a", &i.to_string())).await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(2), "ten in {:?}", start.elapsed());
    cluster.stop().await;
}

/// A restarted follower catches up by the log; a restarted cluster has everything.
#[tokio::test(flavor = "multi_thread")]
async fn restarted_members_have_everything() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = follower_of(leader);
    cluster.fill(leader, 0..20).await;
    cluster.kill(follower).await;
    cluster.fill(leader, 20..40).await;
    cluster.run(follower).await;
    assert_eq!(cluster.settled().await.keys.len(), 40);
    for id in 1..=3 {
        cluster.kill(id).await;
    }
    for id in 1..=3 {
        cluster.run(id).await;
    }
    let leader = cluster.leader().await;
    cluster.fill(leader, 40..41).await;
    assert_eq!(cluster.settled().await.keys.len(), 41);
    cluster.stop().await;
}

/// A member that is behind the purged log gets a snapshot, then entries.
#[tokio::test(flavor = "multi_thread")]
async fn lagging_member_gets_a_snapshot() {
    let settings = |config: &mut crate::raft::RaftConfig| {
        config.snapshot_count = 10;
        config.snapshot_catchup_entries = 5;
    };
    let mut cluster = Cluster::start_with(3, settings, 1).await;
    let leader = cluster.leader().await;
    let follower = follower_of(leader);
    cluster.fill(leader, 0..5).await;
    cluster.kill(follower).await;
    let missed = cluster.nodes[&follower].live.lock().keys.len() as u64;
    cluster.fill(leader, 5..105).await;
    // The log is purged in the background, once the state is on a disk that may be busy.
    let others: Vec<_> = (1..=3).filter(|id| *id != follower).collect();
    eventually("logs that begin behind what the follower has", || {
        others.iter().all(|id| cluster.purged(*id) > missed + 50).then_some(())
    })
    .await;
    cluster.run(follower).await;
    cluster.fill(leader, 105..110).await;
    assert_eq!(cluster.settled().await.keys.len(), 110);
    assert!(cluster.net.snapshots.load(Ordering::Relaxed) >= 1);
    // And its log, which now begins behind the snapshot, is good for a restart.
    cluster.kill(follower).await;
    cluster.fill(leader, 110..115).await;
    cluster.run(follower).await;
    assert_eq!(cluster.settled().await.keys.len(), 115);
    cluster.stop().await;
}

/// Leadership moves to the wanted member, one term higher, at once.
#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.fill(leader, 0..3).await;
    let term = cluster.raft(leader).term();
    let target = follower_of(leader);
    let start = Instant::now();
    cluster.raft(leader).transfer_leader(target).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "took {:?}", start.elapsed());
    assert_eq!(cluster.leader().await, target);
    assert_eq!(cluster.raft(target).term(), term + 1);
    assert_eq!(
        cluster.raft(leader).transfer_leader(target).await.unwrap_err(),
        TransferError::NotLeader
    );
    cluster.fill(leader, 3..6).await;
    assert_eq!(cluster.settled().await.keys.len(), 6);
    cluster.stop().await;
}

/// Proposals that meet a transfer are not lost and not doubled: the definite refusals are offered to the new leader.
#[tokio::test(flavor = "multi_thread")]
async fn proposals_survive_a_transfer() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let raft = cluster.raft(leader);
    let writer = tokio::spawn(async move {
        for i in 0..200 {
            raft.propose(put(&format!("k{i}"), "v")).await.unwrap();
        }
    });
    for _ in 0..3 {
        let leader = cluster.leader().await;
        cluster.raft(leader).transfer_leader(follower_of(leader)).await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(cluster.settled().await.keys.len(), 200);
    cluster.stop().await;
}

/// The second member of a cluster of one is added without costing the first its quorum, joins, and then counts.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_grows_from_one() {
    let mut cluster = Cluster::start(1).await;
    cluster.leader().await;
    let one = cluster.raft(1);
    one.propose_conf_change(conf_change(ConfChangeType::ConfChangeAddNode, 2)).await.unwrap();
    let membership = one.membership().membership.clone();
    assert!(membership.members[&2].is_joining && membership.voters().count() == 2);
    one.propose(put("alone", "still")).await.unwrap();

    cluster.prepare(2, &[]);
    cluster.run(2).await;
    eventually("the second to count", || {
        cluster.raft(1).membership().membership.members[&2].counts().then_some(())
    })
    .await;
    cluster.raft(2).propose(put("b", "2")).await.unwrap();
    cluster.settled().await;

    // Now it counts: without it nothing is committed.
    cluster.kill(2).await;
    let blocked =
        tokio::time::timeout(Duration::from_millis(700), one.propose(put("c", "3"))).await;
    assert!(blocked.is_err());
    cluster.run(2).await;
    cluster.leader().await;
    one.propose(put("c", "4")).await.unwrap();
    cluster.stop().await;
}

/// A learner follows but does not vote; promoted, it counts; removed, it is gone and is told so.
#[tokio::test(flavor = "multi_thread")]
async fn learner_is_promoted_and_removed() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = follower_of(leader);
    let through = cluster.raft(follower);
    let add = conf_change(ConfChangeType::ConfChangeAddLearnerNode, 4);
    through.propose_conf_change(add).await.unwrap();
    cluster.prepare(4, &[]);
    cluster.run(4).await;
    cluster.fill(leader, 0..5).await;
    assert_eq!(cluster.settled().await.keys.len(), 5);
    assert!(through.membership().membership.members[&4].is_learner);

    let promote = conf_change(ConfChangeType::ConfChangeAddNode, 4);
    through.propose_conf_change(promote).await.unwrap();
    eventually("the learner to count", || {
        cluster.raft(leader).membership().membership.members[&4].counts().then_some(())
    })
    .await;

    let remove = conf_change(ConfChangeType::ConfChangeRemoveNode, 4);
    through.propose_conf_change(remove).await.unwrap();
    cluster.removed.lock().insert(4);
    assert!(!through.membership().membership.members.contains_key(&4));
    let mut told = cluster.raft(4).removed();
    tokio::time::timeout(Duration::from_secs(10), told.wait_for(|removed| *removed))
        .await
        .expect("a removed member is told")
        .unwrap();
    cluster.fill(follower, 5..6).await;
    cluster.stop().await;
}

/// A leader can be removed; the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn leader_is_removed() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let remove = conf_change(ConfChangeType::ConfChangeRemoveNode, leader);
    cluster.raft(leader).propose_conf_change(remove).await.unwrap();
    cluster.removed.lock().insert(leader);
    cluster.kill(leader).await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let next = cluster.leader_among(&others).await;
    cluster.fill(next, 0..5).await;
    assert_eq!(cluster.raft(next).membership().membership.members.len(), 2);
    cluster.stop().await;
}

/// Changes from several members at once are made one after another.
#[tokio::test(flavor = "multi_thread")]
async fn changes_do_not_overtake_each_other() {
    let cluster = Cluster::start(3).await;
    cluster.leader().await;
    let change = |through: u64, id: u64| {
        let raft = cluster.raft(through);
        async move {
            let add = conf_change(ConfChangeType::ConfChangeAddLearnerNode, id);
            raft.propose_conf_change(add).await
        }
    };
    let (a, b, c) = tokio::join!(change(1, 11), change(2, 12), change(3, 13));
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
    let state = cluster.settled().await;
    assert_eq!(state.applied.unwrap().membership.membership.members.len(), 6);
    cluster.stop().await;
}

/// With a peer's URLs updated everyone knows the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn urls_are_updated() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let mut update = conf_change(ConfChangeType::ConfChangeUpdateNode, 2);
    update.context = Some(r#"{"id":2,"peerURLs":["http://127.0.0.1:9"]}"#.into());
    cluster.raft(follower_of(leader)).propose_conf_change(update).await.unwrap();
    let state = cluster.settled().await;
    let members = &state.applied.as_ref().unwrap().membership.membership.members;
    assert_eq!(members[&2].peer_urls, ["http://127.0.0.1:9"]);
    cluster.fill(leader, 0..1).await;
    cluster.stop().await;
}

/// A change that makes no sense is refused and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn removing_the_last_voter_is_refused() {
    let cluster = Cluster::start(1).await;
    cluster.leader().await;
    let remove = conf_change(ConfChangeType::ConfChangeRemoveNode, 1);
    let error = cluster.raft(1).propose_conf_change(remove).await.unwrap_err();
    assert!(matches!(error, ProposeError::ChangeRefused(_)), "{error:?}");
    cluster.fill(1, 0..1).await;
    cluster.stop().await;
}

/// A follower whose directory was emptied ends, since it cannot know what it has promised; the leader goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_its_log_ends() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = follower_of(leader);
    cluster.fill(leader, 0..10).await;
    cluster.settled().await;
    cluster.kill(follower).await;
    cluster.prepare(follower, &[]);
    cluster.run(follower).await;
    let fatal = cluster.raft(follower).fatal();
    let reason = eventually("the follower ends", || fatal.borrow().clone()).await;
    assert!(reason.to_string().contains("lost entries that it had acknowledged"), "{reason}");
    cluster.kill(follower).await;
    cluster.fill(leader, 10..20).await;
    assert_eq!(cluster.raft(leader).leader(), Some(leader));
    assert!(cluster.raft(leader).fatal().borrow().is_none());
    cluster.stop().await;
}
