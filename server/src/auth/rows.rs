//! From etcd's rows to a view: at start, and after a snapshot has replaced the state. Changes write their own rows.

use super::view::AuthView;
use bytes::Bytes;
use prost::Message;
use quorate_proto::authpb;
use std::sync::Arc;

/// Row of `auth`: one byte.
pub(super) const ENABLED_ROW: &[u8] = b"authEnabled";
/// Row of `auth`: eight bytes, big-endian.
pub(super) const REVISION_ROW: &[u8] = b"authRevision";
/// Value of the row `authEnabled` while authentication is on.
pub(super) const ENABLED: &[u8] = &[1];
/// The same while it is off.
pub(super) const DISABLED: &[u8] = &[0];

/// Gathers rows in any order.
#[derive(Debug, Default)]
pub struct Loader {
    is_enabled: bool,
    revision: Option<u64>,
    users: Vec<authpb::User>,
    roles: Vec<authpb::Role>,
}

impl Loader {
    /// Takes a row of `auth`.
    ///
    /// # Errors
    /// The revision has not eight bytes.
    pub fn setting(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if key == ENABLED_ROW {
            self.is_enabled = value == ENABLED;
        } else if key == REVISION_ROW {
            let bytes = value.try_into().map_err(|_| "a revision has eight bytes".to_owned())?;
            self.revision = Some(u64::from_be_bytes(bytes));
        }
        Ok(())
    }

    /// Takes a row of `authUsers`.
    ///
    /// # Errors
    /// The row is no user.
    pub fn user(&mut self, value: &[u8]) -> Result<(), prost::DecodeError> {
        self.users.push(authpb::User::decode(Bytes::copy_from_slice(value))?);
        Ok(())
    }

    /// Takes a row of `authRoles`.
    ///
    /// # Errors
    /// The row is no role.
    pub fn role(&mut self, value: &[u8]) -> Result<(), prost::DecodeError> {
        self.roles.push(authpb::Role::decode(Bytes::copy_from_slice(value))?);
        Ok(())
    }

    /// True when a revision was among the rows; a state that never had one is at 1.
    pub fn has_revision(&self) -> bool {
        self.revision.is_some_and(|revision| revision > 0)
    }

    /// The view of these rows.
    pub(super) fn into_view(self) -> AuthView {
        let mut view = AuthView { is_enabled: self.is_enabled, ..AuthView::default() };
        if let Some(revision) = self.revision.filter(|revision| *revision > 0) {
            view.revision = revision;
        }
        for role in self.roles {
            view.roles.insert(role.name.clone(), Arc::new(role));
        }
        self.users.into_iter().for_each(|user| view.put_user(user));
        view
    }
}
