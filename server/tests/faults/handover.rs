//! A leader that goes, or is told to go, hands over: quickly and at exactly the next term.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use quorate_proto::etcdserverpb::{MoveLeaderRequest, PutRequest};
use rustix::process::Signal;

use super::ask;
use super::stage::Stage;

/// A new leader must be there 500 ms after SIGTERM, the process gone after 1.5 s. Tests share their machine: twice that.
const NEW_LEADER_MAX: Duration = Duration::from_millis(2 * 500);
const GONE_MAX: Duration = Duration::from_millis(2 * 1500);

/// Waits until the members agree on a leader other than `old`; returns it with its term.
async fn next_leader(urls: &[String], old: u64) -> (u64, u64) {
    ask::until("a new leader", Duration::from_secs(10), async || {
        let mut seen = Vec::new();
        for url in urls {
            let status = ask::status(url).await?;
            seen.push((status.leader, status.raft_term));
        }
        (seen[0].0 != 0 && seen[0].0 != old && seen.iter().all(|s| *s == seen[0]))
            .then_some(seen[0])
    })
    .await
}

async fn member_id(url: &str) -> u64 {
    ask::status(url).await.and_then(|status| status.header).expect("a member answers").member_id
}

/// SIGTERM of the leader: another one leads soon, one term later, and the process ends by that signal, as etcd does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_hands_over() {
    let mut stage = Stage::start(&[]);
    let (n, term) = ask::leader(&stage.urls, Duration::from_secs(20)).await;
    ask::same_revision(&stage.urls, Duration::from_secs(20)).await;
    let old = member_id(&stage.urls[n]).await;
    let others: Vec<String> = (0..3).filter(|m| *m != n).map(|m| stage.urls[m].clone()).collect();
    let start = Instant::now();
    stage.cluster.members[n].process.signal(Signal::TERM).unwrap();
    let mut process = stage.cluster.members.remove(n).process;
    let gone = tokio::task::spawn_blocking(move || (process.wait(), start.elapsed()));
    let (_, new_term) = next_leader(&others, old).await;
    let new_leader = start.elapsed();
    let (status, gone) = gone.await.unwrap();
    println!("SIGTERM: new leader after {new_leader:.0?}, process gone after {gone:.0?}");
    assert_eq!(status.unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(new_term, term + 1);
    assert!(new_leader <= NEW_LEADER_MAX, "{new_leader:?}");
    assert!(gone <= GONE_MAX, "{gone:?}");
}

/// `MoveLeader` makes the member that is named the leader of the next term; a follower refuses the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn move_leader_hands_over() {
    let stage = Stage::start(&[]);
    let (n, term) = ask::leader(&stage.urls, Duration::from_secs(20)).await;
    let target = member_id(&stage.urls[(n + 1) % 3]).await;
    let old = member_id(&stage.urls[n]).await;
    let request = MoveLeaderRequest { target_id: target };
    let client =
        |n: usize| MaintenanceClient::new(ask::channel(&stage.urls[n], Duration::from_secs(10)));
    let refused = client((n + 2) % 3).move_leader(request).await.unwrap_err();
    assert_eq!(refused.message(), "etcdserver: not leader");
    let start = Instant::now();
    client(n).move_leader(request).await.unwrap();
    let (new, new_term) = next_leader(&stage.urls, old).await;
    let took = start.elapsed();
    println!("MoveLeader: new leader after {took:.0?}");
    assert_eq!((new, new_term), (target, term + 1));
    assert!(took <= NEW_LEADER_MAX, "{took:?}");
}

/// SIGTERM of a follower under writers: what it has taken it answers; nobody is told that it has stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_member_answers_what_it_took() {
    let mut stage = Stage::start(&[]);
    for _ in 0..3 {
        let (leader, _) = ask::leader(&stage.urls, Duration::from_secs(20)).await;
        let follower = (leader + 1) % 3;
        let n_written = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..8)
            .map(|n| tokio::spawn(write_on(stage.urls[follower].clone(), n, n_written.clone())))
            .collect();
        ask::until("some writes", Duration::from_secs(30), async || {
            (n_written.load(Ordering::Relaxed) > 100).then_some(())
        })
        .await;
        stage.cluster.members[follower].process.signal(Signal::TERM).unwrap();
        for writer in writers {
            // The connection ends, which a client of etcd takes for a reason to ask another member.
            let error = writer.await.unwrap();
            assert!(!error.message().contains("etcdserver:"), "{error}");
        }
        stage.cluster.members[follower].process.wait().unwrap();
        stage.start_again(&[follower]);
    }
}

/// Writes until a write fails, and returns why.
async fn write_on(url: String, n: usize, n_written: Arc<AtomicUsize>) -> tonic::Status {
    let mut client = KvClient::new(ask::channel(&url, Duration::from_secs(10)));
    loop {
        let key = format!("writer/{n}").into();
        let request = PutRequest { key, value: "v".into(), ..Default::default() };
        if let Err(status) = client.put(request).await {
            return status;
        }
        n_written.fetch_add(1, Ordering::Relaxed);
    }
}
