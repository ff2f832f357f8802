//! Where things are before, during and after a take-over. Looks at the disk, changes nothing.

use crate::config::Config;
use quorate_etcd_files::datadir::DataDir;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The directory that is being built.
pub(in crate::node) const STAGING: &str = "member.takeover";
/// Put behind the name of what is kept; the time follows.
const KEPT: &str = ".etcd-";

/// True for the name under which a take-over leaves etcd's own directory.
pub(in crate::node) fn is_kept_original(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("member.etcd-")
}

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::node) struct Places {
    pub(super) root: PathBuf,
    /// The log's directory, where it is not inside `member`.
    pub(super) separate_wal: Option<PathBuf>,
}

impl Places {
    pub(in crate::node) fn of(config: &Config) -> Places {
        let inside = config.data_dir.join("member").join("wal");
        let wal = config.wal_path();
        Places { root: config.data_dir.clone(), separate_wal: (wal != inside).then_some(wal) }
    }

    /// The directory as etcd's tools name its parts.
    pub(super) fn data_dir(&self) -> DataDir {
        DataDir::new(&self.root, self.separate_wal.as_deref())
    }

    pub(super) fn member(&self) -> PathBuf {
        self.root.join("member")
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Where the log is built.
    pub(super) fn staged_wal(&self) -> PathBuf {
        match &self.separate_wal {
            Some(wal) => with_suffix(wal, ".takeover"),
            None => self.staging().join("wal"),
        }
    }

    pub(super) fn kept_member(&self, stamp: &str) -> PathBuf {
        with_suffix(&self.member(), &format!("{KEPT}{stamp}"))
    }

    pub(super) fn kept_wal(&self, stamp: &str) -> Option<PathBuf> {
        self.separate_wal.as_ref().map(|wal| with_suffix(wal, &format!("{KEPT}{stamp}")))
    }

    /// True where etcd's database is there, and no state of ours.
    pub(super) fn is_etcds(&self) -> bool {
        let snap = self.member().join("snap");
        snap.join("db").is_file() && !snap.join("state").join("CURRENT").exists()
    }

    /// True where an earlier take-over has left something to finish or to remove.
    pub(super) fn is_begun(&self) -> bool {
        self.staging().exists() || self.separate_wal.is_some() && self.staged_wal().exists()
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
