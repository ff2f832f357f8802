//! A log without the state that its first entries build on: whoever went on with it would begin with an empty keyspace, or
//! fail for ever, since a state made beside it keeps etcd's database from being seen when it is put back.

use super::places::Places;
use crate::node::error::{Context as _, Result, refuse};
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_etcd_files::wal::{Reader, Replay};
use std::sync::Arc;

/// Refuses a directory that has a log, but neither etcd's database nor a state of ours, unless the log tells everything from
/// the first entry on.
///
/// # Errors
/// The log builds on a state that is gone, or is damaged. Nothing was changed.
pub(in crate::node) fn refuse_lone_log(places: &Places) -> Result<()> {
    let snap = places.member().join("snap");
    if snap.join("db").exists() || snap.join("state").exists() {
        return Ok(());
    }
    let (disk, wal): (Arc<dyn Disk>, _) = (Arc::new(OsDisk), places.data_dir().wal());
    let replay = Reader::open(&disk, &wal).and_then(|mut reader| Replay::read(&mut reader));
    let replay = replay.context("failed to read the log")?;
    let built_on = replay.snapshots.iter().map(|snapshot| snapshot.index());
    let built_on = built_on.fold(replay.first_index - 1, u64::max);
    if built_on == 0 {
        return Ok(());
    }
    refuse!(
        "the log in {} goes on from a state of entry {built_on}, but there is none in {}, neither etcd's file db nor a state of \
         this server. Nothing was changed. Put back what belongs there, or remove this member from the cluster and add it \
         again with an empty directory, or restore a snapshot.",
        wal.display(),
        snap.display()
    );
}
