//! etcdctl's auth, user, role, lock and elect commands against three members with TLS, client certificates and
//! authentication: the same output and exit code with Quorate as with etcd 3.7.1; older ones work.

use crate::etcdctl::{Line, error_line, mask, run};
use std::path::{Path, PathBuf};
use testbed::{Cluster, Pki, Plan, Version, reference};

/// A line and whose certificate is shown.
type Step = (&'static str, &'static str);

/// Users and roles before authentication is on; the certificate's name means nothing then.
const BEFORE: &[Step] = &[
    ("guest", "auth status"),
    ("guest", "auth status -w json"),
    ("guest", "user list"),
    ("guest", "role list"),
    ("guest", "user add root:rootpw"),
    ("guest", "user add root:again"),
    ("guest", "user add u:pw"),
    ("guest", "user add v --new-user-password vpw"),
    ("guest", "user add nopw --no-password"),
    ("guest", "user add :pw"),
    ("guest", "user get ghost"),
    ("guest", "user get u"),
    ("guest", "user grant-role u ghost"),
    ("guest", "role add r"),
    ("guest", "role add r"),
    ("guest", "role add q"),
    ("guest", "role add doomed"),
    ("guest", "role grant-permission r read k"),
    ("guest", "role grant-permission r readwrite a b"),
    ("guest", "role grant-permission r write w --prefix"),
    ("guest", "role grant-permission q readwrite p --from-key"),
    ("guest", "role grant-permission r bad k"),
    ("guest", "role grant-permission ghost read k"),
    ("guest", "role grant-permission r read z a"),
    ("guest", "role grant-permission r"),
    ("guest", "role get r"),
    ("guest", "role get r -w json"),
    ("guest", "role get q"),
    ("guest", "role get ghost"),
    ("guest", "role revoke-permission r read"),
    ("guest", "role revoke-permission r nothing"),
    ("guest", "role revoke-permission r w --prefix"),
    ("guest", "user grant-role u r"),
    ("guest", "user grant-role u doomed"),
    ("guest", "user grant-role u r"),
    ("guest", "user grant-role nopw q"),
    ("guest", "role delete doomed"),
    ("guest", "role delete doomed"),
    ("guest", "user get u"),
    ("guest", "user get u --detail"),
    ("guest", "user get u -w json"),
    ("guest", "user list -w json"),
    ("guest", "role list -w fields"),
    ("guest", "put k 1"),
    ("guest", "put z 1"),
    ("guest", "auth disable"),
    // Makes the role root and gives it to the user root where only that is missing.
    ("guest", "auth enable"),
    ("guest", "auth enable"),
];

/// With authentication on, by password and by certificate.
const AFTER: &[Step] = &[
    ("guest", "get k"),
    ("guest", "auth status"),
    ("guest", "user list"),
    ("guest", "--user root:rootpw auth status"),
    ("guest", "--user root:wrong get k"),
    ("guest", "--user ghost:pw get k"),
    ("guest", "--user nopw:pw get k"),
    ("guest", "--user u:pw get k"),
    ("guest", "--user u --password pw get k"),
    ("guest", "--user u:pw put k 2"),
    ("guest", "--user u:pw put a 2"),
    ("guest", "--user u:pw get z"),
    ("guest", "--user u:pw get a b"),
    ("guest", "--user u:pw get a c"),
    ("guest", "--user u:pw get --prefix k"),
    ("guest", "--user u:pw get --from-key k"),
    ("guest", "--user u:pw del z"),
    ("guest", "--user u:pw user get u"),
    ("guest", "--user u:pw user get v"),
    ("guest", "--user u:pw role get r"),
    ("guest", "--user u:pw role get q"),
    ("guest", "--user u:pw user list"),
    ("guest", "--user u:pw role add mine"),
    ("guest", "--user u:pw auth disable"),
    ("guest", "--user u:pw compaction 2"),
    ("guest", "--user u:pw member list"),
    ("guest", "--user u:pw member remove 1234"),
    ("guest", "--user u:pw endpoint hashkv"),
    ("guest", "--user u:pw alarm list"),
    ("guest", "--user u:pw alarm disarm"),
    ("guest", "--user u:pw move-leader 1234"),
    ("guest", "--user u:pw defrag"),
    ("guest", "--user u:pw snapshot save /nowhere/file"),
    ("guest", "--user u:pw lease list"),
    ("guest", "--user u:pw lease revoke 1234"),
    ("guest", "--user u:pw lock z true"),
    ("guest", "--user u:pw elect --listen z"),
    ("guest", "--user root:rootpw lock z echo locked"),
    ("guest", "--user u:pw check perf"),
    ("u", "get k"),
    ("u", "get z"),
    ("u", "put a 3"),
    ("u", "user get u"),
    ("u", "role list"),
    // A token speaks louder than a certificate.
    ("u", "--user root:rootpw get z"),
    ("root", "--user u:pw get z"),
    ("root", "get z"),
    ("root", "user list"),
    ("root", "user get root --detail"),
    ("root", "role get root"),
    ("root", "user delete root"),
    ("root", "role delete root"),
    ("root", "user revoke-role root root"),
    ("root", "user revoke-role u q"),
    ("root", "user revoke-role u r"),
    ("u", "get k"),
    ("root", "user delete u"),
    ("u", "get k"),
    ("u", "user get u"),
    ("guest", "--user u:pw get k"),
    ("nopw", "put p 1"),
    ("nopw", "get k"),
    ("root", "auth disable"),
    ("root", "auth status"),
    ("guest", "get k"),
    ("guest", "--user root:rootpw get k"),
];

struct Stage {
    _cluster: Cluster,
    endpoints: String,
}

fn stage(program: &Path, folder: &Path, pki: &Pki) -> Stage {
    std::fs::create_dir_all(folder).unwrap();
    let extra = ["--bcrypt-cost=4".to_owned()];
    let plan = Plan { program, members: 3, folder, extra: &extra };
    let cluster = Cluster::start_tls(&plan, pki).unwrap();
    let endpoints = cluster.client_urls().join(",");
    Stage { _cluster: cluster, endpoints }
}

fn certificates(pki: &Pki) -> impl Fn(&str) -> Vec<String> + use<> {
    let flags: Vec<(&str, Vec<String>)> = ["guest", "root", "u", "nopw"]
        .map(|name| (name, pki.client(name).unwrap().client_flags(pki)))
        .into();
    move |name| flags.iter().find(|(known, _)| *known == name).unwrap().1.clone()
}

fn with(flags: Vec<String>, text: &'static str, input: &'static str) -> Line {
    let args = flags.into_iter().chain(text.split(' ').map(str::to_owned)).collect();
    Line { args, input }
}

fn quorate() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quorate-server"))
}

/// Every line prints and exits the same.
#[test]
fn auth_output_equals_that_for_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let ours = stage(&quorate(), &folder.path().join("quorate"), &pki);
    let etcd = reference(Version::V3_7_1, "etcd");
    let theirs = stage(&etcd, &folder.path().join("etcd"), &pki);
    let etcdctl = reference(Version::V3_7_1, "etcdctl");
    let certificate = certificates(&pki);
    let mut found = Vec::new();
    let passwd: &[Step] = &[("guest", "user passwd v --interactive=false")];
    for (who, text) in [BEFORE, passwd, AFTER].concat() {
        let input = if text.starts_with("user passwd") { "newpw" } else { "" };
        let answer = |stage: &Stage| {
            let line = with(certificate(who), text, input);
            let (code, out, error) = run(&etcdctl, &stage.endpoints, &line);
            (code, mask(&out), mask(error_line(&error)))
        };
        // One after the other: each line sees what the ones before it left.
        let (our, their) = (answer(&ours), answer(&theirs));
        if our != their {
            found.push(format!("{who}: {text}\n  etcd:    {their:?}\n  quorate: {our:?}"));
        }
    }
    assert!(found.is_empty(), "{} lines differ:\n{}", found.len(), found.join("\n"));
}

/// The whole way, from no users to none needed, with an etcdctl of another age.
fn drive(version: Version) {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let stage = stage(&quorate(), &folder.path().join("quorate"), &pki);
    let etcdctl = reference(version, "etcdctl");
    let certificate = certificates(&pki);
    let expect = |who: &str, text: &'static str, code: i32, wanted: &str| {
        let line = with(certificate(who), text, "newpw\n");
        let (got, out, error) = run(&etcdctl, &stage.endpoints, &line);
        let said = out.contains(wanted) || error.contains(wanted);
        assert!(got == code && said, "{who}: {text}: exit {got}\n{out}\n{error}");
    };
    expect("guest", "user add root:rootpw", 0, "User root created");
    expect("guest", "user add u:pw", 0, "User u created");
    expect("guest", "role add r", 0, "Role r created");
    expect("guest", "role grant-permission r readwrite k", 0, "Role r updated");
    expect("guest", "user grant-role u r", 0, "Role r is granted to user u");
    // 3.4 makes the role root by itself, and so does everybody since.
    expect("guest", "auth enable", 0, "Authentication Enabled");
    expect("guest", "--user u:pw put k 1", 0, "OK");
    expect("guest", "--user u:pw get z", 1, "permission denied");
    expect("guest", "--user u:no get k", 2, "invalid user ID or password");
    expect("u", "get k", 0, "k\n1");
    expect("u", "user list", 1, "permission denied");
    expect("root", "user list", 0, "root\nu");
    expect("root", "role get r", 0, "KV Read:\n\tk");
    expect("root", "user passwd u --interactive=false", 0, "Password updated");
    expect("guest", "--user u:newpw get k", 0, "k\n1");
    expect("root", "user revoke-role u r", 0, "Role r is revoked from user u");
    expect("u", "get k", 1, "permission denied");
    expect("root", "role delete r", 0, "Role r deleted");
    expect("root", "user delete u", 0, "User u deleted");
    expect("root", "auth disable", 0, "Authentication Disabled");
    expect("guest", "get k", 0, "k\n1");
}

/// etcdctl 3.5.1 works.
#[test]
fn etcdctl_3_5_manages_users() {
    drive(Version::V3_5_1);
}

/// etcdctl 3.4.23 works.
#[test]
fn etcdctl_3_4_manages_users() {
    drive(Version::V3_4_23);
}
