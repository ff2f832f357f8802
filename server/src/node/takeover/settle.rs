//! What a start does about a directory that is etcd's, or was being taken over when the last start ended.

use super::build::build;
use super::journal::{Origin, failed};
use super::places::Places;
use crate::node::error::{Context as _, NodeError, Result, refuse};
use crate::storage::BackendOptions;
use fs4::fs_std::FileExt;
use quorate_etcd_files::disk::Disk;
use std::fs::File;
use std::path::Path;

/// Takes over etcd's directory, finishes what an earlier start had decided, or removes what it had only begun. Afterwards
/// the directory is ours, or empty, or untouched. Reads and writes as much as the database holds: not for async tasks.
///
/// # Errors
/// A running etcd has the directory, it is damaged or too new, or the disk failed; then it is as it was.
pub(in crate::node) fn settle(places: &Places, options: &BackendOptions) -> Result<()> {
    if !places.is_begun() && !places.is_etcds() {
        return Ok(());
    }
    let disk = options.disk.as_ref();
    let _turn = lock_root(&places.root)?;
    if let Some(origin) = Origin::read(places)? {
        if origin.fits(places)? {
            return finish(&origin, places, options);
        }
        tracing::warn!("etcd has run since its directory was read; reading it again");
    }
    remove_leftovers(disk, places)?;
    if !places.is_etcds() {
        return Ok(());
    }
    places.check()?;
    if !places.data_dir().wal().is_dir() {
        refuse!(
            "{} has a database of etcd but no log at {}. Give --wal-dir if the log is elsewhere, or restore a snapshot \
             into a new directory.",
            places.root.display(),
            places.data_dir().wal().display()
        );
    }
    let locked = places.data_dir().lock().context("failed to lock etcd's database")?;
    let Some(_lock) = locked else {
        refuse!(
            "{} is in use by a running etcd. Stop it first, or choose another --data-dir.",
            places.root.display()
        );
    };
    let origin = match build(places, options, stamp(places)) {
        Ok(origin) => origin,
        Err(error) => {
            // The first error is the one to tell.
            if let Err(second) = remove_leftovers(disk, places) {
                tracing::warn!(error = %second, "what was begun stays behind until the next start");
            }
            return Err(unchanged(error));
        }
    };
    finish(&origin, places, options)
}

/// Says that nothing has happened to whoever reads only the last line.
fn unchanged(error: NodeError) -> NodeError {
    match error {
        NodeError::Refused(text) => NodeError::Refused(text),
        error => NodeError::Failed {
            step: "failed to take over etcd's data directory, which is as it was".to_owned(),
            source: error.into(),
        },
    }
}

fn finish(origin: &Origin, places: &Places, options: &BackendOptions) -> Result<()> {
    origin.switch(options.disk.as_ref(), places)?;
    let kept: Vec<_> = origin.kept.iter().map(|path| path.display().to_string()).collect();
    tracing::info!(
        etcd = origin.etcd,
        kept = kept.join(" "),
        "took over etcd's data directory; the original is kept. Before the first write the way back is: stop all \
         members, move `member` away, rename what is kept to what it was, start etcd. Later: restore a snapshot."
    );
    Ok(())
}

/// One start at a time; needs no file of its own.
fn lock_root(root: &Path) -> Result<File> {
    let dir = File::open(root).map_err(failed("open", root))?;
    if !FileExt::try_lock_exclusive(&dir).map_err(failed("lock", root))? {
        refuse!(
            "{} is being taken over by another process. Wait for it, or stop it.",
            root.display()
        );
    }
    Ok(dir)
}

fn remove_leftovers(disk: &dyn Disk, places: &Places) -> Result<()> {
    let separate = places.separate_wal().is_some().then(|| places.staged_wal());
    for path in [Some(places.staging()), separate].into_iter().flatten() {
        if disk.exists(&path) {
            disk.remove_dir_all(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

/// The time in the name of what is kept, to the second, in UTC; a number behind it where that name is taken.
fn stamp(places: &Places) -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let is_free = |stamp: &String| {
        !places.kept_member(stamp).exists() && !places.kept_wal(stamp).is_some_and(|p| p.exists())
    };
    let numbered = (2..).map(|n| format!("{now}-{n}"));
    std::iter::once(now.clone()).chain(numbered).find(is_free).unwrap_or(now)
}
