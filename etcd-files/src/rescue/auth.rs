//! Changes of users and roles by etcd's rules (`etcd:server/auth/store.go`). Each that changes anything raises the auth
//! revision by one, but for switching authentication on.

use base64::Engine as _;
use bytes::Bytes;
use prost::Message;
use quorate_proto::authpb::{self, UserAddOptions};
use quorate_proto::etcdserverpb::{
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthUserAddRequest,
    AuthUserChangePasswordRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
    InternalRaftRequest,
};

use super::apply::Applied;
use super::permission::{self, ROOT};
use super::state::State;
use crate::rows::bucket;

const INVALID: Applied = Applied::Refused("invalid auth management");
const NO_USER: Applied = Applied::Refused("user name not found");
const NO_ROLE: Applied = Applied::Refused("role name not found");

/// Applies a request about users and roles; `None` where it is about something else.
pub(super) fn apply(state: &mut State<'_>, request: &InternalRaftRequest) -> Option<Applied> {
    let refusal = permission::check_admin(state, request).map(Applied::Refused);
    let judge = |applied: &dyn Fn(&mut State<'_>) -> Applied, state: &mut State<'_>| {
        Some(refusal.unwrap_or_else(|| applied(state)))
    };
    let r = request;
    if r.auth_enable.is_some() {
        return judge(&enable, state);
    }
    if r.auth_disable.is_some() {
        return judge(&disable, state);
    }
    if let Some(add) = &r.auth_user_add {
        return judge(&|state| add_user(state, add), state);
    }
    if let Some(delete) = &r.auth_user_delete {
        return judge(&|state| delete_user(state, &delete.name), state);
    }
    if let Some(change) = &r.auth_user_change_password {
        return judge(&|state| change_password(state, change), state);
    }
    if let Some(grant) = &r.auth_user_grant_role {
        return judge(&|state| grant_role(state, grant), state);
    }
    if let Some(revoke) = &r.auth_user_revoke_role {
        return judge(&|state| revoke_role(state, revoke), state);
    }
    if let Some(add) = &r.auth_role_add {
        return judge(&|state| add_role(state, &add.name), state);
    }
    if let Some(delete) = &r.auth_role_delete {
        return judge(&|state| delete_role(state, &delete.role), state);
    }
    if let Some(grant) = &r.auth_role_grant_permission {
        return judge(&|state| grant_permission(state, grant), state);
    }
    if let Some(revoke) = &r.auth_role_revoke_permission {
        return judge(&|state| revoke_permission(state, revoke), state);
    }
    None
}

fn enable(state: &mut State<'_>) -> Applied {
    if state.auth.is_enabled {
        return Applied::Done;
    }
    match state.auth.users.get(ROOT.as_bytes()) {
        None => Applied::Refused("root user does not exist"),
        Some(root) if !root.roles.iter().any(|role| role == ROOT) => {
            Applied::Refused("root user does not have root role")
        }
        Some(_) => {
            state.auth.is_enabled = true;
            state.change(bucket::AUTH, b"authEnabled", Some(vec![1]));
            Applied::Done
        }
    }
}

fn disable(state: &mut State<'_>) -> Applied {
    if !state.auth.is_enabled {
        return Applied::Done;
    }
    state.auth.is_enabled = false;
    state.change(bucket::AUTH, b"authEnabled", Some(vec![0]));
    finish(state)
}

fn add_user(state: &mut State<'_>, request: &AuthUserAddRequest) -> Applied {
    if request.name.is_empty() {
        return Applied::Refused("user name is empty");
    }
    if state.auth.users.contains_key(request.name.as_bytes()) {
        return Applied::Refused("user name already exists");
    }
    let no_password = request.options.as_ref().is_some_and(|options| options.no_password);
    let password = match no_password {
        true => Some(Bytes::new()),
        false => hashed(&request.hashed_password),
    };
    let Some(password) = password else { return CLEAR_PASSWORD };
    put_user(
        state,
        authpb::User {
            name: Bytes::copy_from_slice(request.name.as_bytes()),
            password,
            roles: Vec::new(),
            options: Some(UserAddOptions { no_password }),
        },
    );
    finish(state)
}

const CLEAR_PASSWORD: Applied = Applied::Impossible(
    "it sets a password that only a server can hash; start a server on a copy of the directory instead",
);

/// The bcrypt text of a password; `None` for requests of etcd 3.4, which hashed it only when applying.
fn hashed(base64: &str) -> Option<Bytes> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
    (!decoded.is_empty()).then(|| Bytes::from(decoded))
}

fn delete_user(state: &mut State<'_>, name: &str) -> Applied {
    if state.auth.is_enabled && name == ROOT {
        return INVALID;
    }
    if state.auth.users.remove(name.as_bytes()).is_none() {
        return NO_USER;
    }
    state.change(bucket::AUTH_USERS, name.as_bytes(), None);
    finish(state)
}

fn change_password(state: &mut State<'_>, request: &AuthUserChangePasswordRequest) -> Applied {
    let Some(mut user) = state.auth.users.get(request.name.as_bytes()).cloned() else {
        return NO_USER;
    };
    let no_password = user.options.as_ref().is_some_and(|options| options.no_password);
    match hashed(&request.hashed_password) {
        Some(password) if !no_password => user.password = password,
        _ if no_password => user.password = Bytes::new(),
        _ => return CLEAR_PASSWORD,
    }
    put_user(state, user);
    finish(state)
}

fn grant_role(state: &mut State<'_>, request: &AuthUserGrantRoleRequest) -> Applied {
    let Some(mut user) = state.auth.users.get(request.user.as_bytes()).cloned() else {
        return NO_USER;
    };
    if request.role != ROOT && !state.auth.roles.contains_key(request.role.as_bytes()) {
        return NO_ROLE;
    }
    if user.roles.contains(&request.role) {
        return Applied::Done;
    }
    user.roles.push(request.role.clone());
    user.roles.sort();
    put_user(state, user);
    finish(state)
}

fn revoke_role(state: &mut State<'_>, request: &AuthUserRevokeRoleRequest) -> Applied {
    if state.auth.is_enabled && request.name == ROOT && request.role == ROOT {
        return INVALID;
    }
    let Some(mut user) = state.auth.users.get(request.name.as_bytes()).cloned() else {
        return NO_USER;
    };
    let before = user.roles.len();
    user.roles.retain(|role| *role != request.role);
    if user.roles.len() == before {
        return Applied::Refused("role is not granted to the user");
    }
    put_user(state, user);
    finish(state)
}

fn add_role(state: &mut State<'_>, name: &str) -> Applied {
    if name.is_empty() {
        return Applied::Refused("role name is empty");
    }
    if state.auth.roles.contains_key(name.as_bytes()) {
        return Applied::Refused("role name already exists");
    }
    let name = Bytes::copy_from_slice(name.as_bytes());
    put_role(state, authpb::Role { name, key_permission: Vec::new() });
    finish(state)
}

fn delete_role(state: &mut State<'_>, name: &str) -> Applied {
    if state.auth.is_enabled && name == ROOT {
        return INVALID;
    }
    if state.auth.roles.remove(name.as_bytes()).is_none() {
        return NO_ROLE;
    }
    state.change(bucket::AUTH_ROLES, name.as_bytes(), None);
    let holders = state.auth.users.values().filter(|user| user.roles.iter().any(|r| r == name));
    for mut user in holders.cloned().collect::<Vec<_>>() {
        user.roles.retain(|role| role != name);
        put_user(state, user);
    }
    finish(state)
}

fn grant_permission(state: &mut State<'_>, request: &AuthRoleGrantPermissionRequest) -> Applied {
    let Some(granted) = &request.perm else {
        return Applied::Refused("permission not given");
    };
    let end = &granted.range_end;
    let is_interval = end.is_empty() || end[..] == [0] || *end > granted.key;
    if granted.key.is_empty() || !is_interval {
        return INVALID;
    }
    let Some(mut role) = state.auth.roles.get(request.name.as_bytes()).cloned() else {
        return NO_ROLE;
    };
    let is_same = |p: &&mut authpb::Permission| p.key == granted.key && p.range_end == *end;
    match role.key_permission.iter_mut().find(is_same) {
        Some(permission) => permission.perm_type = granted.perm_type,
        None => {
            role.key_permission.push(granted.clone());
            role.key_permission.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    put_role(state, role);
    finish(state)
}

fn revoke_permission(state: &mut State<'_>, request: &AuthRoleRevokePermissionRequest) -> Applied {
    let Some(mut role) = state.auth.roles.get(request.role.as_bytes()).cloned() else {
        return NO_ROLE;
    };
    let before = role.key_permission.len();
    role.key_permission.retain(|p| p.key != request.key || p.range_end != request.range_end);
    if role.key_permission.len() == before {
        return Applied::Refused("permission is not granted to the role");
    }
    put_role(state, role);
    finish(state)
}

fn put_user(state: &mut State<'_>, user: authpb::User) {
    state.change(bucket::AUTH_USERS, &user.name, Some(user.encode_to_vec()));
    state.auth.users.insert(user.name.clone(), user);
}

fn put_role(state: &mut State<'_>, role: authpb::Role) {
    state.change(bucket::AUTH_ROLES, &role.name, Some(role.encode_to_vec()));
    state.auth.roles.insert(role.name.clone(), role);
}

fn finish(state: &mut State<'_>) -> Applied {
    state.auth.revision += 1;
    let revision = state.auth.revision.to_be_bytes().to_vec();
    state.change(bucket::AUTH, b"authRevision", Some(revision));
    Applied::Done
}
