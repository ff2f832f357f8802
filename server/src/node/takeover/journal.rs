//! `ORIGIN`: the file by whose appearance a take-over is decided, and the moves that follow it.

use super::places::Places;
use crate::node::error::{Context as _, NodeError, Result, refuse};
use quorate_etcd_files::disk::Disk;
use quorate_etcd_files::wal;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const ORIGIN: &str = "ORIGIN";

/// What was built, from what, and under which name the original is kept. Stays in `member` as a note for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Time in the name of what is kept.
    pub(super) stamp: String,
    /// Release line that wrote the directory, for example `3.5`.
    pub(super) etcd: String,
    /// Where the original is kept.
    pub(super) kept: Vec<PathBuf>,
    /// What the original looked like when it was read.
    pub(super) look: u32,
}

impl Origin {
    /// The decision of an earlier start; `None` where there is none yet.
    pub(super) fn read(places: &Places) -> Result<Option<Origin>> {
        let path = places.staging().join(ORIGIN);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let origin = serde_json::from_slice(&text);
        origin.map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Decides: durable, whole or not at all.
    pub(super) fn write(&self, disk: &dyn Disk, places: &Places) -> Result<()> {
        let staging = places.staging();
        let (path, new) = (staging.join(ORIGIN), staging.join("ORIGIN.new"));
        let text = serde_json::to_vec_pretty(self).context("failed to describe the original")?;
        let file = disk.create(&new).map_err(failed("create", &new))?;
        file.write_all_at(&text, 0).map_err(failed("write", &new))?;
        file.sync_data().map_err(failed("sync", &new))?;
        disk.rename(&new, &path).map_err(failed("rename", &new))?;
        disk.sync_dir(&staging).map_err(failed("sync", &staging))
    }

    /// Moves the original aside and what was built into its place. May be repeated until it has succeeded.
    pub(super) fn switch(&self, disk: &dyn Disk, places: &Places) -> Result<()> {
        if let (Some(wal), Some(kept)) = (places.separate_wal(), places.kept_wal(&self.stamp)) {
            // The copy is the same bytes, so between these two moves and the next ones etcd could still start.
            exchange(disk, wal, &kept, &places.staged_wal())?;
        }
        let kept = places.kept_member(&self.stamp);
        exchange(disk, &places.member(), &kept, &places.staging())
    }

    /// True while the original is what it was when it was read: nobody started etcd on it since.
    pub(super) fn fits(&self, places: &Places) -> Result<bool> {
        let (member, kept) = (places.member(), places.kept_member(&self.stamp));
        if member.exists() && kept.exists() {
            refuse!(
                "{} and {} are both there although a take-over was to move one to the other. Move away the one that \
                 does not belong here.",
                member.display(),
                kept.display()
            );
        }
        let member = if member.exists() { member } else { kept };
        let kept = places.kept_wal(&self.stamp).filter(|kept| kept.exists());
        let wal = kept.unwrap_or_else(|| places.wal_of(&member));
        Ok(look(&member, &wal)? == self.look)
    }
}

/// `live` becomes `kept`, `built` becomes `live`; what has been done already is passed over.
fn exchange(disk: &dyn Disk, live: &Path, kept: &Path, built: &Path) -> Result<()> {
    if !disk.exists(built) {
        return Ok(());
    }
    let parent = live.parent().unwrap_or(Path::new("/"));
    if disk.exists(live) && !disk.exists(kept) {
        disk.rename(live, kept).map_err(failed("move", live))?;
        disk.sync_dir(parent).map_err(failed("sync", parent))?;
    }
    disk.rename(built, live).map_err(failed("move", built))?;
    disk.sync_dir(parent).map_err(failed("sync", parent))
}

/// A number that changes when etcd writes to its directory: names, sizes and times of its databases and its log.
pub(super) fn look(member: &Path, wal: &Path) -> Result<u32> {
    let mut crc = 0;
    for folder in [&member.join("snap"), wal] {
        let entries = std::fs::read_dir(folder).map_err(failed("list", folder))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(failed("list", folder))?.path());
        }
        paths.sort();
        for path in paths {
            let is_data = wal::Segment::from_path(&path).is_some()
                || path.file_name().is_some_and(|name| name == "db")
                || path.extension().is_some_and(|ending| ending == "db" || ending == "snap");
            if !is_data {
                continue;
            }
            let about = std::fs::metadata(&path).map_err(failed("look at", &path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let text = format!("{name} {} {} {}\n", about.len(), about.mtime(), about.mtime_nsec());
            crc = crc32c::crc32c_append(crc, text.as_bytes());
        }
    }
    Ok(crc)
}

/// Names the step and the file; for `map_err`.
pub(super) fn failed(action: &str, path: &Path) -> impl FnOnce(std::io::Error) -> NodeError {
    let step = format!("failed to {action} {}", path.display());
    move |source| NodeError::Failed { step, source: source.into() }
}
