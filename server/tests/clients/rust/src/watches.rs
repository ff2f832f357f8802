//! Watches, many on one stream, and leases.

use std::time::{Duration, Instant};

use etcd_client::{
    DeleteOptions, Event, EventType, LeaseClientPrefix, LeaseGrantOptions, LeaseTimeToLiveOptions,
    PutOptions, WatchFilterType, WatchOptions, WatchStream,
};

use crate::suite::{Outcome, Suite, refused, text, want};

pub async fn run(suite: &Suite) {
    suite.check("watch/events", events(suite)).await;
    suite.check("watch/one-stream", one_stream(suite)).await;
    suite.check("watch/progress", progress(suite)).await;
    suite.check("watch/compacted", compacted(suite)).await;
    suite.check("watch/fragments", fragments(suite)).await;
    suite.check("lease/whole", leases(suite)).await;
    suite.check("lease/keep-alive", keep_alive(suite)).await;
    suite.check("lease/expiry", expiry(suite)).await;
}

/// Collects the next `count` events.
pub async fn take(stream: &mut WatchStream, count: usize) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    while events.len() < count {
        let answer = stream.message().await.map_err(|error| error.to_string())?;
        let answer = answer.ok_or("the watch has ended")?;
        events.extend_from_slice(answer.events());
    }
    Ok(events)
}

fn told(events: &[Event], base: i64) -> String {
    let word = |event: &Event| {
        let Some(pair) = event.kv() else { return "no pair".to_owned() };
        let kind = if event.event_type() == EventType::Put { "PUT" } else { "DELETE" };
        let was = event.prev_kv().map(|pair| format!(" was {}", text(pair.value())));
        let value: String = text(pair.value()).chars().take(9).collect();
        let (key, changed) = (text(pair.key()), pair.mod_revision() - base);
        format!("{kind} {key}={value}/m{changed:+}/v{}{}", pair.version(), was.unwrap_or_default())
    };
    events.iter().map(word).collect::<Vec<_>>().join(", ")
}

async fn events(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    etcd.put("w/a", "1", None).await?;
    let options = WatchOptions::new().with_prefix().with_prev_key().with_start_revision(base + 1);
    let mut stream = etcd.watch("w/", Some(options)).await?;
    etcd.put("w/a", "2", None).await?;
    etcd.put("x", "", None).await?;
    etcd.delete("w/a", None).await?;
    Ok(told(&take(&mut stream, 3).await?, base))
}

async fn one_stream(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    let at = || WatchOptions::new().with_prefix().with_start_revision(base + 1);
    // The library waits for the first watch; those that are added answer on the stream.
    let mut stream = etcd.watch("os/", Some(at().with_watch_id(7))).await?;
    stream.watch("os/", Some(at().with_filters([WatchFilterType::NoPut]).with_watch_id(8))).await?;
    stream.watch("os/", Some(at().with_watch_id(7))).await?;
    let mut story = Vec::new();
    while story.len() < 3 {
        let answer = stream.message().await?.ok_or("the stream has ended")?;
        let (id, reason) = (answer.watch_id(), answer.cancel_reason());
        story.push(format!("{id} {} {} {reason}", answer.created(), answer.canceled()));
    }
    etcd.put("os/a", "1", None).await?;
    etcd.delete("os/", Some(DeleteOptions::new().with_prefix())).await?;
    let mut seen = take(&mut stream, 3).await?;
    seen.sort_by_key(|event| event.kv().map(|pair| pair.mod_revision()));
    stream.cancel(8).await?;
    let ended = stream.message().await?.ok_or("the stream has ended")?;
    story.push(format!("{} {}", ended.watch_id(), ended.canceled()));
    Ok(format!("{}; {}", story.join(", "), told(&seen, base)))
}

async fn progress(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let mut stream = etcd.watch("p/", Some(WatchOptions::new().with_prefix())).await?;
    etcd.put("q", "", None).await?;
    let now = suite.revision().await?;
    let mut told = 0;
    while told < now {
        stream.request_progress().await?;
        let answer = stream.message().await?.ok_or("the watch has ended")?;
        want("no events", answer.events().len(), 0)?;
        told = answer.header().map_or(0, |header| header.revision());
    }
    let options = WatchOptions::new().with_progress_notify();
    let mut stream = etcd.watch("p", Some(options)).await?;
    let answer = stream.message().await?.ok_or("the watch has ended")?;
    Ok(format!("by itself {}", answer.events().is_empty()))
}

async fn compacted(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    etcd.put("wc", "1", None).await?;
    etcd.put("wc", "2", None).await?;
    let now = suite.revision().await?;
    etcd.compact(now, None).await?;
    let options = WatchOptions::new().with_start_revision(now - 1);
    let mut stream = etcd.watch("wc", Some(options)).await?;
    loop {
        let answer = stream.message().await?.ok_or("the watch has ended")?;
        if answer.canceled() {
            want("compact revision", answer.compact_revision(), now)?;
            return Ok(format!("cancelled {}", answer.cancel_reason()));
        }
    }
}

async fn fragments(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    for n in 0..3 {
        etcd.put(format!("wf/{n}"), vec![b'x'; 1024 * 1024], None).await?;
    }
    let options = WatchOptions::new().with_prefix().with_fragment().with_start_revision(base + 1);
    let mut stream = etcd.watch("wf/", Some(options)).await?;
    let events = take(&mut stream, 3).await?;
    etcd.delete("wf/", Some(DeleteOptions::new().with_prefix())).await?;
    Ok(told(&events, base))
}

async fn leases(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let lease = etcd.lease_grant(500, Some(LeaseGrantOptions::new().with_id(4711))).await?;
    let twice = etcd.lease_grant(500, Some(LeaseGrantOptions::new().with_id(4711))).await;
    for key in ["l/a", "l/b"] {
        etcd.put(key, "", Some(PutOptions::new().with_lease(lease.id()))).await?;
    }
    let keys = LeaseTimeToLiveOptions::new().with_keys();
    let left = etcd.lease_time_to_live(4711, Some(keys.clone())).await?;
    want("time left", left.ttl() > 490 && left.ttl() <= 500, true)?;
    let mut prefixed = LeaseClientPrefix::new(suite.client.lease_client(), b"l/".to_vec());
    let inside = prefixed.time_to_live(4711, Some(keys)).await?;
    let listed = etcd.leases().await?.leases().iter().any(|lease| lease.id() == 4711);
    etcd.lease_revoke(4711).await?;
    let again = refused(etcd.lease_revoke(4711).await)?;
    let gone = etcd.get("l/a", None).await?.count();
    let dead = etcd.lease_time_to_live(4711, None).await?.ttl();
    let names = |keys: &[Vec<u8>]| {
        let mut names: Vec<String> = keys.iter().map(|key| text(key)).collect();
        names.sort();
        names.join(" ")
    };
    let (all, inside) = (names(left.keys()), names(inside.keys()));
    let (ttl, granted, twice) = (lease.ttl(), left.granted_ttl(), refused(twice)?);
    Ok(format!("{ttl} {granted}; {all}; {inside}; {twice}; {listed} {gone} {dead}; {again}"))
}

async fn keep_alive(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let lease = etcd.lease_grant(2, None).await?;
    etcd.put("ka", "", Some(PutOptions::new().with_lease(lease.id()))).await?;
    let (mut keeper, mut answers) = etcd.lease_keep_alive(lease.id()).await?;
    // Past twice its time to live, and only because it is kept.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(4500) {
        keeper.keep_alive().await?;
        let answer = answers.message().await?.ok_or("the stream has ended")?;
        want("time given anew", answer.ttl(), lease.ttl())?;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let there = etcd.get("ka", None).await?.count();
    etcd.lease_revoke(lease.id()).await?;
    keeper.keep_alive().await?;
    let dead = answers.message().await?.ok_or("the stream has ended")?.ttl();
    let unknown = refused(etcd.lease_keep_alive(4712).await)?;
    Ok(format!("{there} {dead} {}; {unknown}", etcd.get("ka", None).await?.count()))
}

async fn expiry(suite: &Suite) -> Outcome {
    let (mut etcd, base) = (suite.client.clone(), suite.revision().await?);
    let lease = etcd.lease_grant(1, None).await?.id();
    let options = WatchOptions::new().with_prefix().with_start_revision(base + 1);
    let mut stream = etcd.watch("le/", Some(options)).await?;
    etcd.put("le/a", "", Some(PutOptions::new().with_lease(lease))).await?;
    Ok(told(&take(&mut stream, 2).await?, base))
}
