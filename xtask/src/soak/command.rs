//! The command itself: harm, heal, and after every few rounds let the cluster rest and ask it for everything.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::fault::Harm;
use crate::witness::{Ledger, Load, PREFIX, Pace, nothing_lost, reads};
use crate::{reference, repo};
use testbed::{Cluster, Plan};

/// Rounds between two questions.
const ROUNDS_PER_CHECK: u64 = 5;
/// How long members may take to agree once the writers rest.
const AGREE_MAX: Duration = Duration::from_secs(30);
/// Counters of one stretch of writing stay below this.
const COUNTERS_PER_STRETCH: u64 = 1_000_000_000;

#[derive(clap::Args)]
pub struct Options {
    /// Instead of harm to a cluster of Quorate: clusters of real etcd, killed under load and taken over, again and again
    #[arg(long)]
    takeover: bool,
    /// Rounds of harm
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    #[arg(long, default_value_t = 3)]
    members: usize,
    #[arg(long, default_value_t = 16)]
    writers: usize,
    /// Seed of the harm; the same seed gives the same rounds
    #[arg(long)]
    seed: Option<u64>,
    /// A flag for the server, for example `--server-flag=--storage-engine=sled`
    #[arg(long = "server-flag")]
    server_flags: Vec<String>,
    /// Another server program, for example real etcd; nothing is built then
    #[arg(long)]
    server: Option<PathBuf>,
    /// Build with the release profile
    #[arg(long)]
    release: bool,
}

pub fn run(options: &Options) -> Result<()> {
    if options.takeover {
        return take_over(options.rounds);
    }
    let server = match &options.server {
        Some(server) => server.clone(),
        None => build(options.release)?,
    };
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("soak: {} rounds, seed {seed}", options.rounds);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = tempfile::Builder::new().prefix("quorate-soak-").tempdir()?;
    let members = options.members;
    let plan =
        Plan { program: &server, members, folder: folder.path(), extra: &options.server_flags };
    let soak = Soak { options, seed, cluster: Cluster::start(&plan)?, ledger: Arc::default() };
    let outcome = runtime.block_on(soak.run());
    if outcome.is_err() {
        println!("soak: data and logs are kept in {}", folder.keep().display());
    }
    outcome.with_context(|| format!("repeat with --seed {seed}"))
}

/// The random tests of the take-over suite, for so many rounds.
fn take_over(rounds: u64) -> Result<()> {
    let mut test = repo::cargo();
    // The whole workspace, so that what the tests have built already is taken.
    test.args(["test", "--locked", "--workspace", "--test", "takeover", "--"]);
    test.args(["--nocapture", "--test-threads=1", "three_of_", "a_killed_etcd_"]);
    test.env("TAKEOVER_ROUNDS", rounds.to_string());
    test.env("QUORATE_REFERENCE_DIR", reference::folder());
    repo::run(&mut test)
}

fn build(is_release: bool) -> Result<PathBuf> {
    let mut build = repo::cargo();
    build.args(["build", "--locked", "--package", "quorate-server"]);
    repo::run(build.args(is_release.then_some("--release")))?;
    let profile = if is_release { "release" } else { "debug" };
    Ok(repo::target_dir().join(profile).join("quorate-server"))
}

struct Soak<'a> {
    options: &'a Options,
    seed: u64,
    cluster: Cluster,
    ledger: Arc<Ledger>,
}

impl Soak<'_> {
    async fn run(mut self) -> Result<()> {
        let start = Instant::now();
        let rounds: Vec<u64> = (1..=self.options.rounds).collect();
        for (stretch, rounds) in (0..).zip(rounds.chunks(ROUNDS_PER_CHECK as usize)) {
            let urls = self.cluster.client_urls();
            let first = stretch * COUNTERS_PER_STRETCH;
            let rest = Duration::from_millis(2);
            let pace = Pace { writers: self.options.writers, rest, first };
            let load = Load::start(&urls, &self.ledger, pace)?;
            for &round in rounds {
                let harm = Harm::draw(self.seed, round, self.options.members);
                println!("soak: round {round}: {harm}");
                let cluster = &mut self.cluster;
                tokio::task::block_in_place(|| harm.inflict(cluster))?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            load.stop().await;
            self.ask(start).await?;
        }
        self.cluster.stop()
    }

    async fn ask(&mut self, start: Instant) -> Result<()> {
        let urls = self.cluster.client_urls();
        let wanted = self.ledger.keys();
        for url in &urls {
            let found = reads::counters(&reads::keys(url, PREFIX, 0).await?)?;
            nothing_lost(&wanted, &found).with_context(|| format!("read from {url}"))?;
        }
        let revision = reads::members_agree(&urls, AGREE_MAX).await?;
        let count = self.ledger.count();
        // A cluster is born at revision 1, and every put is one revision: no gap, nothing done twice.
        let puts = u64::try_from(revision - 1).unwrap_or(0);
        if puts < count.acknowledged || puts > count.acknowledged + count.unknown {
            bail!("revision {revision} does not fit the {count:?} puts");
        }
        println!(
            "soak: after {:.0?}: {} acknowledged, {} of unknown outcome, revision {revision}; all there, all members \
             agree, {} MB of memory",
            start.elapsed(),
            count.acknowledged,
            count.unknown,
            self.cluster.usage()?.peak_rss_bytes / 1_000_000,
        );
        Ok(())
    }
}
