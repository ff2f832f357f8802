//! The data directory of a stopped member, etcd's or Quorate's: recognised, exported as a snapshot file, defragmented.
//! What the formats are is `quorate-etcd-files`'s and `quorate-storage`'s business; the words are `command`'s.
//!
//! An export holds what the log has and the database has not yet: both servers write to their database every 100 ms only.

use crate::failure::{Failure, Outcome, exit};
use crate::terminal::log;
use quorate_etcd_files::datadir::{
    Access, Claim, DataDir, Defragmented, Survivor, TailPolicy, defragment,
};
use quorate_etcd_files::rescue::{Rescued, rescue};
use quorate_storage::{Backend, BackendOptions, EngineKind, Image, StorageError, engine_of};
use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where in `member/snap` Quorate keeps its state.
const STATE: &str = "state";
/// How often a state that a member still has open is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Whose directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// etcd's.
    Etcd,
    /// Quorate's, with this engine.
    Quorate(EngineKind),
}

/// A data directory and how long to wait for who still has it open; `None` means for ever.
pub struct Stopped {
    data_dir: DataDir,
    patience: Option<Duration>,
}

/// What an export holds.
pub struct Exported {
    /// What was written.
    pub rescued: Rescued,
    /// Entries of the log of which it is not known whether they were committed.
    pub tail: u64,
}

impl Stopped {
    /// Names the directory; looks at nothing.
    pub fn new(root: &Path, wal: Option<&Path>, patience: Option<Duration>) -> Stopped {
        Stopped { data_dir: DataDir::new(root, wal), patience }
    }

    /// Where etcd's database is.
    pub fn database(&self) -> PathBuf {
        self.data_dir.database()
    }

    /// The directory in etcd's terms.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }

    fn state(&self) -> PathBuf {
        self.data_dir.snap().join(STATE)
    }

    /// Whose directory this is. A directory that is nobody's counts as etcd's, whose missing database is then named.
    pub fn owner(&self) -> Outcome<Owner> {
        let engine = engine_of(&self.state()).map_err(storage_failure)?;
        Ok(engine.map_or(Owner::Etcd, Owner::Quorate))
    }

    /// Writes the state, log included, as a snapshot file at `target`, which must not exist.
    pub fn export(&self, policy: TailPolicy, target: &Path) -> Outcome<Exported> {
        let Owner::Quorate(engine) = self.owner()? else {
            let _claim = Claim::take(&self.database(), Access::Shared, self.patience)
                .map_err(files_failure)?;
            return export(&self.data_dir, policy, target);
        };
        let backend = self.open(engine)?;
        // etcd-files replays logs onto a database file: the state becomes one, beside the member's own log.
        let folder = tempfile::Builder::new().prefix("quorate-export-").tempdir();
        let folder = folder.map_err(|error| room_failure(&error))?;
        let stage = DataDir::new(folder.path(), Some(&self.data_dir.wal()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(stage.snap())
            .and_then(|()| write_image(&backend, &stage.database()))
            .map_err(|error| room_failure(&error))?;
        let exported = export(&stage, policy, target)?;
        backend.close().map_err(storage_failure)?;
        Ok(exported)
    }

    /// Writes the database anew, so that it takes no more space than its rows need.
    pub fn defragment(&self) -> Outcome<Defragmented> {
        let Owner::Quorate(engine) = self.owner()? else {
            return defragment(&self.database(), self.patience).map_err(files_failure);
        };
        let backend = self.open(engine)?;
        let report = backend.defragment().map_err(storage_failure)?;
        backend.close().map_err(storage_failure)?;
        let (before, after) = (report.before.total_bytes, report.after.total_bytes);
        Ok(Defragmented { before, after })
    }

    /// Opens the state, which nobody else may have open.
    fn open(&self, engine: EngineKind) -> Outcome<Arc<Backend>> {
        let deadline = self.patience.map(|patience| Instant::now() + patience);
        loop {
            let options = BackendOptions { engine, ..BackendOptions::default() };
            match Backend::open(&self.state(), options) {
                Err(error)
                    if error.is_in_use()
                        && deadline.is_none_or(|deadline| Instant::now() < deadline) =>
                {
                    std::thread::sleep(RETRY);
                }
                outcome => return outcome.map_err(storage_failure),
            }
        }
    }
}

fn export(data_dir: &DataDir, policy: TailPolicy, target: &Path) -> Outcome<Exported> {
    let survivor = Survivor::open(data_dir).map_err(files_failure)?;
    if let Some(lost) = survivor.lost() {
        let text = "the log has lost entries; what is left of it is read";
        log("warn", text, &[("error", &lost.to_string())]);
    }
    let tail = survivor.tail_len();
    let rescued = rescue(&survivor, policy, target).map_err(files_failure)?;
    Ok(Exported { rescued, tail })
}

fn write_image(backend: &Backend, path: &Path) -> std::io::Result<()> {
    let view = backend.view().map_err(std::io::Error::other)?;
    let mut file = File::create_new(path)?;
    Image::new(view)?.write(&mut file)
}

/// The error's own words, and what to do about it.
pub fn files_failure(error: quorate_etcd_files::Error) -> Failure {
    let text = match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    };
    Failure::new(exit::ERROR, text)
}

fn storage_failure(error: StorageError) -> Failure {
    if error.is_in_use() {
        let text = "in use: stop the server that has this data directory open, or wait longer with --timeout";
        return Failure::new(exit::ERROR, text);
    }
    Failure::new(exit::ERROR, error.to_string())
}

fn room_failure(error: &std::io::Error) -> Failure {
    let text = format!(
        "failed to write the state to a temporary file: {}. Name a directory with enough room in TMPDIR.",
        crate::go::io_text(error)
    );
    Failure::new(exit::IO, text)
}
