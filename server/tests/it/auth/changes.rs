//! Every method of the Auth service and every error it has, in one history of users and roles.

use super::pair::{
    NOBODY, NONSENSE, Pair, STRANGER, Step, add_user, add_user_without_password, auth,
    change_password, grant, revoke,
};
use crate::wire::{AuthCall, Call};
use AuthCall::{
    Disable, Enable, GrantRole, Login, RevokeRole, RoleAdd, RoleDelete, RoleGet, RoleList, Status,
    UserDelete, UserGet, UserList,
};
use quorate_proto::authpb::permission::Type::{Read, Readwrite, Write};
use quorate_proto::etcdserverpb as pb;

/// Users and roles while authentication is off.
fn before() -> Vec<Step> {
    let mut steps = auth(
        NOBODY,
        vec![
            Status,
            UserList,
            RoleList,
            UserGet("x"),
            UserGet(""),
            RoleGet("x"),
            UserDelete("x"),
            RoleDelete("x"),
            Enable,
            Disable,
            Login("root", "x"),
            GrantRole("x", "r"),
            RevokeRole("x", "r"),
            RoleAdd(""),
            RoleAdd("r"),
            RoleAdd("r"),
            RoleAdd("q"),
            RoleGet("r"),
        ],
    );
    let long = "x".repeat(73);
    let calls = [
        add_user("", "p"),
        add_user("x", "p"),
        add_user("x", "p"),
        add_user("long", &long),
        add_user("longest", &long[..72]),
        add_user("empty", ""),
        add_user_without_password("cert"),
        add_user("root", "rootpw"),
        change_password("ghost", "p"),
        change_password("x", "pw"),
        change_password("x", &long),
        change_password("cert", "pw"),
        Call::Auth(AuthCall::ChangePassword(pb::AuthUserChangePasswordRequest {
            name: "x".to_owned(),
            hashed_password: "***".to_owned(),
            ..Default::default()
        })),
        grant("r", Read, "k", ""),
        grant("r", Read, "k", ""),
        grant("r", Write, "k", ""),
        grant("r", Readwrite, "b", "d"),
        grant("r", Read, "a", "\0"),
        grant("r", Read, "\0", "\0"),
        grant("r", Read, "", ""),
        grant("r", Read, "", "\0"),
        grant("r", Read, "z", "a"),
        grant("r", Read, "z", "z"),
        grant("ghost", Read, "k", ""),
        grant("ghost", Read, "", ""),
        Call::Auth(AuthCall::Grant(pb::AuthRoleGrantPermissionRequest {
            name: "r".to_owned(),
            perm: None,
        })),
        Call::Auth(AuthCall::Grant(pb::AuthRoleGrantPermissionRequest {
            name: "r".to_owned(),
            perm: Some(quorate_proto::authpb::Permission::default()),
        })),
        Call::Auth(RoleGet("r")),
        revoke("r", "k", "z"),
        revoke("ghost", "k", ""),
        revoke("r", "a", "\0"),
        revoke("r", "a", "\0"),
        Call::Auth(RoleGet("r")),
        Call::Auth(Enable),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(RoleGet("root")),
        Call::Auth(RoleAdd("root")),
        Call::Auth(RoleGet("root")),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(GrantRole("ghost", "r")),
        Call::Auth(GrantRole("x", "ghost")),
        Call::Auth(GrantRole("x", "r")),
        Call::Auth(GrantRole("x", "q")),
        Call::Auth(GrantRole("cert", "q")),
        Call::Auth(UserGet("x")),
        Call::Auth(RevokeRole("x", "ghost")),
        Call::Auth(RevokeRole("ghost", "r")),
        Call::Auth(UserGet("root")),
        Call::Auth(UserList),
        Call::Auth(RoleList),
        Call::Auth(Status),
        Call::Auth(Enable),
        Call::Auth(Status),
    ];
    steps.extend(calls.map(|call| (NOBODY, call)));
    steps
}

/// Everything that only root may, in the name of somebody else.
fn forbidden(who: &'static str) -> Vec<Step> {
    let mut steps = auth(
        who,
        vec![
            Enable,
            Disable,
            UserList,
            RoleList,
            UserGet("root"),
            UserGet("x"),
            UserGet(""),
            UserGet("ghost"),
            RoleGet("r"),
            RoleGet("root"),
            RoleGet("ghost"),
            UserDelete("x"),
            UserDelete("root"),
            RoleAdd("new"),
            RoleAdd(""),
            RoleDelete("r"),
            GrantRole("x", "root"),
            RevokeRole("x", "r"),
            Login("x", "pw"),
            Status,
        ],
    );
    for call in [
        add_user("new", "p"),
        add_user_without_password("new"),
        change_password("x", "other"),
        change_password("x", ""),
        grant("r", Readwrite, "\0", "\0"),
        revoke("r", "k", ""),
    ] {
        steps.push((who, call));
    }
    steps
}

fn logins() -> Vec<Step> {
    let all = [
        ("root", "rootpw"),
        ("root", "wrong"),
        ("root", ""),
        ("x", "pw"),
        ("x", "p"),
        ("ghost", "p"),
        ("", ""),
        ("cert", "pw"),
        ("cert", ""),
        ("empty", ""),
        ("empty", "x"),
    ];
    all.map(|(name, password)| (NOBODY, Call::Auth(Login(name, password)))).into()
}

/// What root does while authentication is on, and what it may not do to itself.
fn by_root() -> Vec<Step> {
    let mut steps = auth(
        "root",
        vec![
            Enable,
            UserDelete("root"),
            RoleDelete("root"),
            RevokeRole("root", "root"),
            UserGet("x"),
            RoleGet("root"),
            RoleDelete("q"),
            UserGet("x"),
            UserGet("cert"),
            RevokeRole("x", "r"),
            RevokeRole("x", "r"),
            UserGet("x"),
            GrantRole("x", "r"),
            UserList,
            Status,
        ],
    );
    for call in [add_user("late", "p"), change_password("late", "q"), grant("r", Read, "z", "")] {
        steps.push(("root", call));
    }
    steps
}

/// More than 150 requests to the Auth service, with every error it knows, are answered as etcd answers them.
#[tokio::test]
async fn auth_answers_equal_those_of_etcd() {
    let mut pair = Pair::start(&[]).await;
    pair.ask_all(before()).await;
    pair.ask_all(logins()).await;
    pair.login("root", "rootpw").await;
    pair.login("x", "pw").await;
    for who in [NOBODY, STRANGER, NONSENSE, "x"] {
        pair.ask_all(forbidden(who)).await;
    }
    pair.ask_all(by_root()).await;
    // A changed password and a deleted user end their tokens.
    pair.login("x", "pw").await;
    pair.ask(("root", change_password("x", "pw2"))).await;
    let range = Call::Range(pb::RangeRequest { key: "k".into(), ..Default::default() });
    assert!(pair.ask(("x", range.clone())).await.contains("invalid auth token"));
    pair.login("x", "pw2").await;
    pair.ask(("x", range.clone())).await;
    pair.ask_all(auth("root", vec![UserDelete("x"), UserGet("x"), UserList])).await;
    assert!(pair.ask(("x", range.clone())).await.contains("invalid auth token"));
    // Off and on again: no token survives.
    pair.ask_all(auth("root", vec![Disable, Disable])).await;
    pair.ask_all(auth(NOBODY, vec![Status, UserDelete("late"), Enable, Status])).await;
    assert!(pair.ask(("root", Call::Auth(UserList))).await.contains("invalid auth token"));
    pair.finish(150);
}

/// Whatever is sent as a token, in either header, a good one with one byte changed and bytes that are no text among it, is
/// no user, and the member stays up.
#[tokio::test]
async fn strange_tokens_are_nobodys() {
    use rand::Rng as _;
    let mut pair = Pair::start(&[]).await;
    for call in [add_user("root", "rootpw"), Call::Auth(GrantRole("root", "root"))] {
        pair.ask((NOBODY, call)).await;
    }
    pair.ask_all(auth(NOBODY, vec![Enable])).await;
    pair.login("root", "rootpw").await;
    let (ours, _) = pair.caller("root");
    let good = pb::AuthenticateRequest { name: "root".to_owned(), password: "rootpw".to_owned() };
    let good = pair.ours.auth().authenticate(good).await.unwrap().into_inner().token.into_bytes();
    let mut random = rand::rng();
    for n in 0..300 {
        let bytes: Vec<u8> = match n % 3 {
            // A good one with another byte somewhere, or cut off.
            0 => {
                let mut bytes = good.clone();
                let at = random.random_range(0..bytes.len());
                bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
                bytes
            }
            1 if n % 2 == 0 => good[..random.random_range(0..good.len())].to_vec(),
            _ => (0..random.random_range(0..64))
                .map(|_| match random.random_range(0..4) {
                    0 => b'.',
                    1 => random.random_range(b'0'..=b'9'),
                    2 => random.random_range(b'a'..=b'z'),
                    _ => random.random_range(0x80..=0xff),
                })
                .collect(),
        };
        let Ok(value) = tonic::metadata::MetadataValue::try_from(bytes.as_slice()) else {
            continue;
        };
        let mut request = tonic::Request::new(pb::AuthUserListRequest {});
        let name = if n % 2 == 0 { "token" } else { "authorization" };
        request.metadata_mut().insert(name, value);
        // A number of an entry that never was is waited for; nobody needs to.
        request.set_timeout(std::time::Duration::from_millis(500));
        assert!(pair.ours.auth().user_list(request).await.is_err(), "{bytes:?}");
    }
    assert!(ours.call(Call::Auth(UserList)).await.contains("root"));
    pair.finish(3);
}
