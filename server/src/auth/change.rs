//! How an entry changes users and roles: etcd's rules, its order of checks and its rows. Each change raises the auth
//! revision by one, but for switching authentication on (`etcd:server/auth/store.go`).

use super::view::{AuthView, ROOT};
use crate::storage::{Batch, Keyspace};
use bytes::Bytes;
use prost::Message;
use quorate_proto::authpb::{self, UserAddOptions};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};
use std::sync::Arc;

use super::rows::{DISABLED, ENABLED, ENABLED_ROW, REVISION_ROW};

/// Why a change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An error of etcd's table.
    Answer(EtcdError),
    /// The hash in the request is no base64. etcd has no name for it in its table.
    BadHash,
}

impl From<EtcdError> for Refusal {
    fn from(error: EtcdError) -> Refusal {
        Refusal::Answer(error)
    }
}

type Result<T = ()> = std::result::Result<T, Refusal>;

/// One change under way: the next view, the rows of an entry, and whose tokens end with it.
pub struct Change<'a> {
    pub(super) view: AuthView,
    pub(super) batch: &'a mut Batch,
    pub(super) ended: Option<String>,
}

impl Change<'_> {
    /// Switches authentication on.
    ///
    /// # Errors
    /// There is no root user, or it lacks the role root.
    pub fn enable(&mut self) -> Result {
        if self.view.is_enabled {
            return Ok(());
        }
        if self.view.user(ROOT).is_none() {
            return Err(EtcdError::RootUserDoesNotExist.into());
        }
        if !self.view.has_role(ROOT, ROOT) {
            return Err(EtcdError::RootUserDoesNotHaveRootRole.into());
        }
        self.view.is_enabled = true;
        self.batch.put(Keyspace::Auth, ENABLED_ROW, ENABLED);
        Ok(())
    }

    /// Switches authentication off.
    ///
    /// # Errors
    /// None.
    pub fn disable(&mut self) -> Result {
        if self.view.is_enabled {
            self.view.is_enabled = false;
            self.batch.put(Keyspace::Auth, ENABLED_ROW, DISABLED);
            self.raise_revision();
        }
        Ok(())
    }

    /// Adds a user. The proposer has hashed the password.
    ///
    /// # Errors
    /// No name, a name in use, or a hash that is no base64.
    pub fn add_user(&mut self, request: &AuthUserAddRequest) -> Result {
        if request.name.is_empty() {
            return Err(EtcdError::UserNameIsEmpty.into());
        }
        if self.view.user(&request.name).is_some() {
            return Err(EtcdError::UserNameAlreadyExists.into());
        }
        let no_password = request.options.as_ref().is_some_and(|options| options.no_password);
        let password =
            if no_password { Bytes::new() } else { decoded_hash(&request.hashed_password)? };
        self.put_user(authpb::User {
            name: Bytes::copy_from_slice(request.name.as_bytes()),
            password,
            roles: Vec::new(),
            options: Some(UserAddOptions { no_password }),
        });
        self.raise_revision();
        Ok(())
    }

    /// Deletes a user; its tokens end.
    ///
    /// # Errors
    /// No such user, or root while authentication is on.
    pub fn delete_user(&mut self, name: &str) -> Result {
        if self.view.is_enabled && name == ROOT {
            return Err(EtcdError::InvalidAuthManagement.into());
        }
        if self.view.users.remove(name.as_bytes()).is_none() {
            return Err(EtcdError::UserNameNotFound.into());
        }
        self.batch.delete(Keyspace::AuthUsers, Bytes::copy_from_slice(name.as_bytes()));
        self.ended = Some(name.to_owned());
        self.raise_revision();
        Ok(())
    }

    /// Changes a password; the user's tokens end.
    ///
    /// # Errors
    /// No such user, or a hash that is no base64.
    pub fn change_password(&mut self, request: &AuthUserChangePasswordRequest) -> Result {
        let mut user = self.user(&request.name)?;
        let no_password = user.options.as_ref().is_some_and(|options| options.no_password);
        user.password =
            if no_password { Bytes::new() } else { decoded_hash(&request.hashed_password)? };
        self.put_user(user);
        self.ended = Some(request.name.clone());
        self.raise_revision();
        Ok(())
    }

    /// Grants a role to a user. The role root need not exist; a role that is granted already changes nothing.
    ///
    /// # Errors
    /// No such user or role.
    pub fn grant_role(&mut self, request: &AuthUserGrantRoleRequest) -> Result {
        let mut user = self.user(&request.user)?;
        if request.role != ROOT && !self.view.roles.contains_key(request.role.as_bytes()) {
            return Err(EtcdError::RoleNameNotFound.into());
        }
        if user.roles.contains(&request.role) {
            return Ok(());
        }
        user.roles.push(request.role.clone());
        user.roles.sort_unstable();
        self.put_user(user);
        self.raise_revision();
        Ok(())
    }

    /// Takes a role from a user.
    ///
    /// # Errors
    /// No such user, a role it does not have, or root's own role while authentication is on.
    pub fn revoke_role(&mut self, request: &AuthUserRevokeRoleRequest) -> Result {
        if self.view.is_enabled && request.name == ROOT && request.role == ROOT {
            return Err(EtcdError::InvalidAuthManagement.into());
        }
        let mut user = self.user(&request.name)?;
        let before = user.roles.len();
        user.roles.retain(|role| *role != request.role);
        if user.roles.len() == before {
            return Err(EtcdError::RoleIsNotGrantedToTheUser.into());
        }
        self.put_user(user);
        self.raise_revision();
        Ok(())
    }

    /// Adds a role.
    ///
    /// # Errors
    /// No name, or a name in use.
    pub fn add_role(&mut self, name: &str) -> Result {
        if name.is_empty() {
            return Err(EtcdError::RoleNameIsEmpty.into());
        }
        if self.view.roles.contains_key(name.as_bytes()) {
            return Err(EtcdError::RoleNameAlreadyExists.into());
        }
        let name = Bytes::copy_from_slice(name.as_bytes());
        self.put_role(authpb::Role { name, key_permission: Vec::new() });
        self.raise_revision();
        Ok(())
    }

    /// Deletes a role and takes it from all users.
    ///
    /// # Errors
    /// No such role, or root while authentication is on.
    pub fn delete_role(&mut self, name: &str) -> Result {
        if self.view.is_enabled && name == ROOT {
            return Err(EtcdError::InvalidAuthManagement.into());
        }
        if self.view.roles.remove(name.as_bytes()).is_none() {
            return Err(EtcdError::RoleNameNotFound.into());
        }
        self.batch.delete(Keyspace::AuthRoles, Bytes::copy_from_slice(name.as_bytes()));
        let holders: Vec<authpb::User> = self
            .view
            .users
            .values()
            .filter(|user| user.roles().iter().any(|role| role == name))
            .map(|user| user.row.clone())
            .collect();
        for mut user in holders {
            user.roles.retain(|role| role != name);
            self.put_user(user);
        }
        self.raise_revision();
        Ok(())
    }

    /// Opens an interval of keys to a role, or changes how it is open.
    ///
    /// # Errors
    /// No permission, an interval that is none, or no such role.
    pub fn grant_permission(&mut self, request: &AuthRoleGrantPermissionRequest) -> Result {
        let Some(granted) = &request.perm else {
            return Err(EtcdError::PermissionNotGiven.into());
        };
        if !is_interval(&granted.key, &granted.range_end) {
            return Err(EtcdError::InvalidAuthManagement.into());
        }
        let mut role = self.role(&request.name)?;
        let is_same = |known: &&mut authpb::Permission| {
            known.key == granted.key && known.range_end == granted.range_end
        };
        // etcd looks only at the first permission with this key, and else adds a second one for the same interval, so
        // that a grant of less takes nothing away. Here the interval is found wherever it stands.
        match role.key_permission.iter_mut().find(is_same) {
            Some(known) => known.perm_type = granted.perm_type,
            None => {
                role.key_permission.push(granted.clone());
                role.key_permission.sort_by(|a, b| a.key.cmp(&b.key));
            }
        }
        self.put_role(role);
        self.view.refresh_holders(&request.name);
        self.raise_revision();
        Ok(())
    }

    /// Closes an interval to a role. It must be named exactly as it was granted.
    ///
    /// # Errors
    /// No such role, or no such permission.
    pub fn revoke_permission(&mut self, request: &AuthRoleRevokePermissionRequest) -> Result {
        let mut role = self.role(&request.role)?;
        let before = role.key_permission.len();
        role.key_permission
            .retain(|known| known.key != request.key || known.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(EtcdError::PermissionIsNotGrantedToTheRole.into());
        }
        self.put_role(role);
        self.view.refresh_holders(&request.role);
        self.raise_revision();
        Ok(())
    }

    fn user(&self, name: &str) -> Result<authpb::User> {
        let user = self.view.user(name).ok_or(EtcdError::UserNameNotFound)?;
        Ok(user.row.clone())
    }

    fn role(&self, name: &str) -> Result<authpb::Role> {
        let role = self.view.roles.get(name.as_bytes()).ok_or(EtcdError::RoleNameNotFound)?;
        Ok(authpb::Role::clone(role))
    }

    fn put_user(&mut self, user: authpb::User) {
        self.batch.put(Keyspace::AuthUsers, user.name.clone(), user.encode_to_vec());
        self.view.put_user(user);
    }

    fn put_role(&mut self, role: authpb::Role) {
        self.batch.put(Keyspace::AuthRoles, role.name.clone(), role.encode_to_vec());
        self.view.roles.insert(role.name.clone(), Arc::new(role));
    }

    fn raise_revision(&mut self) {
        self.view.revision += 1;
        let revision = self.view.revision.to_be_bytes().to_vec();
        self.batch.put(Keyspace::Auth, REVISION_ROW, revision);
    }
}

fn is_interval(key: &[u8], range_end: &[u8]) -> bool {
    let has_keys = range_end.is_empty() || range_end == [0] || key < range_end;
    !key.is_empty() && has_keys
}

fn decoded_hash(base64: &str) -> Result<Bytes> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(base64);
    decoded.map(Bytes::from).map_err(|_| Refusal::BadHash)
}
