//! What was acknowledged survives power losses; a disk that fails stops the member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quorate_etcd_files::lossy_disk::{LossyDisk, PowerLoss};

use super::cluster::Cluster;
use super::machine::put;
use crate::raft::ProposeError;

/// Rounds of: many callers write, the power goes in the middle, the member starts again. The machine flushes rarely, so
/// nearly everything has to come back from the log. Returns how many acknowledged writes were missing in the end.
async fn lose_power(disk: LossyDisk, losses: &[PowerLoss]) -> usize {
    let mut cluster = Cluster::start_on(Arc::new(disk.clone()), 1, |_| {}, 500).await;
    let mut acknowledged = Vec::new();
    for (round, loss) in losses.iter().enumerate() {
        cluster.leader().await;
        let written = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let (raft, written) = (cluster.raft(1), written.clone());
                tokio::spawn(async move {
                    let mut done = Vec::new();
                    for i in 0.. {
                        let key = format!("{round}-{caller}-{i}");
                        match raft.propose(put(&key, "v")).await {
                            Ok(_) => done.push(key),
                            Err(_) => break,
                        }
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        super::cluster::eventually("some writes", || {
            (written.load(Ordering::Relaxed) > 100).then_some(())
        })
        .await;
        disk.power_loss(*loss);
        // The member notices by itself that its log cannot be written any more.
        let mut fatal = cluster.raft(1).fatal();
        tokio::time::timeout(Duration::from_secs(10), fatal.wait_for(Option::is_some))
            .await
            .expect("a broken log is fatal")
            .unwrap();
        cluster.kill(1).await;
        for caller in callers {
            acknowledged.extend(caller.await.unwrap());
        }
        cluster.run(1).await;
    }
    cluster.leader().await;
    // What was synced but not yet marked as committed is applied with the new leader's first entry.
    cluster.raft(1).read_index().await.unwrap();
    let keys = cluster.settled().await.keys;
    let missing = acknowledged.iter().filter(|key| !keys.contains_key(*key)).count();
    cluster.stop().await;
    missing
}

/// Nothing acknowledged is lost, whether the disk loses all that was not synced or random blocks of it.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive() {
    let losses =
        [PowerLoss::All, PowerLoss::RandomBlocks(1), PowerLoss::RandomBlocks(2), PowerLoss::All];
    assert_eq!(lose_power(LossyDisk::default(), &losses).await, 0);
}

/// A disk that fails a sync stops the member, and callers are not told that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn failing_disk_is_fatal() {
    let disk = LossyDisk::default();
    let cluster = Cluster::start_on(Arc::new(disk.clone()), 1, |_| {}, 1).await;
    cluster.leader().await;
    cluster.fill(1, 0..3).await;
    disk.fail_after(0);
    let raft = cluster.raft(1);
    let write = tokio::time::timeout(Duration::from_secs(1), raft.propose(put("a", "b"))).await;
    assert!(!matches!(write, Ok(Ok(_))), "{write:?}");
    let mut fatal = raft.fatal();
    let fatal = tokio::time::timeout(Duration::from_secs(5), fatal.wait_for(Option::is_some)).await;
    assert!(fatal.expect("a failing disk is fatal").is_ok());
    let after = tokio::time::timeout(Duration::from_secs(1), raft.propose(put("a", "b"))).await;
    assert!(matches!(after, Ok(Err(ProposeError::Stopped))), "{after:?}");
    cluster.stop().await;
}
