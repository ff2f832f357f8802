//! One process of ours: its command line, its log, its signals. It is killed when it is dropped.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::Usage;

/// The log line by which etcd's users know that a server takes requests.
const READY: &str = "ready to serve client requests";
/// etcd 3.4 does not write it; it says this, once it listens, from that place. Quorate says it before.
const READY_3_4: [&str; 2] = ["embed/serve.go", "serving client traffic"];
/// How often a log or a process is looked at while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process, running or not. What it prints goes to a log file.
pub struct Process {
    /// Name, for messages and the log file.
    pub name: String,
    /// The log file.
    pub log: PathBuf,
    command: Vec<OsString>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// How much of the log belongs to earlier starts.
    log_start: u64,
}

impl Process {
    /// `command` is the program and its arguments; the log goes to `folder`. Nothing is started yet.
    pub fn new(name: &str, folder: &Path, program: &Path, arguments: &[String]) -> Self {
        let words = arguments.iter().map(OsString::from);
        Self {
            name: name.to_owned(),
            log: folder.join(format!("{name}.log")),
            command: std::iter::once(program.into()).chain(words).collect(),
            environment: Vec::new(),
            child: None,
            log_start: 0,
        }
    }

    /// Adds a variable to the process's environment.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to the command line of the next start.
    pub fn add_argument(&mut self, argument: &str) {
        self.command.push(argument.into());
    }

    /// Another program for the next start, with the same arguments.
    pub fn set_program(&mut self, program: &Path) {
        self.command[0] = program.into();
    }

    /// Starts the process; its output goes to the end of the log file.
    pub fn start(&mut self) -> Result<()> {
        let log = self.open_log()?;
        self.log_start = log.metadata()?.len();
        let errors = log.try_clone()?;
        let (program, arguments) = self.command.split_first().context("a command has a program")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().with_context(|| program.display().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    fn open_log(&self) -> Result<File> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        log.with_context(|| self.log.display().to_string())
    }

    /// Returns once this start has logged that it takes requests; fails with the log's end when it does not.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if self.log_text().lines().any(is_ready) {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.exit_status()? {
                bail!("{} ended before it was ready ({status})\n{}", self.name, self.log_end());
            }
            if start.elapsed() > limit {
                bail!("{} was not ready within {limit:?}\n{}", self.name, self.log_end());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What the process has printed since its last start.
    pub fn log_text(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// The last lines of the log, for an error message.
    pub fn log_end(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).with_context(|| format!("{} is not running", self.name))
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child.is_some() && matches!(self.exit_status(), Ok(None))
    }

    fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().with_context(|| format!("{} is not running", self.name))?;
        Ok(child.try_wait()?)
    }

    /// Waits for a process that ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut child =
            self.child.take().with_context(|| format!("{} was not started", self.name))?;
        Ok(child.wait()?)
    }

    /// What the process has used so far; an error when it is not running.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid()?)
    }

    /// kill -9, and nothing of the process is left when this returns.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; past the limit kill -9 and an error.
    pub fn stop(&mut self, limit: Duration) -> Result<Duration> {
        self.signal(Signal::TERM)?;
        let start = Instant::now();
        while self.exit_status()?.is_none() {
            if start.elapsed() > limit {
                self.kill()?;
                bail!("{} did not stop within {limit:?} of SIGTERM and was killed", self.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.child = None;
        Ok(start.elapsed())
    }

    /// Sends a signal; an error when the process is not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("a process id is not zero")?;
        Ok(kill_process(pid, signal)?)
    }
}

fn is_ready(line: &str) -> bool {
    line.contains(READY) || READY_3_4.iter().all(|part| line.contains(part))
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed, and it is our own child.
        self.kill().ok();
    }
}
