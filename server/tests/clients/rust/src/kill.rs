//! The member that a client is connected to dies by kill -9. The library does not resume a watch by itself; its user
//! does, at whichever member answers, from where it ended: no gap, no repeat. Leases and locks live on.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, Event, LockOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};

use crate::suite::{Outcome, Suite, ask, text, until, want};

/// A write that cannot happen twice is tried this long before it is tried again: one to the dead member may hang.
const TRY_MAX: Duration = Duration::from_secs(2);

pub async fn run(suite: &Suite) {
    suite.check("kill/watch", killed(suite)).await;
}

async fn write(suite: &Suite, numbers: std::ops::Range<usize>, lease: i64) {
    for n in numbers {
        let key = format!("kill/w/{n:03}");
        until(async || {
            let put = TxnOp::put(key.clone(), "", Some(PutOptions::new().with_lease(lease)));
            let create = Compare::version(key.clone(), CompareOp::Equal, 0);
            let mut kv = suite.client.kv_client();
            let txn = kv.txn(Txn::new().when([create]).and_then([put]));
            let answer = tokio::time::timeout(TRY_MAX, txn).await;
            answer.map_or(Ok(false), |answer| answer.map(|_| true))
        })
        .await;
    }
}

/// What a user of the library writes: take events until there are enough, and go on elsewhere when the stream breaks.
async fn resume(suite: &Suite, stream: &mut WatchStream, seen: &mut Vec<Event>, count: usize) {
    while seen.len() < count {
        if let Ok(Some(answer)) = stream.message().await {
            seen.extend_from_slice(answer.events());
            continue;
        }
        let last = seen.iter().filter_map(|event| event.kv()).map(|pair| pair.mod_revision()).max();
        let options = WatchOptions::new().with_prefix();
        let options = options.with_start_revision(last.map_or(0, |last| last + 1));
        if let Ok(again) = suite.client.watch_client().watch("kill/w/", Some(options)).await {
            *stream = again;
        }
    }
}

async fn killed(suite: &Suite) -> Outcome {
    let victim = &suite.arguments.endpoints[1];
    let base = suite.revision().await?;
    let lease = suite.client.lease_client().grant(600, None).await?.id();
    let options = LockOptions::new().with_lease(lease);
    let lock = suite.client.lock_client().lock("kill/lock", Some(options)).await?;
    let options = WatchOptions::new().with_prefix().with_start_revision(base + 1);
    let mut stream = suite.at(victim).await?.watch_client().watch("kill/w/", Some(options)).await?;
    let mut seen = Vec::new();
    write(suite, 0..20, lease).await;
    resume(suite, &mut stream, &mut seen, 20).await;
    ask(&format!("kill {victim}"))?;
    write(suite, 20..40, lease).await;
    resume(suite, &mut stream, &mut seen, 40).await;
    let keys = seen.iter().filter_map(|event| event.kv()).map(|pair| text(pair.key()));
    for (n, key) in keys.enumerate() {
        want("event", key, format!("kill/w/{n:03}"))?;
    }
    ask(&format!("start {victim}"))?;
    // The member that came back has all of it.
    let back = suite.at(victim).await?;
    let held = back.kv_client().get(lock.key(), None).await?.count();
    let left = back.lease_client().time_to_live(lease, None).await?.granted_ttl();
    back.lock_client().unlock(lock.key()).await?;
    back.lease_client().revoke(lease).await?;
    Ok(format!("{} without a gap; lock {held}, lease {left}", seen.len()))
}
