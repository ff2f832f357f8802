//! Clients that may come in: etcdctl of three versions with certificates, our own tools, both protocols on one port.

use super::ask::{Lone, etcd, etcdctl, flags, ours, run, secure_cluster};
use std::path::Path;
use testbed::{Pki, Version};

const VERSIONS: [Version; 3] = [Version::V3_7_1, Version::V3_5_1, Version::V3_4_23];

/// Three members, TLS and certificates on both sides: every etcdctl writes and reads through every member.
#[test]
fn etcdctl_comes_in_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let cluster = secure_cluster(&ours(), 3, folder.path(), &pki);
    let client = pki.client("root").unwrap();
    for (n, version) in VERSIONS.into_iter().enumerate() {
        for (m, url) in cluster.client_urls().into_iter().enumerate() {
            let flags = flags(&[url], &pki, Some(&client));
            let (key, value) = (format!("k{n}{m}"), format!("v{n}{m}"));
            assert_eq!(etcdctl(version, &flags, &format!("put {key} {value}")).good(), "OK\n");
            let read = etcdctl(version, &flags, &format!("get {key}")).good();
            assert_eq!(read, format!("{key}\n{value}\n"));
        }
    }
    let all = flags(&cluster.client_urls(), &pki, Some(&client));
    let members = etcdctl(Version::V3_7_1, &all, "member list").good();
    assert_eq!(members.matches("https://127.0.0.1").count(), 6, "{members}");
}

/// Without a certificate nobody is served where one is demanded, and everybody where none is; etcdctl says the same of
/// etcd.
#[test]
fn a_certificate_is_demanded_only_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&testbed::Leaf { file: "server", ..Default::default() }).unwrap();
    let (cert, key) = (server.cert.display(), server.key.display());
    for (name, extra, is_served) in [
        ("open", String::new(), true),
        // A trusted authority alone demands a certificate.
        ("ca", format!("--trusted-ca-file={}", pki.ca().display()), false),
    ] {
        for program in [ours(), etcd()] {
            let kind = if program == ours() { "ours" } else { "etcd" };
            let mut args = vec![
                "--listen-client-urls=https://127.0.0.1:{client}".to_owned(),
                "--advertise-client-urls=https://127.0.0.1:{client}".to_owned(),
                "--listen-peer-urls=http://127.0.0.1:{peer}".to_owned(),
                "--initial-advertise-peer-urls=http://127.0.0.1:{peer}".to_owned(),
                format!("--initial-cluster={name}-{kind}=http://127.0.0.1:{{peer}}"),
                format!("--cert-file={cert}"),
                format!("--key-file={key}"),
            ];
            args.extend(Some(extra.clone()).filter(|extra| !extra.is_empty()));
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let member =
                Lone::new(&program, folder.path(), &format!("{name}-{kind}"), &args).started();
            let url = format!("https://127.0.0.1:{}", member.client);
            let mut flags = flags(&[url], &pki, None);
            flags[1] = "--dial-timeout=2s".to_owned();
            flags[2] = "--command-timeout=2s".to_owned();
            for version in VERSIONS {
                let answer = etcdctl(version, &flags, "put a b");
                assert_eq!(answer.code == 0, is_served, "{kind} {name} {version:?}: {answer:?}");
            }
            if !is_served {
                let log = member.process.log_text();
                let told =
                    log.lines().filter(|l| l.contains("rejected connection on client endpoint"));
                let told: Vec<_> = told.collect();
                assert!(!told.is_empty(), "{kind}: {log}");
                let reason = "tls: client didn't provide a certificate";
                assert!(told.iter().any(|line| line.contains(reason)), "{kind}: {told:?}");
            }
        }
    }
}

fn curl(args: &[&str]) -> String {
    let args: Vec<String> =
        ["-sS", "--max-time", "20"].iter().chain(args).map(|s| (*s).to_owned()).collect();
    run(Path::new("curl"), &args).good()
}

/// One address under both schemes is one port that speaks plain text and TLS, gRPC and HTTP/1.1 and HTTP/2; the metrics
/// port speaks TLS and shows metrics and health only.
#[test]
fn one_port_speaks_both() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&testbed::Leaf { file: "server", ..Default::default() }).unwrap();
    let metrics = testbed::free_ports(1).unwrap()[0];
    let ca = pki.ca();
    let ca = ca.to_str().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let both = "http://localhost:{client},https://localhost:{client}";
        let args = [
            format!("--listen-client-urls={both}"),
            format!("--advertise-client-urls={both}"),
            "--listen-peer-urls=http://127.0.0.1:{peer}".to_owned(),
            "--initial-advertise-peer-urls=http://127.0.0.1:{peer}".to_owned(),
            format!("--initial-cluster={kind}=http://127.0.0.1:{{peer}}"),
            format!("--cert-file={}", server.cert.display()),
            format!("--key-file={}", server.key.display()),
            format!("--listen-metrics-urls=https://localhost:{metrics}"),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let member = Lone::new(&program, folder.path(), kind, &args).started();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://localhost:{}", member.client);
            let flags = match scheme {
                "http" => vec![format!("--endpoints={url}")],
                _ => flags(std::slice::from_ref(&url), &pki, None),
            };
            assert_eq!(etcdctl(Version::V3_7_1, &flags, "put a b").good(), "OK\n", "{kind}");
            let health = format!("{url}/health");
            let healthy = r#"{"health":"true","reason":""}"#;
            assert_eq!(curl(&["--cacert", ca, "--http1.1", &health]), healthy, "{kind} {scheme}");
            if scheme == "https" {
                let version = ["--cacert", ca, "--http2", "-w", " %{http_version}", &health];
                assert_eq!(curl(&version), format!("{healthy} 2"), "{kind}");
            }
        }
        let url = format!("https://localhost:{metrics}");
        let text = curl(&["--cacert", ca, &format!("{url}/metrics")]);
        assert!(text.contains("etcd_server_has_leader 1"), "{kind}: {text}");
        let code = ["--cacert", ca, "-o", "/dev/null", "-w", "%{http_code}"];
        let version = format!("{url}/version");
        assert_eq!(curl(&[&code[..], &[&version]].concat()), "404", "{kind}");
        let log = member.process.log_text();
        for line in ["serving client traffic insecurely", "serving client traffic securely"] {
            assert!(log.contains(line), "{kind}: no {line:?} in {log}");
        }
    }
}

/// With `--listen-client-http-urls` the client URLs take calls alone, over HTTP/2, and pages are elsewhere; revoked
/// certificates are refused at both (GHSA-3wh4-j44w-pg92).
#[test]
fn calls_and_pages_may_have_ports_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let (good, revoked) = (pki.client("good").unwrap(), pki.client("revoked").unwrap());
    let list = pki.revoke("revoked.crl", &[&revoked]).unwrap();
    let ca = pki.ca();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let http = testbed::free_ports(1).unwrap()[0];
        let mut args = vec![
            "--listen-client-urls=https://127.0.0.1:{client}".to_owned(),
            "--advertise-client-urls=https://127.0.0.1:{client}".to_owned(),
            format!("--listen-client-http-urls=https://127.0.0.1:{http}"),
            "--listen-peer-urls=https://127.0.0.1:{peer}".to_owned(),
            "--initial-advertise-peer-urls=https://127.0.0.1:{peer}".to_owned(),
            format!("--initial-cluster={kind}=https://127.0.0.1:{{peer}}"),
            format!("--client-crl-file={}", list.display()),
        ];
        args.extend(pki.server_flags().unwrap());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let member = Lone::new(&program, folder.path(), kind, &args).started();
        let calls = format!("https://127.0.0.1:{}", member.client);
        let pages = format!("https://127.0.0.1:{http}/health");
        let ask = |pair: &testbed::Pair| {
            let mut flags = flags(std::slice::from_ref(&calls), &pki, Some(pair));
            flags[2] = "--command-timeout=3s".to_owned();
            let page = ["-sS", "--max-time", "10", "--cacert", ca.to_str().unwrap(), "--cert"];
            let (cert, key) = (pair.cert.to_str().unwrap(), pair.key.to_str().unwrap());
            let page = [&page[..], &[cert, "--key", key, &pages]].concat();
            let page: Vec<String> = page.iter().map(|arg| (*arg).to_owned()).collect();
            let put = etcdctl(Version::V3_7_1, &flags, "put a b").code;
            (put, run(Path::new("curl"), &page))
        };
        let (put, page) = ask(&good);
        assert_eq!((put, page.good().as_str()), (0, r#"{"health":"true","reason":""}"#), "{kind}");
        let (put, page) = ask(&revoked);
        assert!(put != 0 && page.code != 0, "{kind}: {put} {page:?}");
        let log = member.process.log_text();
        for traffic in [r#""traffic":"grpc""#, r#""traffic":"http""#] {
            assert!(log.contains(traffic), "{kind}: no {traffic} in {log}");
        }
        let page = format!("{calls}/health");
        let args = ["-sS", "--max-time", "10", "--http1.1", "--cacert", ca.to_str().unwrap()];
        let (cert, key) = (good.cert.to_str().unwrap(), good.key.to_str().unwrap());
        let args = [&args[..], &["--cert", cert, "--key", key, &page]].concat();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let answer = run(Path::new("curl"), &args);
        assert!(!answer.out.contains("health"), "{kind}: pages on the port for calls: {answer:?}");
    }
}

/// With `--client-cert-auth` the CommonName is the user's name: root may, a name without a user may not.
#[test]
fn common_names_are_users() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let (root, nobody) = (pki.client("root").unwrap(), pki.client("nobody").unwrap());
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let cluster = secure_cluster(&program, 1, &folder.path().join(kind), &pki);
        let urls = cluster.client_urls();
        let ask =
            |pair, line: &str| etcdctl(Version::V3_7_1, &flags(&urls, &pki, Some(pair)), line);
        for line in ["user add root --no-password", "user grant-role root root", "auth enable"] {
            ask(&root, line).good();
        }
        assert_eq!(ask(&root, "put a b").good(), "OK\n", "{kind}");
        let answer = ask(&nobody, "put a b");
        assert!(answer.err.contains("permission denied"), "{kind}: {answer:?}");
    }
}
