//! The rescue as a whole: apply what is pending, write the snapshot file with its digest.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::apply::{Applied, apply};
use super::state::State;
use crate::bbolt::{RewritePlan, rewrite};
use crate::datadir::{Survivor, TailPolicy};
use crate::error::{Error, Result};
use crate::rows::{bucket, meta};

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// Newest revision in the file.
    pub revision: i64,
    /// Index of the last entry that is in it.
    pub applied_index: u64,
    /// Entries that were applied to the database.
    pub entries: u64,
    /// Entries that etcd would have answered with an error; index and its text. They changed nothing.
    pub refused: Vec<(u64, &'static str)>,
    /// Bytes of the file.
    pub size: u64,
}

/// Writes the state of a dead member as a snapshot file at `target`, which must not exist. It appears whole or not at
/// all. Fails where an entry cannot be applied faithfully, such as one that changes users or roles.
pub fn rescue(survivor: &Survivor, policy: TailPolicy, target: &Path) -> Result<Rescued> {
    if target.exists() {
        return Err(Error::Refused(format!("{} exists already", target.display())));
    }
    let mut state = State::load(survivor.database())?;
    let (mut applied_index, mut term) = (survivor.consistent_index(), None);
    let (mut entries, mut refused) = (0, Vec::new());
    for entry in survivor.pending(policy) {
        let entry = entry?;
        match apply(&mut state, &entry)? {
            Applied::Done => {}
            Applied::Refused(text) => refused.push((entry.index(), text)),
            Applied::Impossible(why) => {
                let text = format!("entry {} cannot be applied: {why}", entry.index());
                return Err(Error::unsupported(survivor.database().path(), text));
            }
        }
        (applied_index, term) = (entry.index(), Some(entry.term()));
        entries += 1;
    }
    let mark = applied_index.to_be_bytes().to_vec();
    state.change(bucket::META, meta::CONSISTENT_INDEX, Some(mark));
    if let Some(term) = term.filter(|_| entries > 0) {
        // Only where the schema has the row: its presence is how a release older than 3.5 is told apart.
        if state.row(bucket::META, meta::TERM)?.is_some() {
            state.change(bucket::META, meta::TERM, Some(term.to_be_bytes().to_vec()));
        }
    }
    let revision = state.revision;
    let size = write(survivor, state.plan, target)?;
    Ok(Rescued { revision, applied_index, entries, refused, size })
}

fn write(survivor: &Survivor, plan: RewritePlan, target: &Path) -> Result<u64> {
    let mut building = target.as_os_str().to_owned();
    building.push(".part");
    let building = PathBuf::from(building);
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&building).map_err(Error::io("create", &building))?;
    // One that was there already, left by a rescue that broke off, may have been anybody's to read.
    let own = fs::Permissions::from_mode(0o600);
    file.set_permissions(own).map_err(Error::io("protect", &building))?;
    let layout = rewrite(survivor.database(), plan, &file, &building)?;
    let digest = digest(&mut file).map_err(Error::io("read", &building))?;
    file.write_all(&digest).map_err(Error::io("write", &building))?;
    file.sync_all().map_err(Error::io("sync", &building))?;
    fs::rename(&building, target).map_err(Error::io("rename", &building))?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(Error::io("sync", parent))?;
    Ok(layout.size() + digest.len() as u64)
}

/// SHA-256 of the whole file; leaves the position at its end.
fn digest(file: &mut File) -> std::io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(digest.finalize().into()),
            n => digest.update(&chunk[..n]),
        }
    }
}
