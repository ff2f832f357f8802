//! What every fault test begins with: a seed that is told, a folder, a cluster of three; and how its members come back.

use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;
use testbed::{Cluster, Plan};

pub const SERVER: &str = env!("CARGO_BIN_EXE_quorate-server");
/// How long a member may take to serve again. Tests share their machine.
pub const READY_MAX: Duration = Duration::from_secs(60);

/// Choices that can be repeated: `FAULT_SEED` sets the seed, which is printed.
pub fn dice(test: &str) -> StdRng {
    let given = std::env::var("FAULT_SEED").ok();
    let seed = given
        .map_or_else(|| rand::rng().random(), |seed| seed.parse().expect("FAULT_SEED is a number"));
    println!("{test}: FAULT_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Three members and where they live.
pub struct Stage {
    pub cluster: Cluster,
    pub urls: Vec<String>,
    _folder: TempDir,
}

impl Stage {
    pub fn start(extra: &[&str]) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let extra: Vec<String> = extra.iter().map(|&flag| flag.to_owned()).collect();
        let program = Path::new(SERVER);
        let plan = Plan { program, members: 3, folder: folder.path(), extra: &extra };
        let cluster = Cluster::start(&plan).unwrap();
        let urls = cluster.client_urls();
        Stage { cluster, urls, _folder: folder }
    }

    pub fn kill(&mut self, members: &[usize]) {
        for &n in members {
            self.cluster.members[n].process.kill().unwrap();
        }
    }

    /// The same command lines again, and nothing else.
    pub fn start_again(&mut self, members: &[usize]) {
        for &n in members {
            self.cluster.members[n].process.start().unwrap();
        }
        for &n in members {
            self.cluster.members[n].process.wait_ready(READY_MAX).unwrap();
        }
    }
}
