//! The command itself: builds, sets the stage, and plays either to a person or to a log.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::acts;
use super::stage::{Programs, Stage};
use crate::repo;

/// How often it is looked whether the dashboard was left.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Options {
    /// Without a terminal: play for this long, kill the leader, back up, restore, check, and end with 0 if all worked
    #[arg(long, value_name = "SECONDS")]
    headless: Option<u64>,
    /// Build with the release profile: slower to build, faster to watch
    #[arg(long)]
    release: bool,
    /// Another server program in Quorate's place, for example real etcd
    #[arg(long)]
    server: Option<PathBuf>,
    /// The programs are built already
    #[arg(long)]
    no_build: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let profile = if options.release { "release" } else { "debug" };
    if !options.no_build {
        println!("demo: building; the first time this takes some minutes");
        let mut build = repo::cargo();
        // The whole workspace, as the tests build it: so neither compiles the other's crates again.
        build.args(["build", "--workspace", "--bins", "--locked"]);
        repo::run(build.args(options.release.then_some("--release")))?;
    }
    let programs = Programs::in_folder(&repo::target_dir().join(profile), options.server.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Whatever ends the play, the stage is dropped, and with it every process and the folder.
        tokio::select! {
            outcome = play(programs, options.headless) => outcome,
            name = interrupted() => bail!("stopped by {}", name?),
        }
    })
}

async fn play(programs: Programs, headless: Option<u64>) -> Result<()> {
    let mut stage = Stage::set(programs).await?;
    let outcome = match headless {
        Some(seconds) => acts::play(&mut stage, Duration::from_secs(seconds)).await,
        None => dashboard(&stage).await,
    };
    let count = stage.ledger.count();
    let cleared = stage.clear().await;
    outcome?;
    cleared?;
    println!("demo: {} writes were acknowledged; all is stopped and removed", count.acknowledged);
    Ok(())
}

/// The dashboard owns the terminal until it is left.
async fn dashboard(stage: &Stage) -> Result<()> {
    if !std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        bail!("there is no terminal for the dashboard. Give --headless SECONDS.");
    }
    let program = &stage.programs.dashboard;
    let mut command = Command::new(program);
    command.arg("--endpoints").arg(stage.cluster.client_urls().join(","));
    let child = command.spawn().with_context(|| program.display().to_string())?;
    let mut guard = Dashboard { child };
    loop {
        if let Some(status) = guard.child.try_wait()? {
            if !status.success() {
                bail!("the dashboard ended with {status}");
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks the dashboard to leave when the demo is interrupted: it has to put the terminal back.
struct Dashboard {
    child: Child,
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), pid) {
            // If it cannot be asked it is gone already.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            self.child.wait().ok();
        }
    }
}

async fn interrupted() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hang_up.recv() => "SIGHUP",
    })
}
