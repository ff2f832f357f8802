//! `snapshot save`: the state of one member into a file, verified. The file appears under its name only when whole.
//! What is done with the file afterwards, without a member, is `snapshot_file`'s.

use super::key::text;
use super::snapshot_file;
use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use crate::go::{format_duration, format_size, io_text};
use crate::print::Answer;
use crate::progress::{Progress, Unit};
use crate::terminal::log;
use quorate_client::ClientError;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Saves, shows and restores snapshots
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Saves a snapshot of the one member at --endpoints into FILE
    Save {
        #[arg(value_name = "FILE")]
        file: Vec<OsString>,
    },
    #[command(flatten)]
    File(snapshot_file::Action),
}

impl Args {
    /// The action, if it needs no member.
    pub fn into_offline(self) -> Result<snapshot_file::Action, Box<Args>> {
        match self.action {
            Action::File(action) => Ok(action),
            action @ Action::Save { .. } => Err(Box::new(Args { action })),
        }
    }
}

/// Saves.
pub async fn run(args: Args, session: &Session) -> Outcome {
    let file = match args.action {
        Action::Save { file } => file,
        // `into_offline` takes these before a client is made.
        Action::File(_) => return Ok(()),
    };
    let [file] = file.as_slice() else {
        return Err(Failure::bad_args("snapshot save expects one argument <filename>"));
    };
    let endpoints = session.endpoints();
    if endpoints.len() != 1 {
        let text = format!(
            "snapshot must be requested to one selected node, not multiple [{}]",
            endpoints.join(" ")
        );
        return Err(interrupted(text));
    }
    let (version, bytes) = save(Path::new(file), &endpoints[0], session).await?;
    let mut lines = vec![format!("Snapshot saved at {}", text(file))];
    if !version.is_empty() {
        lines.push(format!("Server version {version}"));
    }
    let fields = vec![
        ("path", text(file).into()),
        ("size", bytes.into()),
        ("serverVersion", version.into()),
    ];
    session.printer.print(&Answer::Plain { lines, fields })
}

/// etcdctl ends a snapshot that fails, for whatever reason, with this code.
fn interrupted(text: impl Into<String>) -> Failure {
    Failure::new(exit::INTERRUPTED, text)
}

/// Streams into `<file>.part`, syncs, renames, syncs the directory; gives the server's storage version.
async fn save(target: &Path, endpoint: &str, session: &Session) -> Outcome<(String, u64)> {
    let part = Part::create(target)?;
    log("info", "created temporary db file", &[("path", &part.path.display().to_string())]);
    let start = Instant::now();
    let transfer = receive(&part, endpoint, session);
    // A limit only if one was asked for: a large snapshot takes its time.
    let (version, bytes) = match session.flags.command_timeout {
        Some(limit) => tokio::time::timeout(limit, transfer)
            .await
            .unwrap_or_else(|_| Err(interrupted("context deadline exceeded")))?,
        None => transfer.await?,
    };
    let fields = [
        ("endpoint", endpoint),
        ("size", &format_size(bytes)),
        ("took", &format_duration(start.elapsed())),
        ("etcd-version", &version),
    ];
    log("info", "fetched snapshot", &fields);
    part.keep(target)?;
    log("info", "saved", &[("path", &target.display().to_string())]);
    Ok((version, bytes))
}

async fn receive(part: &Part, endpoint: &str, session: &Session) -> Outcome<(String, u64)> {
    log("info", "fetching snapshot", &[("endpoint", endpoint)]);
    // etcdctl shows the errors of this stream with their gRPC code, etcd's own ones too.
    let failed = |error: ClientError| match &error {
        ClientError::Server { status, .. } => {
            let (code, text) = (status.code(), status.message());
            interrupted(format!("rpc error: code = {code:?} desc = {text}"))
        }
        _ => Failure::from(error).with_code(exit::INTERRUPTED),
    };
    let mut stream = session.client.maintenance().snapshot().await.map_err(failed)?;
    let mut progress = Progress::new("saving", Unit::Bytes);
    while let Some(chunk) = stream.next().await.map_err(failed)? {
        (&part.file).write_all(&chunk).map_err(|error| part.failed("write", &error))?;
        let received = stream.received();
        progress.show(received, received + stream.remaining());
    }
    Ok((stream.version().to_owned(), stream.received()))
}

/// The file while it is incomplete; removed when dropped.
struct Part {
    path: PathBuf,
    file: File,
    is_kept: std::cell::Cell<bool>,
}

impl Part {
    fn create(target: &Path) -> Outcome<Part> {
        let mut path = target.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).map_err(|error| {
            let name = path.display();
            interrupted(format!("could not open {name} (open {name}: {})", io_text(&error)))
        })?;
        Ok(Part { path, file, is_kept: std::cell::Cell::new(false) })
    }

    fn failed(&self, verb: &str, error: &std::io::Error) -> Failure {
        interrupted(format!("{verb} {}: {}", self.path.display(), io_text(error)))
    }

    /// Makes the file durable under its name.
    fn keep(self, target: &Path) -> Outcome {
        self.file.sync_all().map_err(|error| self.failed("fsync", &error))?;
        std::fs::rename(&self.path, target).map_err(|error| {
            let (from, to) = (self.path.display(), target.display());
            interrupted(format!("could not rename {from} to {to} ({})", io_text(&error)))
        })?;
        self.is_kept.set(true);
        let folder = target.parent().filter(|path| !path.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.failed("sync folder of", &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept.get() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
