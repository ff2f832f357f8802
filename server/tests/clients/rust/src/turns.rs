//! The services Lock and Election.

use etcd_client::{
    Compare, CompareOp, LeaderKey, LockOptions, ProclaimOptions, ResignOptions, Txn, TxnOp,
};

use crate::suite::{Outcome, Suite, refused, text, want};

pub async fn run(suite: &Suite) {
    suite.check("lock/held", held(suite)).await;
    suite.check("lock/counts", counts(suite)).await;
    suite.check("election/whole", election(suite)).await;
}

async fn held(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let lease = etcd.lease_grant(600, None).await?.id();
    let first = etcd.lock("lh", Some(LockOptions::new().with_lease(lease))).await?;
    let is_prefixed = text(first.key()).starts_with("lh/");
    let mut other = suite.client.clone();
    let waiting = tokio::spawn(async move { other.lock("lh", None).await });
    // A lock whose lease ends passes on by itself.
    etcd.lease_revoke(lease).await?;
    let second = waiting.await??;
    etcd.unlock(second.key()).await?;
    let left = etcd.get(second.key(), None).await?.count();
    let dead = etcd.lock("lh", Some(LockOptions::new().with_lease(lease))).await;
    Ok(format!("{is_prefixed} {left}; {}", refused(dead)?))
}

/// Five tasks raise a number under one lock: none is lost.
async fn counts(suite: &Suite) -> Outcome {
    suite.client.kv_client().put("lc", "0", None).await?;
    let mut tasks = Vec::new();
    for _ in 0..5 {
        let mut etcd = suite.client.clone();
        tasks.push(tokio::spawn(async move {
            let key = etcd.lock("lock", None).await?.key().to_vec();
            let number = text(etcd.get("lc", None).await?.kvs()[0].value());
            let next = number.parse::<u32>().unwrap_or_default() + 1;
            let owned = Compare::create_revision(key.clone(), CompareOp::Greater, 0);
            let put = TxnOp::put("lc", next.to_string(), None);
            etcd.txn(Txn::new().when([owned]).and_then([put])).await?;
            etcd.unlock(key).await
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(text(suite.client.kv_client().get("lc", None).await?.kvs()[0].value()))
}

async fn election(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let one = etcd.lease_grant(600, None).await?.id();
    let two = etcd.lease_grant(600, None).await?.id();
    let nobody = refused(etcd.leader("el").await)?;
    let leader = etcd.campaign("el", "one", one).await?.take_leader().ok_or("no leader")?;
    want("lease", leader.lease(), one)?;
    want("name", text(leader.name()), "el")?;
    let mut seen = etcd.observe("el").await?;
    let mut story = Vec::new();
    let mut look = async || -> Result<(), String> {
        let answer = seen.message().await.map_err(|error| error.to_string())?;
        let answer = answer.ok_or("the observation has ended")?;
        story.push(answer.kv().map(|pair| text(pair.value())).unwrap_or_default());
        Ok(())
    };
    look().await?;
    let proclaim = |leader: &LeaderKey| Some(ProclaimOptions::new().with_leader(leader.clone()));
    etcd.proclaim("one again", proclaim(&leader)).await?;
    look().await?;
    let mut other = suite.client.clone();
    let waiting = tokio::spawn(async move { other.campaign("el", "two", two).await });
    etcd.resign(Some(ResignOptions::new().with_leader(leader.clone()))).await?;
    let second = waiting.await??.take_leader().ok_or("no leader")?;
    look().await?;
    let now = etcd.leader("el").await?.kv().map(|pair| text(pair.value())).unwrap_or_default();
    let late = refused(etcd.proclaim("late", proclaim(&leader)).await)?;
    etcd.resign(Some(ResignOptions::new().with_leader(second))).await?;
    Ok(format!("{nobody}; {story:?}; {now}; {late}"))
}
