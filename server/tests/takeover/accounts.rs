//! A cluster with authentication on: who may log in and what each may do, which must not change with the program. The
//! users and roles are those that `content::fill` makes.

use std::slice::from_ref;
use std::time::Duration;

use quorate_client::{Client, Config, Credentials, EtcdError, Patience};
use quorate_etcd_files::bbolt::Database;
use quorate_proto::authpb::Permission;

use super::ask;
use super::content::{put_request, rows};
use super::stage::READY_MAX;

const PASSWORD: &str = "secret";

/// Users with their roles and roles with their permissions, as a member tells them.
#[derive(Debug, PartialEq)]
pub struct Accounts {
    users: Vec<(String, Vec<String>)>,
    roles: Vec<(String, Vec<Permission>)>,
}

async fn connect(urls: &[String], who: Option<(&str, &str)>, limit: Duration) -> Client {
    let mut config = Config::new(urls);
    config.request_timeout = Some(limit);
    // A busy machine may let a connection break; a writer must notice a dead member at once.
    if limit >= READY_MAX {
        config.patience = Patience::UntilTimeout;
    }
    config.credentials = who.map(|(user, password)| Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    });
    Client::connect(config).await.unwrap()
}

/// A client that logs in when it is asked to, and again whenever its token is refused; nobody's without a name.
pub async fn client(urls: &[String], user: Option<&str>, limit: Duration) -> Client {
    connect(urls, user.map(|user| (user, PASSWORD)), limit).await
}

impl Accounts {
    /// Asks as root.
    pub async fn of(root: &Client) -> Accounts {
        let auth = root.auth();
        let (mut users, mut roles) = (Vec::new(), Vec::new());
        for user in auth.user_list().await.unwrap().users {
            let has = auth.user_get(&user).await.unwrap().roles;
            users.push((user, has));
        }
        for role in auth.role_list().await.unwrap().roles {
            let mut may = auth.role_get(&role).await.unwrap().perm;
            // Releases from 3.5 on say that root may do everything, which no row does.
            may.retain(|_| role != "root");
            roles.push((role, may));
        }
        assert!(users.len() == 2 && roles.len() == 2, "{users:?} {roles:?}");
        Accounts { users, roles }
    }

    /// Asks one member: all is as it was, and whoever may do something may still, nobody else.
    pub async fn hold_at(&self, url: &str, revision: u64) {
        let url = [url.to_owned()];
        let as_user = async |user| client(&url, user, READY_MAX).await;
        let root = as_user(Some("root")).await;
        assert_eq!(Accounts::of(&root).await, *self);
        let status = root.auth().status().await.unwrap();
        assert!(status.enabled);
        assert_eq!(status.auth_revision, revision, "{url:?}");

        let part = as_user(Some("part")).await;
        part.kv().get("k0").await.unwrap();
        let refused = part.kv().put(put_request("x", "not part's")).await.unwrap_err();
        assert_eq!(refused.etcd(), Some(EtcdError::PermissionDenied), "{refused}");
        let refused = as_user(None).await.kv().put(put_request("k0", "nobody's")).await;
        assert_eq!(refused.unwrap_err().etcd(), Some(EtcdError::UserNameIsEmpty));
        let wrong = connect(&url, Some(("part", "wrong")), READY_MAX).await;
        assert_eq!(wrong.kv().get("k0").await.unwrap_err().etcd(), Some(EtcdError::AuthFailed));
    }
}

/// The revision of users and roles in a database of etcd.
pub fn revision_in(database: &Database) -> u64 {
    let rows = rows(database, "auth");
    let (_, value) = rows.iter().find(|(key, _)| key == "authRevision").unwrap();
    u64::from_be_bytes(value[..].try_into().unwrap())
}

/// A member that says that it leads itself, in the newest term among those that say so.
pub async fn leader(root: &Client, urls: &[String]) -> usize {
    ask::until("a leader", READY_MAX, async || {
        let mut found = None;
        for (n, url) in urls.iter().enumerate() {
            let asked = root.at(url).unwrap().with_timeout(Some(Duration::from_secs(2)));
            let Ok(status) = asked.maintenance().status().await else { continue };
            let itself = status.header.as_ref().map_or(0, |header| header.member_id);
            if status.leader == itself && found.is_none_or(|(_, term)| term < status.raft_term) {
                found = Some((n, status.raft_term));
            }
        }
        found.map(|(n, _)| n)
    })
    .await
}

/// Turns authentication off, where it is on.
pub async fn open_to_all(url: &String) {
    let root = client(from_ref(url), Some("root"), READY_MAX).await;
    root.auth().disable().await.unwrap();
}
