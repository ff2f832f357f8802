//! Three members under load, all killed, started again as Quorate.

use std::time::Duration;

use quorate_client::Client;
use rand::Rng as _;
use rustix::process::Signal;
use testbed::Version;

use super::accounts::{Accounts, client, leader, revision_in};
use super::ask;
use super::content::{LEASE, fill, leased_keys, save};
use super::load::{Load, all_there};
use super::stage::{READY_MAX, Stage};

/// Rounds of each random test; a soak sets more.
pub fn rounds() -> usize {
    let set = std::env::var("TAKEOVER_ROUNDS").ok();
    set.map_or(1, |rounds| rounds.parse().expect("TAKEOVER_ROUNDS is a number"))
}

/// What the cluster has and what is done to its members before all are killed.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    /// One member misses so much that it needs a snapshot.
    far_behind: bool,
    /// The leader goes on alone for a moment: its log ends with entries that nobody else has.
    tail: bool,
    /// Authentication is on, and the writers have a login.
    guarded: bool,
}

/// Every mixture of trouble, the whole of it first.
const TROUBLES: usize = 8;

impl Trouble {
    fn of_round(round: usize) -> Trouble {
        let is_in = |bit: usize| (round % TROUBLES) & bit == 0;
        Trouble { far_behind: is_in(1), tail: is_in(2), guarded: is_in(4) }
    }

    async fn make(self, stage: &mut Stage, load: &Load, root: &Client) {
        let leader = leader(root, &stage.urls).await;
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
    fill(&stage.urls[0]).await;
    let root = client(&stage.urls, Some("root"), READY_MAX).await;
    let mut accounts = None;
    if trouble.guarded {
        // Turning authentication on does not change the revision; the file is complete, as a member's database is not.
        let saved = save(&stage.urls[0], &stage.file("before")).await;
        let auth_revision = revision_in(&saved.database().unwrap());
        root.auth().enable().await.unwrap();
        accounts = Some((Accounts::of(&root).await, auth_revision));
    }
    // Within what the user may write.
    let load = Load::start(&stage.urls, "k/load", trouble.guarded.then_some("part")).await;
    load.more(rand::rng().random_range(100..300)).await;
    trouble.make(&mut stage, &load, &root).await;
    stage.kill(&[0, 1, 2]);
    let (revision, hash) = stage.hash_of_etcd(0, trouble.guarded).await;

    for member in &mut stage.cluster.members {
        // What is more than this behind needs a snapshot.
        member.process.add_argument("--snapshot-catchup-entries=10");
    }
    stage.become_quorate();
    assert_eq!(stage.identity().await, identity);
    load.more(100).await;
    if let Some((accounts, auth_revision)) = accounts {
        for url in &stage.urls {
            accounts.hold_at(url, auth_revision).await;
        }
        root.auth().disable().await.unwrap();
    }
    let puts = load.stop().await;
    let end = ask::members_agree(&stage.urls).await;
    assert!(end >= revision + 100, "{end} after {revision}");
    assert_eq!(ask::hashes(&stage.urls, revision).await, [hash; 3], "HashKV as etcd has it");
    for (n, url) in stage.urls.iter().enumerate() {
        all_there(url, &puts).await;
        assert_eq!(leased_keys(url).await, ["leased"]);
        assert!(stage.kept_original(n).join("snap").join("db").is_file());
    }
    leases_go_on(&root, &stage.urls).await;
    println!("{}: {} acknowledged puts are all there", version.name(), puts.len());
}

/// The lease that etcd granted can be revoked, and its key goes with it on every member.
async fn leases_go_on(root: &Client, urls: &[String]) {
    root.lease().revoke(LEASE).await.unwrap();
    ask::same_revision(urls, READY_MAX).await;
    for url in urls {
        let found = ask::get(url, "leased", false, READY_MAX).await.unwrap();
        assert_eq!(found, None, "{url} still has the key of a revoked lease");
    }
}

async fn rounds_of(version: Version) {
    for n in 0..rounds() {
        round(version, Trouble::of_round(n)).await;
    }
}

/// Of 3.7: every acknowledged put with its revision, HashKV as etcd had it, ids, users and leases unchanged, clients go on.
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
