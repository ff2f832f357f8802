//! Our own tools against clusters with TLS: ours with client certificates, and etcd's with what its `--auto-tls` makes.

use super::ask::{Answer, Lone, etcd, ours, run, secure_cluster};
use testbed::Pki;

/// Runs one of the tools, which are built beside the server.
fn tool(name: &str, args: &[String]) -> Answer {
    let path = ours().with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing. Run `cargo build --bins`, or `cargo xtask test`.",
        path.display()
    );
    run(&path, args)
}

/// Every tool reads the cluster with these flags.
fn all_tools(endpoints: &str, members: usize, access: &[String], store: &std::path::Path) {
    let with = |line: &str| {
        let words = line.split(' ').map(str::to_owned);
        let mut args: Vec<String> = words.collect();
        args.push(format!("--endpoints={endpoints}"));
        args.extend(access.iter().cloned());
        args
    };
    assert_eq!(tool("quoratectl", &with("put tools work")).good(), "OK\n");
    assert_eq!(tool("quoratectl", &with("get tools")).good(), "tools\nwork\n");
    let status = tool("quoratectl", &with("endpoint status")).good();
    assert_eq!(status.lines().count(), members, "{status}");
    let picture = tool("quorate-tui", &with("--once")).good();
    for n in 1..=members {
        assert!(picture.contains(&format!("m{n}")), "{picture}");
    }
    let store = format!("--store=file://{}", store.display());
    let backup = [with("backup now"), vec![store.clone()]].concat();
    tool("quorate-backup-agent", &backup).good();
    let list = ["list".to_owned(), store];
    assert!(tool("quorate-backup-agent", &list).good().contains("confirmed") || members == 1);
}

/// quoratectl, the dashboard and the backup agent come in with a client certificate.
#[test]
fn tools_come_in_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let cluster = secure_cluster(&ours(), 3, folder.path(), &pki);
    let access = pki.client("root").unwrap().client_flags(&pki);
    let endpoints = cluster.client_urls().join(",");
    all_tools(&endpoints, 3, &access, &folder.path().join("store"));
}

/// etcd's made-up certificates have P-521 keys and are their own authority: the tools trust one that they are given.
#[test]
fn tools_trust_etcds_made_up_certificate() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ours(), etcd()] {
        let folder = folder.path().join(if program == ours() { "ours" } else { "etcd" });
        let args = [
            "--listen-client-urls=https://127.0.0.1:{client}",
            "--advertise-client-urls=https://127.0.0.1:{client}",
            "--listen-peer-urls=http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            "--initial-cluster=m1=http://127.0.0.1:{peer}",
            "--auto-tls",
        ];
        let member = Lone::new(&program, &folder, "m1", &args).started();
        let cert = folder.join("m1/fixtures/client/cert.pem");
        let access = [format!("--cacert={}", cert.display())];
        let endpoint = format!("https://127.0.0.1:{}", member.client);
        all_tools(&endpoint, 1, &access, &folder.join("store"));
    }
}
