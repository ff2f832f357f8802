//! The journal of a recovery: one JSON line per event, synced before the next act. It says what was asked for, and
//! how far the work has come; a recovery that was cut short goes on behind the last checked step.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::request::RecoverRequest;
use crate::durable::sync_parent;
use crate::error::{AgentError, Result};

const FORMAT_VERSION: u32 = 1;

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Its act was begun; whether it took effect is not known.
    Begun,
    /// Its act is done and its check passed.
    Checked,
    /// It failed, and changed nothing that counts.
    Failed,
    /// It was undone.
    Undone,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Header { format_version: u32, at: Timestamp, request: Box<RecoverRequest> },
    Event { at: Timestamp, step: String, progress: Progress, detail: String },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    request: RecoverRequest,
    /// The last event of each step, in the order of their first events.
    steps: Vec<(String, Progress)>,
}

impl Journal {
    /// Begins a journal, or opens the one that is there for the same request.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the journal there belongs to another request.
    pub fn open(path: &Path, request: &RecoverRequest) -> Result<Self> {
        if path.exists() {
            let journal = Self::load(path)?;
            if journal.request != *request {
                return Err(AgentError::refused(
                    format!("{} belongs to a recovery with other flags", path.display()),
                    "Give the same flags again to go on, `--undo` to take it back, or another --work-dir \
                     to begin anew.",
                ));
            }
            return Ok(journal);
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(AgentError::io("create", path))?;
        sync_parent(path)?;
        let mut journal =
            Self { path: path.to_owned(), file, request: request.clone(), steps: Vec::new() };
        journal.append(&Line::Header {
            format_version: FORMAT_VERSION,
            at: Timestamp::now(),
            request: Box::new(request.clone()),
        })?;
        Ok(journal)
    }

    /// Opens a journal that is there. A last line that was cut short by a crash is ignored.
    pub fn load(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).append(true).open(path);
        let file = file.map_err(AgentError::io("open", path))?;
        let damaged = |what: String| AgentError::Integrity {
            what: format!("journal {} {what}", path.display()),
            hint: "Begin anew with another --work-dir.".into(),
        };
        let mut request = None;
        let mut steps = Vec::new();
        for line in BufReader::new(&file).lines() {
            let line = line.map_err(AgentError::io("read", path))?;
            if line.is_empty() {
                continue;
            }
            match serde_json::from_str(&line) {
                Ok(Line::Header { format_version, request: asked, .. }) => {
                    if format_version > FORMAT_VERSION {
                        return Err(damaged(format!("has format version {format_version}")));
                    }
                    request = Some(*asked);
                }
                Ok(Line::Event { step, progress, .. }) => note(&mut steps, &step, progress),
                Err(error) => tracing::warn!(%error, "a line of the journal was cut short"),
            }
        }
        let request = request.ok_or_else(|| damaged("has no header".into()))?;
        Ok(Self { path: path.to_owned(), file, request, steps })
    }

    /// What was asked for.
    pub fn request(&self) -> &RecoverRequest {
        &self.request
    }

    /// How far a step is; `None` when it was not begun.
    pub fn progress(&self, step: &str) -> Option<Progress> {
        self.steps.iter().find(|(name, _)| name == step).map(|(_, progress)| *progress)
    }

    /// Writes an event; it is on disk when this returns.
    pub fn note(&mut self, step: &str, progress: Progress, detail: &str) -> Result<()> {
        self.append(&Line::Event {
            at: Timestamp::now(),
            step: step.to_owned(),
            progress,
            detail: detail.to_owned(),
        })?;
        note(&mut self.steps, step, progress);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).expect("a journal line is plain data");
        // A line that was cut short before must not swallow this one.
        bytes.insert(0, b'\n');
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(AgentError::io("write", &self.path))?;
        self.file.sync_data().map_err(AgentError::io("sync", &self.path))
    }
}

fn note(steps: &mut Vec<(String, Progress)>, step: &str, progress: Progress) {
    match steps.iter_mut().find(|(name, _)| name == step) {
        Some((_, last)) => *last = progress,
        None => steps.push((step.to_owned(), progress)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::inventory::ServerKind;
    use super::super::request::{MemberTarget, SourceRequest, Tail};
    use super::*;

    fn request(token: &str) -> RecoverRequest {
        RecoverRequest {
            source: SourceRequest::DataDir {
                path: "/var/lib/etcd".into(),
                wal_dir: None,
                server: ServerKind::Etcd,
                tail: Tail::Keep,
            },
            members: vec![MemberTarget {
                name: "m1".into(),
                peer_urls: vec!["http://127.0.0.1:2380".into()],
                client_url: None,
            }],
            data_dir: "/var/lib/etcd-new".into(),
            token: token.into(),
            bump_revision: None,
            server_binary: "etcd".into(),
            start_hook: None,
            wait_seconds: 60,
            is_fenced: false,
        }
    }

    /// A journal that is opened again knows what was done, even when its last line was cut short; one of another
    /// request is refused.
    #[test]
    fn goes_on_where_it_stopped() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, &request("t")).expect("a journal");
        journal.note("copy", Progress::Begun, "").expect("noted");
        journal.note("copy", Progress::Checked, "3 files").expect("noted");
        journal.note("replay", Progress::Begun, "").expect("noted");
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).expect("the file");
        file.write_all(b"{\"line\":\"event\",\"at\":\"2026").expect("a torn line");

        let mut journal = Journal::open(&path, &request("t")).expect("the journal");
        assert_eq!(journal.progress("copy"), Some(Progress::Checked));
        assert_eq!(journal.progress("replay"), Some(Progress::Begun));
        assert_eq!(journal.progress("restore"), None);
        journal.note("replay", Progress::Checked, "").expect("noted");
        drop(journal);
        let journal = Journal::open(&path, &request("t")).expect("the journal");
        assert_eq!(journal.progress("replay"), Some(Progress::Checked));
        assert_eq!(Journal::open(&path, &request("other")).expect_err("refused").exit_code(), 7);
    }
}
