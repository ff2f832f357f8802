//! Members cut off from their peers, while clients still reach them.

use std::time::{Duration, Instant};

use super::load::Load;
use super::namespaces::Archipelago;
use super::pause::put;
use super::stage::dice;
use super::{ask, journal, linearizable};

/// Within this time a member without a quorum must have refused: etcd's 5 s plus two elections, and some for the machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);

/// A cut-off leader and then a cut-off follower: they refuse writes and linearizable reads in bounded time and answer
/// serializable ones; the other two go on, with a new leader where it was the leader; after healing all are alike, no
/// history is torn, and watchers that were open all the time missed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minority_refuses_and_majority_goes_on() {
    let mut dice = dice("partition");
    let all = Archipelago::start("min");
    ask::leader(&all.urls, Duration::from_secs(20)).await;
    let mut watches = Vec::new();
    for url in &all.urls {
        watches.push(ask::watch(url).await);
    }
    let load = Load::start(&all.urls, &mut dice);
    for is_leader in [true, false, true] {
        load.next_epoch();
        load.more_writes(50).await;
        let (leader, term) = ask::leader(&all.urls, Duration::from_secs(20)).await;
        let lonely = if is_leader { leader } else { (leader + 1) % 3 };
        put(&all.urls[leader], "canary", "before").await;
        ask::until("the canary everywhere", Duration::from_secs(10), async || {
            let found = ask::get(&all.urls[lonely], "canary", true, REFUSED_WITHIN).await.ok()?;
            (found.as_deref() == Some("before")).then_some(())
        })
        .await;
        all.cut_off(lonely);
        let cut = Instant::now();
        let others: Vec<String> =
            (0..3).filter(|n| *n != lonely).map(|n| all.urls[n].clone()).collect();
        let (_, new_term) = ask::leader(&others, Duration::from_secs(20)).await;
        assert_eq!(new_term > term, is_leader, "{term} {new_term}");
        put(&others[0], "canary", "after").await;
        println!(
            "leader cut off: {is_leader}; the majority writes again after {:.0?}",
            cut.elapsed()
        );
        refuses(&all.urls[lonely]).await;
        load.more_writes(50).await;
        all.heal(lonely);
        ask::until("the healed member's linearizable read", Duration::from_secs(30), async || {
            let found = ask::get(&all.urls[lonely], "canary", false, REFUSED_WITHIN).await.ok()?;
            assert_eq!(found.as_deref(), Some("after"), "a stale linearizable read");
            Some(())
        })
        .await;
    }
    load.more_writes(50).await;
    let history = load.stop().await;
    let revision = ask::members_agree(&all.urls).await;
    let writes = history.writes();
    for (url, watch) in all.urls.iter().zip(&mut watches) {
        let lived = journal::read(&ask::watched(watch, revision).await)
            .unwrap_or_else(|e| panic!("{url}: {e}"));
        let later = ask::watched(&mut ask::watch(url).await, revision).await;
        let later = journal::read(&later).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(lived == later, "a watcher of {url} saw another history than the store has");
        journal::holds(&lived, &writes).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    let calls = linearizable::judge(&history.calls());
    println!(
        "{} acknowledged writes, {} unknown, {calls} calls judged",
        writes.len(),
        history.unknown()
    );
}

/// The member refuses what needs a quorum, soon enough, and still answers what does not.
async fn refuses(url: &str) {
    let start = Instant::now();
    let patience = REFUSED_WITHIN + Duration::from_secs(5);
    let read = ask::get(url, "canary", false, patience);
    let request = quorate_proto::etcdserverpb::PutRequest {
        key: "lonely".into(),
        value: "1".into(),
        ..Default::default()
    };
    let mut kv = ask::kv(url, patience);
    let read = async { (read.await, start.elapsed()) };
    let write = async { (kv.put(request).await, start.elapsed()) };
    let ((read, read_took), (write, write_took)) = tokio::join!(read, write);
    let (read, write) = (read.unwrap_err(), write.unwrap_err());
    println!("without a quorum: read {:?} after {read_took:.0?}", read.message());
    println!("without a quorum: write {:?} after {write_took:.0?}", write.message());
    for refusal in [&read, &write] {
        assert!(refusal.message().starts_with("etcdserver: "), "{refusal:?}");
    }
    assert!(read_took.max(write_took) <= REFUSED_WITHIN, "{read_took:?} {write_took:?}");
    let stale = ask::get(url, "canary", true, Duration::from_secs(2)).await.unwrap();
    assert_eq!(stale.as_deref(), Some("before"), "a serializable read tells what the member has");
}
