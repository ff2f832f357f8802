//! The play without a person: writes, a killed leader, a backup, a restore, each checked. Any act that fails ends it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::stage::Stage;
use crate::witness::{PREFIX, nothing_lost, reads};
use testbed::{Process, free_ports};

const ELECTION_MAX: Duration = Duration::from_secs(15);
const READY_MAX: Duration = Duration::from_secs(60);
const BACKUP_MAX: Duration = Duration::from_secs(60);

/// Plays all acts and keeps the load running for `length` in all.
pub async fn play(stage: &mut Stage, length: Duration) -> Result<()> {
    let start = Instant::now();
    writes(stage).await?;
    leader_killed(stage).await?;
    let taken = backup(stage).await?;
    restore(stage, &taken).await?;
    while start.elapsed() < length {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    nothing_was_lost(stage).await
}

async fn writes(stage: &Stage) -> Result<()> {
    let start = Instant::now();
    while stage.ledger.count().acknowledged < 50 {
        if start.elapsed() > ELECTION_MAX {
            bail!("50 writes were not acknowledged within {ELECTION_MAX:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("demo: act 1: the cluster takes writes (50 in {:.1?})", start.elapsed());
    Ok(())
}

async fn leader_killed(stage: &mut Stage) -> Result<()> {
    let urls = stage.cluster.client_urls();
    let old = reads::leader(&urls, ELECTION_MAX).await?;
    let start = Instant::now();
    let member = stage.cluster.by_url(&old)?;
    let name = member.process.name.clone();
    member.process.kill()?;
    let others: Vec<String> = urls.iter().filter(|url| **url != old).cloned().collect();
    let new = reads::leader(&others, ELECTION_MAX).await?;
    let elected = start.elapsed();
    let before = stage.ledger.count().acknowledged;
    while stage.ledger.count().acknowledged < before + 20 {
        if start.elapsed() > ELECTION_MAX + elected {
            bail!("after the leader's kill -9 no writes were acknowledged");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let member = stage.cluster.by_url(&old)?;
    member.process.start()?;
    let back = member.process.wait_ready(READY_MAX)?;
    println!(
        "demo: act 2: kill -9 of the leader {name}: {new} led after {elected:.1?}, writes went on, {name} was back in \
         {back:.1?}"
    );
    Ok(())
}

/// A backup in the store.
struct Taken {
    id: String,
    revision: i64,
}

/// Takes a backup into the S3 store beside the scheduled ones.
async fn backup(stage: &Stage) -> Result<Taken> {
    let start = Instant::now();
    let manifest = agent(stage, "backup-now", &["backup", "now", "--output", "json"]).await?;
    let manifest = json_in(&manifest)?;
    let revision =
        manifest["snapshot"]["revision"].as_i64().context("a manifest has a revision")?;
    let id = manifest["id"].as_str().context("a manifest has an id")?.to_owned();
    println!(
        "demo: act 3: backup {id} at revision {revision} is in the store ({:.1?})",
        start.elapsed()
    );
    Ok(Taken { id, revision })
}

/// Restores that backup into a new directory, boots a member on it and compares every key.
async fn restore(stage: &Stage, taken: &Taken) -> Result<()> {
    let start = Instant::now();
    let ports = free_ports(2)?;
    let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
    let data = stage.folder().join("restored").to_string_lossy().into_owned();
    let cluster = format!("restored={peer}");
    let layout = [
        "--name=restored".to_owned(),
        format!("--data-dir={data}"),
        format!("--initial-cluster={cluster}"),
        format!("--initial-advertise-peer-urls={peer}"),
    ];
    let mut words = vec!["restore", taken.id.as_str()];
    words.extend(layout.iter().map(String::as_str));
    agent(stage, "restore", &words).await?;
    let revision = taken.revision;
    let mut flags = layout.to_vec();
    flags.extend([
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
    ]);
    let mut member = Process::new("restored", stage.folder(), &stage.programs.server, &flags);
    member.start()?;
    member.wait_ready(READY_MAX)?;
    let restored = reads::keys(&client, PREFIX, 0).await?;
    let original = reads::keys(&stage.cluster.client_urls()[0], PREFIX, revision).await?;
    if restored != original || restored.is_empty() {
        bail!(
            "the restored member has {} keys, the cluster had {} at revision {revision}, and they are not the same",
            restored.len(),
            original.len()
        );
    }
    println!(
        "demo: act 4: a new member restored from it holds the same {} keys, revisions and leases ({:.1?})",
        restored.len(),
        start.elapsed()
    );
    member.kill()
}

async fn nothing_was_lost(stage: &mut Stage) -> Result<()> {
    stage.rest().await;
    let urls = stage.cluster.client_urls();
    let wanted = stage.ledger.keys();
    for url in &urls {
        let found = reads::counters(&reads::keys(url, PREFIX, 0).await?)?;
        nothing_lost(&wanted, &found).with_context(|| format!("read from {url}"))?;
    }
    let revision = reads::members_agree(&urls, ELECTION_MAX).await?;
    let count = stage.ledger.count();
    println!(
        "demo: act 5: every member has every acknowledged write and the same HashKV at revision {revision} ({} writes to {} keys, {} of unknown outcome)",
        count.acknowledged, count.keys, count.unknown
    );
    Ok(())
}

/// Runs the agent to its end and gives what it printed.
async fn agent(stage: &Stage, name: &str, words: &[&str]) -> Result<String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let mut process = stage.agent(name, &words);
    process.start()?;
    let start = Instant::now();
    while process.is_running() {
        if start.elapsed() > BACKUP_MAX {
            bail!("`{}` did not end within {BACKUP_MAX:?}\n{}", words.join(" "), process.log_end());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = process.wait()?;
    if !status.success() {
        bail!(
            "the backup agent's `{}` ended with {status}\n{}",
            words.join(" "),
            process.log_end()
        );
    }
    Ok(process.log_text())
}

/// The JSON document in a log that also holds log lines.
fn json_in(log: &str) -> Result<Value> {
    let starts = log.match_indices('{').map(|(at, _)| at);
    let mut documents = starts.filter_map(|at| {
        let mut values = serde_json::Deserializer::from_str(&log[at..]).into_iter::<Value>();
        values.next()?.ok().filter(|value| value.get("snapshot").is_some())
    });
    documents.next().with_context(|| format!("no manifest in:\n{log}"))
}
