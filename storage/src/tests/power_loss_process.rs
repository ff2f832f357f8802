//! The rule of `power_loss.rs` for engines that do their own file I/O, such as sled: a child process under a C shim.
//!
//! The shim (`power_loss_shim.c`, built with `cc` when the tests run) is loaded into the child before the C library. It
//! counts writes and syncs, and at the appointed one, or at the end, puts every file back to what returned syncs had covered. So it
//! sees whether sled's own sync really became `fdatasync`. What it does not show: lost names (they are durable at
//! once), and disks that lie about a sync.

use super::power_loss::{History, LIVES, fate, options, rounds};
use crate::{Backend, EngineKind, SyncPolicy};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROUNDS: u64 = 3;
const CHILD: &str = "tests::power_loss_process::child";
/// How the child ends when the power goes; see the shim.
const POWER_LOST: i32 = 99;

#[derive(Clone, Copy)]
struct Round {
    engine: EngineKind,
    sync: SyncPolicy,
    is_random: bool,
    seed: u64,
}

/// Builds the shim; `None` where the machine has no C compiler.
fn shim(directory: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/power_loss_shim.c");
    let library = directory.join("power_loss_shim.so");
    let mut compile = Command::new("cc");
    compile.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    let output = match compile.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("not run, there is no C compiler: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

impl Round {
    /// Lives as a child each, and the parent's look at what the power loss left.
    fn run(self, shim: &Path) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let mut history = History::default();
        for life in 0..LIVES {
            let (steps, n_operations) = fate(self.seed, life);
            history.foresee_all(&steps);
            for index in self.live_as_child(shim, directory.path(), life, n_operations) {
                history.note_durable(index);
            }
            let backend = Backend::open(&state, options(self.engine, SyncPolicy::Always))
                .map_err(|error| format!("life {life}: {error}"))?;
            history.check(&backend).map_err(|error| format!("life {life}: {error}"))?;
        }
        Ok(())
    }

    /// Returns the marks that the child told to be durable.
    fn live_as_child(
        self,
        shim: &Path,
        directory: &Path,
        life: u64,
        n_operations: u64,
    ) -> Vec<u64> {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
            .env("LD_PRELOAD", shim)
            .env("POWER_DIR", directory)
            .env("POWER_OPERATIONS", n_operations.to_string())
            .env("POWER_CHILD_ENGINE", self.engine.name())
            .env("POWER_CHILD_SYNCS", (self.sync == SyncPolicy::Always).to_string())
            .env("POWER_CHILD_SEED", self.seed.to_string())
            .env("POWER_CHILD_LIFE", life.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if self.is_random {
            child.env("POWER_SEED", (self.seed * LIVES + life).to_string());
        }
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(POWER_LOST), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        let told = text.split("durable ").skip(1);
        told.map(|rest| rest.lines().next().unwrap().parse().unwrap()).collect()
    }
}

/// Not a test by itself: the life that a power loss ends, in the process that the others start.
#[test]
fn child() {
    let Ok(directory) = std::env::var("POWER_DIR") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let number = |name: &str| variable(name).parse::<u64>().unwrap();
    let engine = variable("POWER_CHILD_ENGINE").parse().unwrap();
    let syncs = variable("POWER_CHILD_SYNCS") == "true";
    let sync = if syncs { SyncPolicy::Always } else { SyncPolicy::Never };
    let path = Path::new(&directory).join("state");
    let backend = Backend::open(&path, options(engine, sync)).unwrap();
    let (steps, _) = fate(number("POWER_CHILD_SEED"), number("POWER_CHILD_LIFE"));
    let tell = |index: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "durable {index}").unwrap();
        out.flush().unwrap();
    };
    History::from(backend.applied_at_open()).live(&backend, &steps, tell);
    // A life that the counted operations did not end ends here, by a power loss all the same.
    std::process::exit(0);
}

fn failures(engine: EngineKind, sync: SyncPolicy) -> Option<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let shim = shim(directory.path())?;
    let mut failures = Vec::new();
    for is_random in [false, true] {
        for seed in 0..rounds(ROUNDS) {
            let round = Round { engine, sync, is_random, seed };
            if let Err(error) = round.run(&shim) {
                failures.push(format!("seed {seed}, random {is_random}: {error}"));
            }
        }
    }
    Some(failures)
}

/// sled keeps what was flushed: its sync is ours.
#[test]
fn sled_keeps_what_was_flushed() {
    assert_eq!(failures(EngineKind::Sled, SyncPolicy::Always).unwrap_or_default(), [""; 0]);
}

/// redb keeps what was flushed on a real file system too.
#[test]
fn redb_keeps_what_was_flushed() {
    assert_eq!(failures(EngineKind::Redb, SyncPolicy::Always).unwrap_or_default(), [""; 0]);
}

/// The control: without syncs both lose, and the check sees it.
#[test]
fn without_syncs_both_lose() {
    for engine in [EngineKind::Sled, EngineKind::Redb] {
        if let Some(failures) = failures(engine, SyncPolicy::Never) {
            assert!(failures.len() as u64 > ROUNDS / 2, "{engine} lost only {failures:?}");
        }
    }
}
