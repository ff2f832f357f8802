//! Three members under load, all killed, started again as Quorate.

use std::time::Duration;

use rand::Rng as _;
use rustix::process::Signal;
use testbed::Version;

use super::ask;
use super::load::{Load, all_there};
use super::stage::{READY_MAX, Stage};

/// Rounds of each random test; a soak sets more.
pub fn rounds() -> usize {
    let set = std::env::var("TAKEOVER_ROUNDS").ok();
    set.map_or(1, |rounds| rounds.parse().expect("TAKEOVER_ROUNDS is a number"))
}

/// What is done to the members before all are killed.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// One member misses so much that it needs a snapshot.
    far_behind: bool,
    /// The leader goes on alone for a moment: its log ends with entries that nobody else has.
    tail: bool,
}

impl Trouble {
    async fn make(self, stage: &mut Stage, load: &Load) {
        let (leader, _) = ask::leader(&stage.urls, READY_MAX).await;
        let mut others: Vec<usize> = (0..3).filter(|n| *n != leader).collect();
        if self.far_behind {
            stage.kill(&[others.remove(0)]);
            load.more(300).await;
        }
        if self.tail {
            for n in others {
                stage.cluster.members[n].process.signal(Signal::STOP).unwrap();
            }
            // The writers that ask the leader have all proposed by then.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn round(version: Version, trouble: Trouble) {
    println!("{} with {trouble:?}", version.name());
    let mut stage = Stage::start(version, &[]);
    let identity = stage.identity().await;
    let load = Load::start(&stage.urls, "load");
    load.more(rand::rng().random_range(100..300)).await;
    trouble.make(&mut stage, &load).await;
    stage.kill(&[0, 1, 2]);
    let (revision, hash) = stage.hash_of_etcd(0).await;

    for member in &mut stage.cluster.members {
        // What is more than this behind needs a snapshot.
        member.process.add_argument("--snapshot-catchup-entries=10");
    }
    stage.become_quorate();
    assert_eq!(stage.identity().await, identity);
    load.more(100).await;
    let puts = load.stop().await;
    let end = ask::members_agree(&stage.urls).await;
    assert!(end >= revision + 100, "{end} after {revision}");
    assert_eq!(ask::hashes(&stage.urls, revision).await, [hash; 3], "HashKV as etcd has it");
    for (n, url) in stage.urls.iter().enumerate() {
        all_there(url, &puts).await;
        assert!(stage.kept_original(n).join("snap").join("db").is_file());
    }
}

async fn rounds_of(version: Version) {
    let both = Trouble { far_behind: true, tail: true };
    round(version, both).await;
    for _ in 1..rounds() {
        let trouble = Trouble { far_behind: rand::random(), tail: rand::random() };
        round(version, trouble).await;
    }
}

/// Of 3.7: every acknowledged put with its revision, HashKV as etcd had it, ids unchanged, clients go on.
#[tokio::test(flavor = "multi_thread")]
async fn three_of_3_7_go_on() {
    rounds_of(Version::V3_7_1).await;
}

/// The same of 3.5.
#[tokio::test(flavor = "multi_thread")]
async fn three_of_3_5_go_on() {
    rounds_of(Version::V3_5_1).await;
}

/// The same of 3.4, whose log holds requests of etcd's old API.
#[tokio::test(flavor = "multi_thread")]
async fn three_of_3_4_go_on() {
    rounds_of(Version::V3_4_23).await;
}
