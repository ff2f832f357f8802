//! A bbolt file as the state: what a leader sent, or what a restored directory holds. The other way is
//! `storage::Image`.

use crate::cluster::{Member, member_row_key};
use crate::raft::{AppliedState, Fatal, StoredMembership};
use crate::storage::{AppliedMark, Backend, Keyspace, PRIVATE_META_PREFIX};
use quorate_etcd_files::bbolt::Database;
use quorate_etcd_files::rows;
use std::path::Path;

use super::member::MEMBERSHIP_ROW;

/// A line in the log for so many rows, so that a large state does not look like a standstill.
const ROWS_TOLD: u64 = 1_000_000;

/// Replaces the state by the rows of a bbolt file.
///
/// # Errors
/// The file is damaged or the state cannot be written; then the old state is untouched.
pub(super) fn install(backend: &Backend, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
    let membership =
        (!state.membership.membership.members.is_empty()).then(|| state.membership.encode());
    let database = Database::open(file).map_err(Fatal::new)?;
    replace(backend, &database, membership, Vec::new(), &|_, _| false, state.mark.clone())
        .map_err(Fatal::new)
}

/// Why a database did not become the state.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A row cannot be read, and no state with it in would ever start.
    #[error(transparent)]
    Row(quorate_etcd_files::Error),
    /// The database cannot be read, or the state not be written.
    #[error(transparent)]
    Failed(#[from] Fatal),
}

/// What is known of a database of etcd's beside its rows.
pub struct Imported {
    /// The last entry in it.
    pub mark: AppliedMark,
    /// Who takes part as of that entry; empty where the log's first entries will tell.
    pub membership: StoredMembership,
    /// The members with their names and URLs. They replace the rows, which older releases do not always keep true.
    pub members: Vec<Member>,
    /// Ids that can never come back.
    pub removed: Vec<u64>,
}

/// Fills an empty state from a database of etcd's.
///
/// # Errors
/// The database is damaged, in its structure or in a row, or the state cannot be written; then the state is still empty.
pub fn import(
    backend: &Backend,
    database: &Database,
    imported: &Imported,
) -> Result<(), ImportError> {
    let is_known = !imported.membership.membership.members.is_empty();
    let membership = is_known.then(|| imported.membership.encode());
    let mut rows = Vec::new();
    for member in &imported.members {
        rows.push((Keyspace::Members, member_row_key(member.id), member.to_json().into()));
    }
    for id in &imported.removed {
        let removed = bytes::Bytes::from_static(b"removed");
        rows.push((Keyspace::MembersRemoved, member_row_key(*id), removed));
    }
    if is_known {
        let conf_state = super::applier::conf_state_row(&imported.membership.membership);
        rows.push((Keyspace::Meta, (&b"confState"[..]).into(), conf_state.into()));
    }
    let is_replaced = |keyspace, key: &[u8]| match keyspace {
        Keyspace::Members | Keyspace::MembersRemoved => true,
        // This server's own schema, whichever it came from.
        Keyspace::Meta => key == b"storageVersion" || (is_known && key == b"confState"),
        _ => false,
    };
    replace(backend, database, membership, rows, &is_replaced, imported.mark.clone())
}

/// `added` are put as well; rows of the database are left out where `is_replaced` says so.
fn replace(
    backend: &Backend,
    database: &Database,
    membership: Option<bytes::Bytes>,
    added: Vec<(Keyspace, bytes::Bytes, bytes::Bytes)>,
    is_replaced: &dyn Fn(Keyspace, &[u8]) -> bool,
    mark: AppliedMark,
) -> Result<(), ImportError> {
    let mut replacement = backend.begin_replacement().map_err(Fatal::new)?;
    let mut n_rows = 0_u64;
    for keyspace in Keyspace::ALL {
        let Some(bucket) = database.bucket(keyspace.name()).map_err(Fatal::new)? else { continue };
        for row in bucket.rows().map_err(Fatal::new)? {
            let (key, value) = row.map_err(Fatal::new)?;
            let is_own = keyspace == Keyspace::Meta && is_own_mark(&key);
            if is_own || is_replaced(keyspace, &key) {
                continue;
            }
            rows::check(database.path(), keyspace.name(), &key, &value)
                .map_err(ImportError::Row)?;
            replacement.put(keyspace, key, value).map_err(Fatal::new)?;
            n_rows += 1;
            if n_rows.is_multiple_of(ROWS_TOLD) {
                tracing::info!(rows = n_rows, file = %database.path().display(), "reading a state");
            }
        }
    }
    let membership =
        membership.map(|bytes| (Keyspace::Meta, bytes::Bytes::from_static(MEMBERSHIP_ROW), bytes));
    for (keyspace, key, value) in added.into_iter().chain(membership) {
        replacement.put(keyspace, key, value).map_err(Fatal::new)?;
    }
    Ok(replacement.install(mark).map_err(Fatal::new)?)
}

/// Rows that the backend writes itself from the mark.
fn is_own_mark(key: &[u8]) -> bool {
    key == b"consistent_index" || key == b"term" || key.starts_with(PRIVATE_META_PREFIX)
}
