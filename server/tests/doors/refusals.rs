//! Certificates that are not taken, at the client port and between members.

use super::ask::{Lone, etcd, etcdctl, flags, ours, until};
use testbed::{Cluster, Leaf, Pki, Plan, Version};

/// A foreign authority, an ended and a revoked certificate and one that is for servers only are refused; the log says
/// which rule it was.
#[test]
fn clients_with_bad_certificates_stay_outside() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let stranger = Pki::new(&folder.path().join("stranger")).unwrap();
    let good = pki.client("good").unwrap();
    let revoked = pki.client("revoked").unwrap();
    let leaf = |file| Leaf { file, names: &[], ..Leaf::default() };
    let expired = pki.issue(&Leaf { is_expired: true, ..leaf("expired") }).unwrap();
    let server_only = pki.issue(&Leaf { calls: false, ..leaf("server-only") }).unwrap();
    let foreign = stranger.client("good").unwrap();
    let list = pki.revoke("revoked.crl", &[&revoked]).unwrap();
    let server = pki.server_flags().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let mut args = vec![
            "--listen-client-urls=https://127.0.0.1:{client}".to_owned(),
            "--advertise-client-urls=https://127.0.0.1:{client}".to_owned(),
            "--listen-peer-urls=https://127.0.0.1:{peer}".to_owned(),
            "--initial-advertise-peer-urls=https://127.0.0.1:{peer}".to_owned(),
            format!("--initial-cluster={kind}=https://127.0.0.1:{{peer}}"),
            format!("--client-crl-file={}", list.display()),
        ];
        args.extend(server.iter().cloned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let member = Lone::new(&program, folder.path(), kind, &args).started();
        let url = format!("https://127.0.0.1:{}", member.client);
        let ask = |pair| {
            let mut flags = flags(std::slice::from_ref(&url), &pki, Some(pair));
            flags[1] = "--dial-timeout=2s".to_owned();
            flags[2] = "--command-timeout=2s".to_owned();
            etcdctl(Version::V3_7_1, &flags, "put a b")
        };
        ask(&good).good();
        for (pair, reason) in [
            (&foreign, "certificate signed by unknown authority"),
            (&expired, "certificate has expired or is not yet valid"),
            (&server_only, "certificate specifies an incompatible key usage"),
            (&revoked, "revoked"),
        ] {
            let answer = ask(pair);
            assert_ne!(answer.code, 0, "{kind}: {:?} was let in: {answer:?}", pair.cert);
            let log = member.process.log_text();
            let told = log.lines().any(|line| {
                line.contains("rejected connection on client endpoint") && line.contains(reason)
            });
            assert!(told, "{kind}: no rejection for {reason:?} in\n{log}");
        }
        ask(&good).good();
    }
}

/// Each of these members' certificates is refused by its peers: it never joins, the others stay a quorum and say why.
/// The pages of the peer port are closed to strangers too.
#[test]
fn peers_with_bad_certificates_stay_outside() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let stranger = Pki::new(&folder.path().join("stranger")).unwrap();
    let leaf = |file| Leaf { file, common_name: "member", ..Leaf::default() };
    let revoked = pki.issue(&leaf("revoked")).unwrap();
    let list = pki.revoke("peers.crl", &[&revoked]).unwrap();
    let good = pki.issue(&leaf("peer")).unwrap();
    let foreign = stranger.issue(&leaf("foreign")).unwrap();
    let expired = pki.issue(&Leaf { is_expired: true, ..leaf("expired") }).unwrap();
    let other_name = pki.issue(&Leaf { common_name: "other", ..leaf("other") }).unwrap();
    let elsewhere = pki.issue(&Leaf { names: &["10.1.2.3"], ..leaf("elsewhere") }).unwrap();
    let program = ours();
    let extra = [
        good.server_flags(&pki, "peer-"),
        vec!["--peer-cert-allowed-cn=member".into(), format!("--peer-crl-file={}", list.display())],
    ]
    .concat();
    let plan = Plan { program: &program, members: 3, folder: folder.path(), extra: &extra };
    let mut cluster = Cluster::start_tls(&plan, &pki).unwrap();
    let client = pki.client("root").unwrap();
    for (pair, reason) in [
        (&foreign, "certificate signed by unknown authority"),
        (&expired, "certificate has expired or is not yet valid"),
        (&revoked, "revoked"),
        (&other_name, "client certificate authentication failed"),
        (&elsewhere, "certificate is valid for 10.1.2.3, not 127.0.0.1"),
    ] {
        cluster.members[2].process.stop(std::time::Duration::from_secs(30)).unwrap();
        for flag in [
            format!("--peer-client-cert-file={}", pair.cert.display()),
            format!("--peer-client-key-file={}", pair.key.display()),
        ] {
            cluster.members[2].process.add_argument(&flag);
        }
        cluster.members[2].process.start().unwrap();
        until(&format!("somebody refuses it: {reason}"), || {
            cluster.members[..2].iter().any(|member| {
                member.process.log_text().lines().any(|line| {
                    line.contains("rejected connection on peer endpoint") && line.contains(reason)
                })
            })
        });
        let flags = flags(&cluster.client_urls()[..2], &pki, Some(&client));
        etcdctl(Version::V3_7_1, &flags, "put a b").good();
    }
    let peer = peer_port(&cluster);
    let args = ["-sS", "--max-time", "10", "-k", &format!("https://127.0.0.1:{peer}/members")];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let answer = super::ask::run(std::path::Path::new("curl"), &args);
    assert_ne!(answer.code, 0, "a stranger read the members: {answer:?}");
}

/// The peer port of the first member.
fn peer_port(cluster: &Cluster) -> String {
    let log = std::fs::read_to_string(&cluster.members[0].process.log).unwrap();
    let at = log.find("m1=https://127.0.0.1:").unwrap() + "m1=https://127.0.0.1:".len();
    log[at..].chars().take_while(char::is_ascii_digit).collect()
}

/// A client whose name for the server is not in the server's certificate does not trust it, whichever server it is.
#[test]
fn clients_notice_a_server_of_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let elsewhere = Leaf { file: "elsewhere", names: &["elsewhere.example"], ..Leaf::default() };
    let elsewhere = pki.issue(&elsewhere).unwrap();
    let program = ours();
    let extra = elsewhere.server_flags(&pki, "");
    let plan = Plan { program: &program, members: 1, folder: folder.path(), extra: &extra };
    let cluster = Cluster::start_tls(&plan, &pki).unwrap();
    let client = pki.client("root").unwrap();
    let mut flags = flags(&cluster.client_urls(), &pki, Some(&client));
    flags[2] = "--command-timeout=2s".to_owned();
    assert_ne!(etcdctl(Version::V3_7_1, &flags, "get a").code, 0);
    flags.push("--insecure-skip-tls-verify".to_owned());
    etcdctl(Version::V3_7_1, &flags, "get a").good();
}

/// A certificate that signed itself, calls itself an authority and serves as server's, client's and authority's at once
/// is taken, as Go takes it.
#[test]
fn one_self_signed_certificate_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let all = pki.self_signed(&Leaf { file: "ca", ..Leaf::default() }).unwrap();
    let program = ours();
    let extra = [all.server_flags(&pki, ""), all.server_flags(&pki, "peer-")].concat();
    let plan = Plan { program: &program, members: 3, folder: folder.path(), extra: &extra };
    let cluster = Cluster::start_tls(&plan, &pki).unwrap();
    let flags = flags(&cluster.client_urls(), &pki, Some(&all));
    for version in [Version::V3_7_1, Version::V3_5_1] {
        assert_eq!(etcdctl(version, &flags, "put a b").good(), "OK\n");
    }
}
