//! The room against naive models: merged intervals, random histories, tokens.

use super::view::{Access, AuthView, Caller, ROOT};
use super::{AuthStore, KeySet, Loader, Refusal, SimpleTokens, token_index};
use crate::clock::ManualClock;
use crate::storage::{Batch, Keyspace, Row};
use bytes::Bytes;
use proptest::prelude::*;
use quorate_proto::authpb::{self, Permission, UserAddOptions, permission::Type};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb as pb;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

type Rows = BTreeMap<(Keyspace, Bytes), Bytes>;

/// Short keys that often touch, contain and follow each other; now and then none, or a zero byte.
fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => "[ab]{1,3}".prop_map(Bytes::from),
        1 => Just(Bytes::from_static(b"a\0")),
        1 => Just(Bytes::from_static(&[0])),
        1 => Just(Bytes::new()),
    ]
}

/// A `range_end`: often none, often open.
fn end() -> impl Strategy<Value = Bytes> {
    prop_oneof![2 => Just(Bytes::new()), 1 => Just(Bytes::from_static(&[0])), 4 => key()]
}

/// Is this one key in the interval? Written down from the words of etcd's documentation.
fn holds(start: &[u8], range_end: &[u8], key: &[u8]) -> bool {
    if start.is_empty() {
        return false;
    }
    match range_end {
        [] => key == start,
        [0] => key >= start,
        end => key >= start && key < end,
    }
}

/// Every key of the wanted interval is in some granted one. Between two neighbouring edges all keys are alike, so that
/// only the edges need to be asked.
fn naive(grants: &[(Bytes, Bytes)], start: &Bytes, range_end: &Bytes) -> bool {
    let is_granted = |key: &[u8]| grants.iter().any(|(s, e)| holds(s, e, key));
    let is_backward = range_end.len() > 1 && range_end <= start
        || range_end.len() == 1 && range_end[0] != 0 && range_end <= start;
    if start.is_empty() || is_backward || range_end.is_empty() {
        return !start.is_empty() && is_granted(start);
    }
    let after = |key: &Bytes| Bytes::from([key.as_ref(), &[0]].concat());
    let mut edges: Vec<Bytes> = vec![start.clone()];
    for (s, e) in grants {
        edges.extend([s.clone(), after(s), e.clone(), after(e)]);
    }
    edges.retain(|edge| holds(start, range_end, edge));
    edges.iter().all(|edge| is_granted(edge))
        // Above all edges there is still room, which only an open grant covers.
        && (range_end.as_ref() != [0] || is_granted(&[0xff; 8]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Merged intervals answer as the list of grants does.
    #[test]
    fn merging_changes_no_answer(
        grants in prop::collection::vec((key(), end()), 0..8),
        wanted in prop::collection::vec((key(), end()), 1..8),
    ) {
        let set = KeySet::new(grants.iter().map(|(key, end)| (key, end)));
        for (key, range_end) in &wanted {
            prop_assert_eq!(
                set.contains(key, range_end),
                naive(&grants, key, range_end),
                "{:?} {:?} of {:?}", key, range_end, grants
            );
        }
    }
}

/// One change, as data.
#[derive(Clone, Debug)]
enum Op {
    Enable,
    Disable,
    AddUser(u8, bool),
    DeleteUser(u8),
    ChangePassword(u8),
    GrantRole(u8, u8),
    RevokeRole(u8, u8),
    AddRole(u8),
    DeleteRole(u8),
    Grant(u8, i32, Bytes, Bytes),
    Revoke(u8, Bytes, Bytes),
}

/// 0 is root, 3 is no name at all.
fn name(n: u8) -> String {
    ["root", "x", "y", ""][usize::from(n % 4)].to_owned()
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..4_u8;
    prop_oneof![
        1 => Just(Op::Enable),
        1 => Just(Op::Disable),
        4 => (n(), any::<bool>()).prop_map(|(u, no)| Op::AddUser(u, no)),
        1 => n().prop_map(Op::DeleteUser),
        1 => n().prop_map(Op::ChangePassword),
        6 => (n(), n()).prop_map(|(u, r)| Op::GrantRole(u, r)),
        1 => (n(), n()).prop_map(|(u, r)| Op::RevokeRole(u, r)),
        4 => n().prop_map(Op::AddRole),
        1 => n().prop_map(Op::DeleteRole),
        8 => (n(), -1..4_i32, key(), end()).prop_map(|(r, t, k, e)| Op::Grant(r, t, k, e)),
        2 => (n(), key(), end()).prop_map(|(r, k, e)| Op::Revoke(r, k, e)),
    ]
}

fn perform(store: &AuthStore, batch: &mut Batch, op: &Op) -> Result<(), Refusal> {
    let hash = "JDJhJDA0JHg=".to_owned();
    store.change(batch, |change| match op.clone() {
        Op::Enable => change.enable(),
        Op::Disable => change.disable(),
        Op::AddUser(user, no_password) => change.add_user(&pb::AuthUserAddRequest {
            name: name(user),
            options: Some(UserAddOptions { no_password }),
            hashed_password: hash,
            ..Default::default()
        }),
        Op::DeleteUser(user) => change.delete_user(&name(user)),
        Op::ChangePassword(user) => change.change_password(&pb::AuthUserChangePasswordRequest {
            name: name(user),
            hashed_password: hash,
            ..Default::default()
        }),
        Op::GrantRole(user, role) => {
            change.grant_role(&pb::AuthUserGrantRoleRequest { user: name(user), role: name(role) })
        }
        Op::RevokeRole(user, role) => change
            .revoke_role(&pb::AuthUserRevokeRoleRequest { name: name(user), role: name(role) }),
        Op::AddRole(role) => change.add_role(&name(role)),
        Op::DeleteRole(role) => change.delete_role(&name(role)),
        Op::Grant(role, perm_type, key, range_end) => {
            let perm = Some(Permission { perm_type, key, range_end });
            change.grant_permission(&pb::AuthRoleGrantPermissionRequest { name: name(role), perm })
        }
        Op::Revoke(role, key, range_end) => {
            let role = name(role);
            change.revoke_permission(&pb::AuthRoleRevokePermissionRequest { role, key, range_end })
        }
    })
}

fn store() -> AuthStore {
    AuthStore::new(Arc::new(ManualClock::default()), Duration::from_secs(300))
}

fn write(rows: &mut Rows, batch: Batch) {
    for row in batch.into_rows() {
        match row {
            Row::Put(keyspace, key, value) => rows.insert((keyspace, key), value),
            Row::Delete(keyspace, key) => rows.remove(&(keyspace, key)),
        };
    }
}

fn reloaded(rows: &Rows) -> AuthView {
    let mut loader = Loader::default();
    for ((keyspace, key), value) in rows {
        match keyspace {
            Keyspace::Auth => loader.setting(key, value).unwrap(),
            Keyspace::AuthUsers => loader.user(value).unwrap(),
            Keyspace::AuthRoles => loader.role(value).unwrap(),
            other => panic!("a row in {other:?}"),
        }
    }
    let store = store();
    let missing = store.restore(loader);
    assert_eq!(missing.is_some(), !rows.contains_key(&(Keyspace::Auth, "authRevision".into())));
    AuthView::clone(&store.view())
}

/// What the rows alone say about a user's rights.
fn naive_check(rows: &Rows, caller: &str, access: Access, key: &Bytes, end: &Bytes) -> bool {
    use prost::Message;
    let row = |keyspace, name: &str| rows.get(&(keyspace, Bytes::copy_from_slice(name.as_bytes())));
    let Some(user) = row(Keyspace::AuthUsers, caller) else { return false };
    let user = authpb::User::decode(user.clone()).unwrap();
    if user.roles.iter().any(|role| role == ROOT) {
        return true;
    }
    let mut grants = Vec::new();
    for role in user.roles.iter().filter_map(|role| row(Keyspace::AuthRoles, role)) {
        for permission in authpb::Role::decode(role.clone()).unwrap().key_permission {
            let fits = matches!(
                (permission.perm_type, access),
                (0, Access::Read) | (1, Access::Write) | (2, _)
            );
            if fits {
                grants.push((permission.key, permission.range_end));
            }
        }
    }
    naive(&grants, key, end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// After any history the rows hold all there is: a store made from them is the same, its rights are those that the
    /// rows spell out, and a refused change has left no trace.
    #[test]
    fn rows_are_the_whole_truth(
        ops in prop::collection::vec(op(), 0..60),
        asked in prop::collection::vec((0..4_u8, any::<bool>(), key(), end()), 1..20),
    ) {
        let store = store();
        let mut rows = Rows::new();
        let mut changes = 0;
        for op in &ops {
            let mut batch = Batch::housekeeping();
            let before = store.view();
            match perform(&store, &mut batch, op) {
                Ok(()) if !matches!(op, Op::Enable) => changes += u64::from(!batch.rows().is_empty()),
                Ok(()) => {}
                Err(_) => {
                    prop_assert!(batch.rows().is_empty());
                    prop_assert_eq!(&*before, &*store.view());
                }
            }
            write(&mut rows, batch);
        }
        let view = store.view();
        prop_assert_eq!(view.revision(), 1 + changes);
        prop_assert_eq!(store.is_enabled(), view.is_enabled());
        prop_assert_eq!(&reloaded(&rows), &*view);
        for (caller, is_write, key, end) in &asked {
            let access = if *is_write { Access::Write } else { Access::Read };
            let name = name(*caller);
            let caller = Caller { name: name.as_str().into(), revision: view.revision() };
            let is_allowed = view.check(&caller, access, key, end).is_ok();
            let wanted = !view.is_enabled() || naive_check(&rows, &name, access, key, end);
            prop_assert_eq!(is_allowed, wanted, "{} {:?} {:?} {:?}", name, access, key, end);
        }
    }

    /// No text of a token makes trouble, and none that was not handed out is anybody's.
    #[test]
    fn strange_tokens_belong_to_nobody(token in any::<String>(), tail in "[a-zA-Z.]{0,20}[0-9.]{0,25}") {
        let store = with_root();
        let batch = &mut Batch::housekeeping();
        store.change(batch, |change| change.enable()).unwrap();
        store.log_in("root", Some("abcdefghijklmnop.7".to_owned())).unwrap();
        for text in [token, tail] {
            let _ = token_index(&text);
            prop_assert!(text == "abcdefghijklmnop.7" || store.holder(&text).is_none());
        }
    }
}

fn with_root() -> AuthStore {
    let store = store();
    for op in [Op::AddUser(0, false), Op::GrantRole(0, 0)] {
        perform(&store, &mut Batch::housekeeping(), &op).unwrap();
    }
    store
}

/// Authentication can only be switched on where somebody could switch it off again.
#[test]
fn enabling_needs_root() {
    let store = store();
    let batch = &mut Batch::housekeeping();
    let refused = |error: EtcdError| Err(Refusal::Answer(error));
    assert_eq!(perform(&store, batch, &Op::Enable), refused(EtcdError::RootUserDoesNotExist));
    perform(&store, batch, &Op::AddUser(0, false)).unwrap();
    let without_role = refused(EtcdError::RootUserDoesNotHaveRootRole);
    assert_eq!(perform(&store, batch, &Op::Enable), without_role);
    perform(&store, batch, &Op::GrantRole(0, 0)).unwrap();
    perform(&store, batch, &Op::Enable).unwrap();
    for op in [Op::DeleteUser(0), Op::RevokeRole(0, 0), Op::DeleteRole(0)] {
        let refused = refused(EtcdError::InvalidAuthManagement);
        assert_eq!(perform(&store, batch, &op), refused, "{op:?}");
    }
}

/// Nobody, an old proof, an unknown user: each is told apart as etcd tells it.
#[test]
fn callers_are_told_why() {
    let store = with_root();
    perform(&store, &mut Batch::housekeeping(), &Op::Enable).unwrap();
    let view = store.view();
    let caller = |name: &str, revision| Caller { name: name.into(), revision };
    let now = view.revision();
    let check = |caller: &Caller| view.check(caller, Access::Read, b"k", b"");
    assert_eq!(check(&caller("root", now)), Ok(()));
    assert_eq!(check(&Caller::default()), Err(EtcdError::UserNameIsEmpty));
    assert_eq!(check(&caller("root", now - 1)), Err(EtcdError::RevisionOfAuthStoreIsOld));
    assert_eq!(check(&caller("ghost", now)), Err(EtcdError::PermissionDenied));
    assert_eq!(view.check_root(&caller("ghost", now)), Err(EtcdError::UserNameNotFound));
    assert_eq!(view.check_root(&Caller::default()), Err(EtcdError::UserNameIsEmpty));
    assert_eq!(view.check_root(&caller("root", 1)), Ok(()));
}

/// A token lives from use to use, and ends with its user, with its password and with authentication.
#[test]
fn tokens_end() {
    let clock = Arc::new(ManualClock::default());
    let tokens = SimpleTokens::new(clock.clone(), Duration::from_secs(10));
    tokens.assign("a.1".to_owned(), "u");
    tokens.assign("b.2".to_owned(), "u");
    tokens.assign("c.3".to_owned(), "v");
    clock.advance(Duration::from_secs(9));
    assert_eq!(tokens.renew("a.1").as_deref(), Some("u"));
    clock.advance(Duration::from_secs(9));
    assert_eq!(tokens.renew("a.1").as_deref(), Some("u"));
    assert_eq!(tokens.renew("b.2"), None);
    // The next login sweeps what has expired out of memory.
    tokens.assign("d.4".to_owned(), "v");
    assert_eq!(format!("{tokens:?}"), "2 tokens");
    tokens.end_user("u");
    assert_eq!((tokens.renew("a.1"), tokens.renew("d.4").as_deref()), (None, Some("v")));
    tokens.clear();
    assert_eq!(tokens.renew("d.4"), None);

    let store = with_root();
    let batch = &mut Batch::housekeeping();
    assert_eq!(
        store.log_in("root", Some("t.1".into())),
        Err(EtcdError::AuthenticationIsNotEnabled)
    );
    let ends: [&[Op]; 3] = [
        &[Op::ChangePassword(1)],
        &[Op::DeleteUser(1), Op::AddUser(1, false)],
        &[Op::Disable, Op::Enable],
    ];
    perform(&store, batch, &Op::AddUser(1, false)).unwrap();
    perform(&store, batch, &Op::Enable).unwrap();
    for end in ends {
        store.log_in("x", Some("t.1".to_owned())).unwrap();
        assert_eq!(store.holder("t.1").unwrap().name.as_ref(), "x");
        end.iter().for_each(|op| perform(&store, batch, op).unwrap());
        assert_eq!(store.holder("t.1"), None, "{end:?}");
    }
    assert_eq!(store.log_in("ghost", Some("t.1".into())), Err(EtcdError::AuthFailed));
}

/// The index is what stands behind the one dot.
#[test]
fn token_indexes() {
    assert_eq!(token_index("abc.42"), Some(42));
    for strange in ["", "abc", "abc.", "abc.x", "a.b.4", "abc.+4", "abc.99999999999999999999", "."]
    {
        assert_eq!(token_index(strange), None, "{strange:?}");
    }
}

/// Every permission type opens what it says, and an unknown one opens nothing.
#[test]
fn permission_types() {
    for (kind, read, write) in [
        (Type::Read as i32, true, false),
        (Type::Write as i32, false, true),
        (Type::Readwrite as i32, true, true),
        (9, false, false),
    ] {
        let store = with_root();
        let batch = &mut Batch::housekeeping();
        let grant = Op::Grant(1, kind, "k".into(), Bytes::new());
        for op in [Op::AddUser(1, false), Op::AddRole(1), Op::GrantRole(1, 1), grant, Op::Enable] {
            perform(&store, batch, &op).unwrap();
        }
        let view = store.view();
        let caller = Caller { name: "x".into(), revision: view.revision() };
        assert_eq!(view.check(&caller, Access::Read, b"k", b"").is_ok(), read, "{kind}");
        assert_eq!(view.check(&caller, Access::Write, b"k", b"").is_ok(), write, "{kind}");
    }
}
