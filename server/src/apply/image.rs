//! A bbolt file as the state: what a leader sent, or what a restored directory holds. The other way is
//! `storage::Image`.

use crate::raft::{AppliedState, Fatal};
use crate::storage::{AppliedMark, Backend, Keyspace, PRIVATE_META_PREFIX};
use quorate_etcd_files::bbolt::Database;
use std::io;
use std::path::Path;

use super::member::MEMBERSHIP_ROW;

/// Replaces the state by the rows of a bbolt file.
///
/// # Errors
/// The file is damaged or the state cannot be written; then the old state is untouched.
pub(super) fn install(backend: &Backend, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
    let membership =
        (!state.membership.membership.members.is_empty()).then(|| state.membership.encode());
    replace(backend, file, membership, |_| Ok(state.mark.clone()))?;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "a received snapshot stays behind; remove it");
        }
        _ => {}
    }
    Ok(())
}

/// Fills an empty state from `member/snap/db` of a restored directory: its own marks tell how far it is applied.
///
/// # Errors
/// The file is damaged or the state cannot be written.
pub fn import(backend: &Backend, file: &Path) -> Result<AppliedMark, Fatal> {
    replace(backend, file, None, |database| {
        let bucket = database.bucket(Keyspace::Meta.name()).map_err(Fatal::new)?;
        let number = |key: &[u8]| -> Result<u64, Fatal> {
            let row = match &bucket {
                Some(bucket) => bucket.get(key).map_err(Fatal::new)?,
                None => None,
            };
            let bytes = row.as_deref().and_then(|row| <[u8; 8]>::try_from(row).ok());
            Ok(bytes.map_or(0, u64::from_be_bytes))
        };
        let (index, term) = (number(b"consistent_index")?, number(b"term")?);
        Ok(AppliedMark { term, index, leader_member_id: 0 })
    })
}

fn replace(
    backend: &Backend,
    file: &Path,
    membership: Option<bytes::Bytes>,
    mark: impl FnOnce(&Database) -> Result<AppliedMark, Fatal>,
) -> Result<AppliedMark, Fatal> {
    let database = Database::open(file).map_err(Fatal::new)?;
    let mut replacement = backend.begin_replacement().map_err(Fatal::new)?;
    let mark = mark(&database)?;
    let mut membership = membership;
    for keyspace in Keyspace::ALL {
        let Some(bucket) = database.bucket(keyspace.name()).map_err(Fatal::new)? else { continue };
        for row in bucket.rows().map_err(Fatal::new)? {
            let (key, value) = row.map_err(Fatal::new)?;
            if keyspace == Keyspace::Meta && is_own_mark(&key) {
                continue;
            }
            if keyspace == Keyspace::Meta
                && key.as_ref() > MEMBERSHIP_ROW
                && let Some(bytes) = membership.take()
            {
                replacement.put(Keyspace::Meta, MEMBERSHIP_ROW, bytes).map_err(Fatal::new)?;
            }
            replacement.put(keyspace, key, value).map_err(Fatal::new)?;
        }
        if keyspace == Keyspace::Meta
            && let Some(bytes) = membership.take()
        {
            replacement.put(Keyspace::Meta, MEMBERSHIP_ROW, bytes).map_err(Fatal::new)?;
        }
    }
    replacement.install(mark.clone()).map_err(Fatal::new)?;
    Ok(mark)
}

/// Rows that the backend writes itself from the mark.
fn is_own_mark(key: &[u8]) -> bool {
    key == b"consistent_index" || key == b"term" || key.starts_with(PRIVATE_META_PREFIX)
}
