//! Where things are before, during and after a take-over. Looks at the disk, changes nothing.

use crate::config::Config;
use crate::node::error::{Result, refuse};
use quorate_etcd_files::datadir::{DataDir, resolve};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
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
    pub(super) log: LogPlace,
}

/// Where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LogPlace {
    /// Below `member`, at this path: it moves with it.
    Inside(PathBuf),
    /// Elsewhere: it is moved by itself.
    Separate(PathBuf),
}

impl Places {
    pub(in crate::node) fn of(config: &Config) -> Places {
        Places::with_wal_dir(&config.data_dir, config.wal_dir.as_deref())
    }

    pub(super) fn with_wal_dir(root: &Path, wal_dir: Option<&Path>) -> Places {
        let data_dir = DataDir::new(root, wal_dir);
        let inside = data_dir.wal_in_member().map(LogPlace::Inside);
        let log = inside.unwrap_or_else(|| LogPlace::Separate(data_dir.wal()));
        Places { root: root.to_owned(), log }
    }

    /// Refuses a layout that moving directories cannot replace.
    ///
    /// # Errors
    /// The log is not in a directory of its own, or one that has to be moved is a mount point.
    pub(super) fn check(&self) -> Result<()> {
        let (member, wal) = (self.member(), self.wal());
        let is_apart = match &self.log {
            LogPlace::Inside(below) => !below.as_os_str().is_empty() && !below.starts_with("snap"),
            LogPlace::Separate(wal) => !resolve(&member).starts_with(resolve(wal)),
        };
        if !is_apart {
            refuse!(
                "the log of etcd in {} is not in a directory of its own, so that it cannot be taken over. Stop every etcd, \
                 move the files *.wal into a new directory, and give that with --wal-dir.",
                wal.display()
            );
        }
        for path in [member, wal] {
            if is_mount_point(&path) {
                refuse!(
                    "{} is a mount point, which a take-over cannot move. Mount the disk elsewhere, move what is on it into \
                     a directory below, and give that with --data-dir or --wal-dir.",
                    path.display()
                );
            }
        }
        Ok(())
    }

    /// The log's directory of its own, where it has one.
    pub(super) fn separate_wal(&self) -> Option<&Path> {
        match &self.log {
            LogPlace::Inside(_) => None,
            LogPlace::Separate(wal) => Some(wal),
        }
    }

    fn wal(&self) -> PathBuf {
        self.wal_of(&self.member())
    }

    /// The log that belongs to `member`, also where that is kept under another name.
    pub(super) fn wal_of(&self, member: &Path) -> PathBuf {
        match &self.log {
            LogPlace::Inside(below) => member.join(below),
            LogPlace::Separate(wal) => wal.clone(),
        }
    }

    /// The directory as etcd's tools name its parts.
    pub(super) fn data_dir(&self) -> DataDir {
        DataDir::new(&self.root, Some(&self.wal()))
    }

    pub(super) fn member(&self) -> PathBuf {
        self.root.join("member")
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Where the log is built.
    pub(super) fn staged_wal(&self) -> PathBuf {
        match &self.log {
            LogPlace::Inside(below) => self.staging().join(below),
            LogPlace::Separate(wal) => with_suffix(wal, ".takeover"),
        }
    }

    pub(super) fn kept_member(&self, stamp: &str) -> PathBuf {
        with_suffix(&self.member(), &format!("{KEPT}{stamp}"))
    }

    pub(super) fn kept_wal(&self, stamp: &str) -> Option<PathBuf> {
        self.separate_wal().map(|wal| with_suffix(wal, &format!("{KEPT}{stamp}")))
    }

    /// True where etcd's database is there, and no state of ours.
    pub(super) fn is_etcds(&self) -> bool {
        let snap = self.member().join("snap");
        snap.join("db").is_file() && !snap.join("state").join("CURRENT").exists()
    }

    /// True where an earlier take-over has left something to finish or to remove.
    pub(super) fn is_begun(&self) -> bool {
        self.staging().exists() || self.separate_wal().is_some() && self.staged_wal().exists()
    }
}

fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| path.metadata().ok().map(|about| about.dev());
    let is_link = path.symlink_metadata().is_ok_and(|about| about.is_symlink());
    let parent = std::path::absolute(path).ok().and_then(|path| Some(path.parent()?.to_owned()));
    !is_link && device(path).is_some() && device(path) != parent.as_deref().and_then(device)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
