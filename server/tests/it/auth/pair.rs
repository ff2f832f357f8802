//! Quorate and etcd 3.7.1 side by side, with the same users logged in to both.

use crate::wire::{AuthCall, Call, Wire, mask};
use bytes::Bytes;
use quorate_proto::authpb::{Permission, UserAddOptions, permission::Type};
use quorate_proto::etcdserverpb as pb;
use std::collections::HashMap;
use std::path::Path;
use testbed::{Cluster, Plan, Version, reference};

/// Who asks: a user that has logged in, or one of these.
pub const NOBODY: &str = "";
/// Sends a token of the right form that nobody holds.
pub const STRANGER: &str = "(stranger)";
/// Sends a token of the wrong form.
pub const NONSENSE: &str = "(nonsense)";

/// What is asked in whose name.
pub type Step = (&'static str, Call);

/// The two servers.
pub struct Pair {
    pub ours: Wire,
    pub theirs: Wire,
    _our_cluster: Cluster,
    _their_cluster: Cluster,
    _folder: tempfile::TempDir,
    tokens: HashMap<&'static str, (String, String)>,
    n_asked: usize,
    differences: Vec<String>,
}

pub fn start(program: &Path, folder: &Path, members: usize, extra: &[&str]) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    let extra: Vec<String> = extra.iter().map(|flag| (*flag).to_owned()).collect();
    Cluster::start(&Plan { program, members, folder, extra: &extra }).unwrap()
}

impl Pair {
    /// Starts one member of each with these flags and cheap passwords.
    pub async fn start(extra: &[&str]) -> Pair {
        let folder = tempfile::tempdir().unwrap();
        let extra = [&["--bcrypt-cost=4"], extra].concat();
        let quorate = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
        let our_cluster = start(quorate, &folder.path().join("quorate"), 1, &extra);
        let etcd = reference(Version::V3_7_1, "etcd");
        let their_cluster = start(&etcd, &folder.path().join("etcd"), 1, &extra);
        Pair {
            ours: Wire::connect(&our_cluster.client_urls()[0]).await,
            theirs: Wire::connect(&their_cluster.client_urls()[0]).await,
            _our_cluster: our_cluster,
            _their_cluster: their_cluster,
            _folder: folder,
            tokens: HashMap::new(),
            n_asked: 0,
            differences: Vec::new(),
        }
    }

    /// Logs a user in to both.
    pub async fn login(&mut self, user: &'static str, password: &str) {
        let (ours, theirs) =
            tokio::join!(self.ours.login(user, password), self.theirs.login(user, password));
        self.tokens.insert(user, (ours.unwrap(), theirs.unwrap()));
    }

    /// From here on, etcd's tokens are shown to Quorate and Quorate's to etcd.
    pub fn swap_tokens(&mut self) {
        self.tokens.values_mut().for_each(|(ours, theirs)| std::mem::swap(ours, theirs));
    }

    /// Both connections in a user's name.
    pub fn caller(&self, who: &str) -> (Wire, Wire) {
        let both = |token: &str| (self.ours.with_token(token), self.theirs.with_token(token));
        match who {
            NOBODY => (self.ours.clone(), self.theirs.clone()),
            STRANGER => both("abcdefghijklmnop.1"),
            NONSENSE => both("nonsense"),
            user => {
                let (ours, theirs) = &self.tokens[user];
                (self.ours.with_token(ours), self.theirs.with_token(theirs))
            }
        }
    }

    /// Asks both the same and notes a difference.
    pub async fn ask(&mut self, (who, call): Step) -> String {
        let (ours, theirs) = self.caller(who);
        let (our, their) = tokio::join!(ours.call(call.clone()), theirs.call(call.clone()));
        let (our, their) = (steady(&mask(&our)), steady(&mask(&their)));
        self.n_asked += 1;
        if our != their {
            let mut request = format!("{call:?}");
            request.truncate(300);
            self.differences
                .push(format!("{who:?}: {request}\n  etcd:    {their}\n  quorate: {our}"));
        }
        our
    }

    /// Asks a whole table.
    pub async fn ask_all(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.ask(step).await;
        }
    }

    /// Ends the comparison: there were so many requests, and no answers differed.
    pub fn finish(&self, least: usize) {
        let (n, found) = (self.n_asked, &self.differences);
        assert!(n >= least, "only {n} requests");
        assert!(found.is_empty(), "{} of {n} answers differ:\n{}", found.len(), found.join("\n"));
    }
}

/// A lease of a thousand seconds may be asked about on both sides of a second's end.
fn steady(text: &str) -> String {
    let passing = (940..1000).map(|seconds| format!(" ttl: {seconds},"));
    passing.fold(text.to_owned(), |text, passing| text.replace(&passing, " ttl: 1000,"))
}

pub fn add_user(name: &str, password: &str) -> Call {
    Call::Auth(AuthCall::UserAdd(pb::AuthUserAddRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    }))
}

pub fn add_user_without_password(name: &str) -> Call {
    Call::Auth(AuthCall::UserAdd(pb::AuthUserAddRequest {
        name: name.to_owned(),
        options: Some(UserAddOptions { no_password: true }),
        ..Default::default()
    }))
}

pub fn change_password(name: &str, password: &str) -> Call {
    Call::Auth(AuthCall::ChangePassword(pb::AuthUserChangePasswordRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        ..Default::default()
    }))
}

pub fn grant(role: &str, kind: Type, key: &str, range_end: &str) -> Call {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let perm = Permission { perm_type: kind as i32, key: bytes(key), range_end: bytes(range_end) };
    Call::Auth(AuthCall::Grant(pb::AuthRoleGrantPermissionRequest {
        name: role.to_owned(),
        perm: Some(perm),
    }))
}

pub fn revoke(role: &str, key: &str, range_end: &str) -> Call {
    Call::Auth(AuthCall::Revoke(pb::AuthRoleRevokePermissionRequest {
        role: role.to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(range_end.as_bytes()),
    }))
}

/// Steps of the Auth service in one user's name.
pub fn auth(who: &'static str, calls: Vec<AuthCall>) -> Vec<Step> {
    calls.into_iter().map(|call| (who, Call::Auth(call))).collect()
}
