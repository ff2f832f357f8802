//! What a user may do, by etcd's rules: it decides when an entry is applied, not when it is proposed, so an entry of
//! a user without the right is in the log but changes nothing (`etcd:server/etcdserver/apply/auth.go`, `auth/store.go`).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use quorate_proto::authpb::{self, permission::Type};
use quorate_proto::etcdserverpb::request_op::Request;
use quorate_proto::etcdserverpb::{
    DeleteRangeRequest, InternalRaftRequest, PutRequest, RequestHeader, TxnRequest,
};

use super::state::State;
use super::txn::Refusal;

pub(super) const ROOT: &str = "root";

/// Users and roles as they are now.
#[derive(Debug, Default)]
pub(super) struct Auth {
    pub(super) is_enabled: bool,
    pub(super) revision: u64,
    pub(super) users: BTreeMap<Bytes, authpb::User>,
    pub(super) roles: BTreeMap<Bytes, authpb::Role>,
}

/// A right that an entry needs.
struct Need {
    key: Bytes,
    range_end: Bytes,
    is_write: bool,
}

impl Auth {
    /// Takes a row of bucket `authUsers`; false where it is none.
    #[must_use]
    pub(super) fn add_user(&mut self, name: Bytes, value: Bytes) -> bool {
        let user = authpb::User::decode(value);
        user.map(|user| self.users.insert(name, user)).is_ok()
    }

    /// Takes a row of bucket `authRoles`; false where it is none.
    #[must_use]
    pub(super) fn add_role(&mut self, name: Bytes, value: Bytes) -> bool {
        let role = authpb::Role::decode(value);
        role.map(|role| self.roles.insert(name, role)).is_ok()
    }

    fn may(&self, roles: &[String], need: &Need) -> bool {
        let roles = roles.iter().filter_map(|role| self.roles.get(role.as_bytes()));
        let permissions = roles.flat_map(|role| &role.key_permission);
        let fitting = permissions.filter(|permission| match permission.perm_type() {
            Type::Readwrite => true,
            Type::Read => !need.is_write,
            Type::Write => need.is_write,
        });
        let mut granted: Vec<Interval> =
            fitting.map(|p| Interval::new(&p.key, &p.range_end)).collect();
        granted.sort();
        let wanted = Interval::new(&need.key, &need.range_end);
        // Neighbouring grants add up.
        let mut reached = wanted.start.clone();
        for interval in granted {
            if interval.start > reached {
                break;
            }
            match (&interval.end, &wanted.end) {
                (None, _) => return true,
                (Some(end), _) if *end > reached => reached = end.clone(),
                _ => {}
            }
            if wanted.end.as_ref().is_some_and(|end| reached >= *end) {
                return true;
            }
        }
        false
    }
}

/// Keys from `start` to before `end`; without end where it is `None`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Interval {
    fn new(key: &[u8], range_end: &[u8]) -> Interval {
        let end = match range_end {
            [] => Some([key, &[0]].concat()),
            [0] => None,
            end => Some(end.to_vec()),
        };
        Interval { start: key.to_vec(), end }
    }
}

/// Says why etcd would refuse the request's user, if it would.
pub(super) fn check(state: &State<'_>, request: &InternalRaftRequest) -> Option<Refusal> {
    let auth = &state.auth;
    if !auth.is_enabled {
        return None;
    }
    let needs = needs(state, request);
    // Compactions are judged before they are proposed: a server proposes them too, in nobody's name.
    if needs.is_empty() {
        return None;
    }
    let nobody = RequestHeader::default();
    let header = request.header.as_ref().unwrap_or(&nobody);
    if header.auth_revision == 0 {
        return Some("user name is empty");
    }
    if header.auth_revision < auth.revision {
        return Some("revision of auth store is old");
    }
    let Some(authpb::User { roles, .. }) = auth.users.get(header.username.as_bytes()) else {
        return Some("permission denied");
    };
    if roles.iter().any(|role| role == ROOT) {
        return None;
    }
    let is_allowed = needs.iter().all(|need| auth.may(roles, need));
    (!is_allowed).then_some("permission denied")
}

/// The same for requests that are for root alone: all about users and roles.
pub(super) fn check_admin(state: &State<'_>, request: &InternalRaftRequest) -> Option<Refusal> {
    if !state.auth.is_enabled {
        return None;
    }
    let name = request.header.as_ref().map_or("", |header| &header.username);
    if name.is_empty() {
        return Some("user name is empty");
    }
    let user = state.auth.users.get(name.as_bytes());
    let is_root = user.is_some_and(|user| user.roles.iter().any(|role| role == ROOT));
    (!is_root).then_some("permission denied")
}

fn needs(state: &State<'_>, request: &InternalRaftRequest) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(put) = &request.put {
        of_put(put, &mut needs);
        of_lease(state, put.lease, &mut needs);
    }
    if let Some(delete) = &request.delete_range {
        of_delete(delete, &mut needs);
    }
    if let Some(txn) = &request.txn {
        of_txn(txn, &mut needs);
    }
    if let Some(revoke) = &request.lease_revoke {
        of_lease(state, revoke.id, &mut needs);
    }
    needs
}

fn of_put(put: &PutRequest, needs: &mut Vec<Need>) {
    let need = |is_write| Need { key: put.key.clone(), range_end: Bytes::new(), is_write };
    needs.push(need(true));
    if put.prev_kv {
        needs.push(need(false));
    }
}

fn of_delete(delete: &DeleteRangeRequest, needs: &mut Vec<Need>) {
    let (key, range_end) = (&delete.key, &delete.range_end);
    let need = |is_write| Need { key: key.clone(), range_end: range_end.clone(), is_write };
    needs.push(need(true));
    if delete.prev_kv {
        needs.push(need(false));
    }
}

/// Whoever uses or ends a lease must be allowed to write all keys that hang on it.
fn of_lease(state: &State<'_>, id: i64, needs: &mut Vec<Need>) {
    if id == 0 {
        return;
    }
    let attached = state.live.iter().filter(|(_, live)| live.lease == id);
    needs.extend(attached.map(|(key, _)| Need {
        key: key.clone(),
        range_end: Bytes::new(),
        is_write: true,
    }));
}

/// The rights of both branches, whichever will be taken.
fn of_txn(txn: &TxnRequest, needs: &mut Vec<Need>) {
    for compare in &txn.compare {
        let (key, range_end) = (compare.key.clone(), compare.range_end.clone());
        needs.push(Need { key, range_end, is_write: false });
    }
    for operation in txn.success.iter().chain(&txn.failure) {
        match &operation.request {
            Some(Request::RequestPut(put)) => of_put(put, needs),
            Some(Request::RequestDeleteRange(delete)) => of_delete(delete, needs),
            Some(Request::RequestTxn(inner)) => of_txn(inner, needs),
            Some(Request::RequestRange(range)) => {
                let (key, range_end) = (range.key.clone(), range.range_end.clone());
                needs.push(Need { key, range_end, is_write: false });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grants of several roles add up; a gap between them does not.
    #[test]
    fn neighbouring_grants_add_up() {
        let permission = |kind: Type, key: &'static str, end: &'static str| authpb::Permission {
            perm_type: kind as i32,
            key: Bytes::from_static(key.as_bytes()),
            range_end: Bytes::from_static(end.as_bytes()),
        };
        let role = |permissions: Vec<authpb::Permission>| {
            let role = authpb::Role { key_permission: permissions, ..Default::default() };
            Bytes::from(role.encode_to_vec())
        };
        let mut auth = Auth::default();
        let r1 = vec![permission(Type::Write, "a", "c"), permission(Type::Readwrite, "x", "\0")];
        assert!(auth.add_role(Bytes::from_static(b"r1"), role(r1)));
        let r2 = vec![permission(Type::Readwrite, "c", "e"), permission(Type::Read, "k", "")];
        assert!(auth.add_role(Bytes::from_static(b"r2"), role(r2)));
        let roles = ["r1".to_owned(), "r2".to_owned(), "gone".to_owned()];
        let may = |is_write, key: &'static str, end: &'static str| {
            let (key, range_end) =
                (Bytes::from_static(key.as_bytes()), Bytes::from_static(end.as_bytes()));
            auth.may(&roles, &Need { key, range_end, is_write })
        };
        assert!(may(true, "a", "e"));
        assert!(may(true, "d", ""));
        assert!(!may(true, "a", "e\0"));
        assert!(!may(false, "b", "d"));
        assert!(may(false, "k", "") && !may(true, "k", "") && !may(false, "k", "l"));
        assert!(may(true, "y", "\0") && may(false, "x", "zz") && !may(false, "w", "\0"));
    }
}
