//! kill -9 of random members, the leader included, under concurrent writers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, seq::index};

use super::history::History;
use super::load::Load;
use super::stage::{Stage, dice};
use super::{ask, journal, linearizable};

const ROUNDS: usize = 50;
/// From this round on the log is purged after a few entries, so that members which come back need a snapshot.
const SMALL_LOG_FROM: usize = 25;

/// Every acknowledged write is there afterwards, at its revision and once; revisions have no gap and members do not
/// differ; the clients' histories are linearizable; a killed member needs nothing but its command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_fifty_kills() {
    let mut dice = dice("crash");
    let mut stage = Stage::start(&[]);
    ask::leader(&stage.urls, Duration::from_secs(20)).await;
    let load = Load::start(&stage.urls, &mut dice);
    let start = Instant::now();
    let mut killed = 0;
    for round in 0..ROUNDS {
        load.next_epoch();
        load.more_writes(dice.random_range(20..80)).await;
        let victims = victims(&stage, &mut dice).await;
        stage.kill(&victims);
        killed += victims.len();
        if round == SMALL_LOG_FROM {
            shorten_logs(&mut stage);
        }
        // A majority goes on; with a minority the members come back at any moment of the others' waiting.
        if victims.len() == 1 {
            load.more_writes(dice.random_range(1..120)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..400))).await;
        }
        stage.start_again(&victims);
    }
    load.more_writes(100).await;
    let history = load.stop().await;
    println!("{ROUNDS} rounds, {killed} kills in {:.0?}", start.elapsed());
    judge(&stage, &history).await;
    let snapshots = stage.cluster.members.iter();
    let snapshots = snapshots.map(|member| std::fs::read_to_string(&member.process.log).unwrap());
    let snapshots: usize = snapshots.map(|log| log.matches("applying snapshot").count()).sum();
    println!("{snapshots} snapshots went to members that had come back");
    assert!(snapshots > 0, "the short log was to make snapshots needed");
}

/// Half of the time the leader, else any one, any two or all.
async fn victims(stage: &Stage, dice: &mut StdRng) -> Vec<usize> {
    match dice.random_range(0..10) {
        0..5 => vec![ask::leader(&stage.urls, Duration::from_secs(30)).await.0],
        5..7 => vec![dice.random_range(0..3)],
        7..9 => index::sample(dice, 3, 2).into_vec(),
        _ => vec![0, 1, 2],
    }
}

/// All members have the flags at their next start.
fn shorten_logs(stage: &mut Stage) {
    for member in &mut stage.cluster.members {
        for flag in ["--snapshot-count=20", "--snapshot-catchup-entries=5"] {
            member.process.add_argument(flag);
        }
    }
}

/// Judges what is in the members by what the clients were told.
pub async fn judge(stage: &Stage, history: &Arc<History>) {
    let revision = ask::members_agree(&stage.urls).await;
    let mut journals = Vec::new();
    for url in &stage.urls {
        let answers = ask::watched(&mut ask::watch(url).await, revision).await;
        journals.push(journal::read(&answers).unwrap_or_else(|error| panic!("{url}: {error}")));
    }
    assert!(journals[0] == journals[1] && journals[0] == journals[2], "members differ");
    let writes = history.writes();
    journal::holds(&journals[0], &writes).unwrap_or_else(|error| panic!("{error}"));
    let calls = linearizable::judge(&history.calls());
    println!(
        "{} acknowledged writes, {} calls without an answer, {calls} calls judged, revision {revision}",
        writes.len(),
        history.unknown(),
    );
}
