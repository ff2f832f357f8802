//! Users and roles as they are at one moment, and every judgement about a caller. Immutable; changes make a new one.

use super::KeySet;
use bytes::Bytes;
use quorate_proto::authpb::{self, permission::Type};
use quorate_proto::errors::EtcdError;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The user, and the role, that may do everything.
pub const ROOT: &str = "root";

/// Who asks, as the proposer stamps it into an entry. The default is nobody: no credentials were brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub name: Arc<str>,
    /// The auth revision under which the name was proven; 0 for nobody.
    pub revision: u64,
}

impl Caller {
    /// True when no credentials were brought.
    pub fn is_nobody(&self) -> bool {
        self.revision == 0
    }
}

/// What a caller wants to do with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// See them.
    Read,
    /// Change them.
    Write,
}

/// A user with the keys that its roles open.
#[derive(Clone, PartialEq)]
pub struct User {
    pub(super) row: authpb::User,
    read: KeySet,
    write: KeySet,
}

impl User {
    /// bcrypt text; empty for a user without password.
    pub fn password_hash(&self) -> &Bytes {
        &self.row.password
    }

    /// True for a user that logs in by certificate only.
    pub fn has_no_password(&self) -> bool {
        self.row.options.as_ref().is_some_and(|options| options.no_password)
    }

    /// Names of the granted roles, sorted.
    pub fn roles(&self) -> &[String] {
        &self.row.roles
    }

    fn has_role(&self, role: &str) -> bool {
        self.row.roles.iter().any(|granted| granted == role)
    }
}

// The row holds the password's hash.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} with roles {:?}", self.row.name.escape_ascii(), self.row.roles)
    }
}

/// What is true at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthView {
    pub(super) is_enabled: bool,
    pub(super) revision: u64,
    pub(super) users: BTreeMap<Bytes, Arc<User>>,
    pub(super) roles: BTreeMap<Bytes, Arc<authpb::Role>>,
}

impl Default for AuthView {
    /// A new store, whose revision is 1.
    fn default() -> AuthView {
        AuthView { is_enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl AuthView {
    /// True when callers are judged.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The auth revision: 1 at first, one more with every change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name.as_bytes())
    }

    /// All user names, sorted.
    pub fn user_names(&self) -> Vec<String> {
        self.users.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// All role names, sorted.
    pub fn role_names(&self) -> Vec<String> {
        self.roles.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// What a role opens; `None` for an unknown role. The role root opens everything, whatever its row says.
    pub fn role_permissions(&self, role: &str) -> Option<Vec<authpb::Permission>> {
        let known = self.roles.get(role.as_bytes())?;
        if role == ROOT {
            return Some(vec![authpb::Permission {
                perm_type: Type::Readwrite as i32,
                key: Bytes::new(),
                range_end: Bytes::from_static(&[0]),
            }]);
        }
        Some(known.key_permission.clone())
    }

    /// May the caller do this to every key of the interval, given as the two fields of a request?
    ///
    /// # Errors
    /// Nobody called, the caller's proof is older than the last change, or a right is missing.
    pub fn check(
        &self,
        caller: &Caller,
        access: Access,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), EtcdError> {
        if !self.is_enabled {
            return Ok(());
        }
        if caller.is_nobody() {
            return Err(EtcdError::UserNameIsEmpty);
        }
        if caller.revision < self.revision {
            return Err(EtcdError::RevisionOfAuthStoreIsOld);
        }
        let Some(user) = self.user(&caller.name) else { return Err(EtcdError::PermissionDenied) };
        let keys = match access {
            Access::Read => &user.read,
            Access::Write => &user.write,
        };
        if user.has_role(ROOT) || keys.contains(key, range_end) {
            Ok(())
        } else {
            Err(EtcdError::PermissionDenied)
        }
    }

    /// May the caller do what only root may?
    ///
    /// # Errors
    /// Nobody called, the user is gone, or it lacks the role root.
    pub fn check_root(&self, caller: &Caller) -> Result<(), EtcdError> {
        if !self.is_enabled {
            return Ok(());
        }
        if caller.name.is_empty() {
            return Err(EtcdError::UserNameIsEmpty);
        }
        match self.user(&caller.name) {
            None => Err(EtcdError::UserNameNotFound),
            Some(user) if user.has_role(ROOT) => Ok(()),
            Some(_) => Err(EtcdError::PermissionDenied),
        }
    }

    /// Did anybody call at all? What every user may do needs no more.
    ///
    /// # Errors
    /// Nobody called.
    pub fn check_known(&self, caller: &Caller) -> Result<(), EtcdError> {
        if self.is_enabled && caller.is_nobody() {
            return Err(EtcdError::UserNameIsEmpty);
        }
        Ok(())
    }

    /// True when the user has this role.
    pub fn has_role(&self, user: &str, role: &str) -> bool {
        self.user(user).is_some_and(|user| user.has_role(role))
    }

    /// Puts a user in, with the keys that its roles open now.
    pub(super) fn put_user(&mut self, row: authpb::User) {
        let roles = row.roles.iter().filter_map(|role| self.roles.get(role.as_bytes()));
        let granted: Vec<&authpb::Permission> =
            roles.flat_map(|role| &role.key_permission).collect();
        let keys_of = |kind: Type| {
            let fitting = granted.iter().filter(move |permission| {
                // An unknown type is no right.
                Type::try_from(permission.perm_type)
                    .is_ok_and(|given| given == kind || given == Type::Readwrite)
            });
            KeySet::new(fitting.map(|permission| (&permission.key, &permission.range_end)))
        };
        let user = User { read: keys_of(Type::Read), write: keys_of(Type::Write), row };
        self.users.insert(user.row.name.clone(), Arc::new(user));
    }

    /// Works out again what the holders of a role may do.
    pub(super) fn refresh_holders(&mut self, role: &str) {
        let holders: Vec<Arc<User>> =
            self.users.values().filter(|user| user.has_role(role)).cloned().collect();
        for user in holders {
            self.put_user(user.row.clone());
        }
    }
}
