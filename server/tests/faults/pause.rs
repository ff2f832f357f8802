//! A leader that stands still (SIGSTOP) and wakes up as if nothing had happened.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::load::Load;
use super::stage::{Stage, dice};
use super::{ask, crash};

const ROUNDS: usize = 5;
const PAUSED_READS: usize = 8;

/// Reads that wait at a paused leader, and reads sent as it wakes, do not see what was overwritten meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn woken_leader_serves_no_stale_read() {
    let mut dice = dice("pause");
    let stage = Stage::start(&[]);
    let load = Load::start(&stage.urls, &mut dice);
    let limit = Duration::from_secs(8);
    for round in 0..ROUNDS {
        load.next_epoch();
        load.more_writes(30).await;
        let (n, term) = ask::leader(&stage.urls, Duration::from_secs(20)).await;
        put(&stage.urls[n], "canary", &format!("{round} before")).await;
        stage.cluster.members[n].process.signal(Signal::STOP).unwrap();
        let others: Vec<String> =
            (0..3).filter(|m| *m != n).map(|m| stage.urls[m].clone()).collect();
        let new_term = ask::leader(&others, Duration::from_secs(20)).await.1;
        assert!(new_term > term);
        let after = format!("{round} after");
        put(&others[0], "canary", &after).await;
        // These begin after the put was acknowledged, so that `before` is stale.
        let url = stage.urls[n].clone();
        let reads: Vec<_> = (0..PAUSED_READS)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { ask::get(&url, "canary", false, limit).await }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stage.cluster.members[n].process.signal(Signal::CONT).unwrap();
        let woken = Instant::now();
        while woken.elapsed() < Duration::from_millis(300) {
            if let Ok(found) = ask::get(&url, "canary", false, limit).await {
                assert_eq!(found.as_deref(), Some(after.as_str()));
            }
        }
        for read in reads {
            if let Ok(found) = read.await.unwrap() {
                assert_eq!(found.as_deref(), Some(after.as_str()));
            }
        }
    }
    load.more_writes(30).await;
    let history = load.stop().await;
    crash::judge(&stage, &history).await;
}

/// Puts until it is acknowledged: the election may be just over.
pub async fn put(url: &str, key: &str, value: &str) {
    let request = quorate_proto::etcdserverpb::PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    };
    ask::until("a put", Duration::from_secs(30), async || {
        ask::kv(url, Duration::from_secs(5)).put(request.clone()).await.ok()
    })
    .await;
}
