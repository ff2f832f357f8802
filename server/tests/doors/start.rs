//! Starts: made-up certificates, versions and suites, flags that cannot be.

use super::ask::{Lone, etcd, etcdctl, ours, run, run_with_input};
use std::path::Path;
use testbed::{Pki, Version};

fn openssl(port: u16, args: &[&str]) -> String {
    let connect = format!("127.0.0.1:{port}");
    let args = [&["s_client", "-connect", &connect], args].concat();
    let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
    let answer = run_with_input(Path::new("openssl"), &args, "");
    format!("{}{}", answer.out, answer.err)
}

/// `--auto-tls` and `--peer-auto-tls` make certificates as etcd does, members find each other with them, clients that
/// do not verify come in, and a second start shows the same certificate.
#[test]
fn auto_tls() {
    let folder = tempfile::tempdir().unwrap();
    for program in [ours(), etcd()] {
        let kind = if program == ours() { "ours" } else { "etcd" };
        let mut member = Lone::new(
            &program,
            folder.path(),
            kind,
            &[
                "--listen-client-urls=https://127.0.0.1:{client}",
                "--advertise-client-urls=https://127.0.0.1:{client}",
                "--listen-peer-urls=https://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls=https://127.0.0.1:{peer}",
                &format!("--initial-cluster={kind}=https://127.0.0.1:{{peer}}"),
                "--auto-tls",
                "--peer-auto-tls",
                "--self-signed-cert-validity=2",
            ],
        )
        .started();
        let shown = |port| {
            let text = openssl(port, &["-showcerts"]);
            let start = text.find("-----BEGIN CERTIFICATE-----").unwrap();
            let end = text.find("-----END CERTIFICATE-----").unwrap();
            let args = ["x509", "-noout", "-text"].map(str::to_owned);
            let text = format!("{}-----END CERTIFICATE-----\n", &text[start..end]);
            run_with_input(Path::new("openssl"), &args, &text).good()
        };
        let text = shown(member.client);
        for part in ["Subject: O = etcd", "NIST CURVE: P-521", "IP Address:127.0.0.1", "CA:TRUE"] {
            let loose = text.replace("Subject: O=etcd", "Subject: O = etcd");
            assert!(loose.contains(part), "{kind}: no {part:?} in\n{text}");
        }
        let fixtures = folder.path().join(kind).join("fixtures");
        for file in ["client/cert.pem", "client/key.pem", "peer/cert.pem", "peer/key.pem"] {
            assert!(fixtures.join(file).is_file(), "{kind}: {file}");
        }
        let skip = vec![
            format!("--endpoints=https://127.0.0.1:{}", member.client),
            "--insecure-skip-tls-verify".to_owned(),
            "--insecure-transport=false".to_owned(),
        ];
        assert_eq!(etcdctl(Version::V3_7_1, &skip, "put a b").good(), "OK\n", "{kind}");
        // The made certificate is its own authority.
        let trusting = vec![
            skip[0].clone(),
            format!("--cacert={}", fixtures.join("client/cert.pem").display()),
        ];
        assert_eq!(etcdctl(Version::V3_7_1, &trusting, "put a b").good(), "OK\n", "{kind}");
        member.process.stop(std::time::Duration::from_secs(30)).unwrap();
        let member = member.started();
        assert_eq!(shown(member.client), text, "{kind}");
    }
}

/// Three members with made-up certificates on both sides find each other.
#[test]
fn members_meet_with_made_up_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let program = ours();
    // The flags of the test's own authority are taken back.
    let extra = ["", "peer-"].map(|door| {
        let auth = if door.is_empty() { "client-cert-auth" } else { "peer-client-cert-auth" };
        vec![
            format!("--{door}cert-file="),
            format!("--{door}key-file="),
            format!("--{door}trusted-ca-file="),
            format!("--{auth}=false"),
            format!("--{door}auto-tls"),
        ]
    });
    let extra = extra.concat();
    let plan =
        testbed::Plan { program: &program, members: 3, folder: folder.path(), extra: &extra };
    let cluster = testbed::Cluster::start_tls(&plan, &pki).unwrap();
    for url in cluster.client_urls() {
        let skip = vec![
            format!("--endpoints={url}"),
            "--insecure-skip-tls-verify".to_owned(),
            "--insecure-transport=false".to_owned(),
        ];
        assert_eq!(etcdctl(Version::V3_7_1, &skip, "put a b").good(), "OK\n");
    }
}

/// Versions and suites are those that were asked for, as with etcd.
#[test]
fn versions_and_suites() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&testbed::Leaf { file: "server", ..Default::default() }).unwrap();
    let (cert, key) = (
        format!("--cert-file={}", server.cert.display()),
        format!("--key-file={}", server.key.display()),
    );
    let chacha = "--cipher-suites=TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    for (name, extra, offers) in [
        ("default", &[][..], [true, true, true]),
        ("min", &["--tls-min-version=TLS1.3"][..], [false, true, false]),
        ("max", &["--tls-max-version=TLS1.2"][..], [true, false, true]),
        ("suite", &[chacha][..], [true, true, false]),
    ] {
        for program in [ours(), etcd()] {
            let kind = if program == ours() { "ours" } else { "etcd" };
            let initial = format!("--initial-cluster={name}-{kind}=http://127.0.0.1:{{peer}}");
            let mut args = vec![
                "--listen-client-urls=https://127.0.0.1:{client}",
                "--advertise-client-urls=https://127.0.0.1:{client}",
                "--listen-peer-urls=http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                &initial,
                &cert,
                &key,
            ];
            args.extend(extra);
            let member =
                Lone::new(&program, folder.path(), &format!("{name}-{kind}"), &args).started();
            let tries = [
                &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"][..],
                &["-tls1_3"][..],
                &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"][..],
            ];
            let got = tries.map(|args| {
                let text = openssl(member.client, args);
                text.contains("Cipher is ") && !text.contains("Cipher is (NONE)")
            });
            assert_eq!(got, offers, "{kind} {name}");
            let old = openssl(member.client, &["-tls1_1"]);
            assert!(
                !old.contains("Cipher is TLS")
                    && !old.contains("Protocol  : TLSv1.1\n    Cipher    : E")
            );
        }
    }
}

/// Flags that cannot be end the start with what etcd says.
#[test]
fn impossible_flags_are_refused_in_etcds_words() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let server = pki.issue(&testbed::Leaf { file: "server", ..Default::default() }).unwrap();
    let other = pki.issue(&testbed::Leaf { file: "other", ..Default::default() }).unwrap();
    let data = format!("--data-dir={}", folder.path().join("never").display());
    let cert = format!("--cert-file={}", server.cert.display());
    let wrong_key = format!("--key-file={}", other.key.display());
    let urls =
        ["--listen-client-urls=https://127.0.0.1:0", "--advertise-client-urls=https://127.0.0.1:0"];
    let with_urls = |flags: &[&str]| [&urls[..], flags].concat().join(" ");
    for (line, text) in [
        (
            with_urls(&[]),
            "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:0 with HTTPS scheme",
        ),
        (
            "--listen-metrics-urls=https://127.0.0.1:0".to_owned(),
            "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
        ),
        (
            "--tls-min-version=TLS1.3 --tls-max-version=TLS1.2".to_owned(),
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        ("--cipher-suites=NOPE".to_owned(), "unexpected TLS cipher suite"),
        ("--tls-min-version=SSL3".to_owned(), "unexpected TLS version"),
    ] {
        for program in [ours(), etcd()] {
            let peers = "--listen-peer-urls=http://127.0.0.1:0";
            let args = line.split(' ').chain([data.as_str(), peers]).map(str::to_owned);
            let answer = run(&program, &args.collect::<Vec<_>>());
            let all = format!("{}{}", answer.out, answer.err);
            assert_eq!(answer.code, 1, "{program:?} {line}: {all}");
            assert!(all.contains(text), "{program:?} {line}: {all}");
        }
    }
    // A key of another certificate: Go's text and ours differ, both end.
    let line = with_urls(&[&cert, &wrong_key, &data, "--listen-peer-urls=http://127.0.0.1:0"]);
    let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let answer = run(&ours(), &args);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("do not belong together"), "{}", answer.err);
}
