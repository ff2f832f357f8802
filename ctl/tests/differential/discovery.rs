//! `--discovery-srv`: both clients find their server in a DNS server on loopback, which each sees as its system's own. That takes a
//! mount namespace, and so root.

use crate::script::{self, Run};
use crate::side::{Security, Server, Site, program, quorate_server, run_all};
use crate::{Link, must_agree, told};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testbed::{Dns, Service};

/// A program that runs `inner` with the DNS server as the system's.
fn within(dns: &Dns, inner: &Path, path: PathBuf) -> PathBuf {
    let words: Vec<String> = dns.arguments(inner).iter().map(|word| format!("'{word}'")).collect();
    let text = format!("#!/bin/sh\nexec unshare {} \"$@\"\n", words.join(" "));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs the script with one client, against a fresh server that DNS knows.
fn run_with(
    client: &Path,
    (server, site): (&Path, Site),
    text: &str,
    security: Option<Arc<Security>>,
) -> Vec<Run> {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(server, site, 0, security.clone());
    let port: u16 = server.endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
    let service = if security.is_some() { "etcd-client-ssl" } else { "etcd-client" };
    let services = ["", "-prod"].map(|suffix| Service {
        name: format!("_{service}{suffix}._tcp.quorate.test"),
        targets: vec![("m0.quorate.test".to_owned(), port)],
    });
    let dns = Dns::start(folder.path(), "quorate.test", services.into()).unwrap();
    let client = within(&dns, client, folder.path().join("client"));
    let runs = run_all(&script::parse(text), &client, &server, folder.path());
    let (address, port) = (dns.address.to_string(), format!(":{port}"));
    runs.into_iter().map(|run| run.replace(&[(&address, "<dns>"), (&port, ":<port>")])).collect()
}

fn compare_on(server: &Path, text: &str, security: Option<&Arc<Security>>) {
    let (link, site) = (Link::make(), Site::choose());
    let run = |client: &Path| run_with(client, (server, site), text, security.cloned());
    let invocations = script::parse(text);
    must_agree(|| {
        let runs = [run(&program("etcdctl")), run(&link.path("etcdctl"))];
        told(&invocations, ["etcdctl", "quoratectl"], runs)
    });
}

/// In plain text, with servers of both kinds.
#[test]
fn endpoints_come_from_dns() {
    for server in [program("etcd"), quorate_server()] {
        compare_on(&server, include_str!("scripts/discovery.txt"), None);
    }
}

/// With TLS.
#[test]
fn endpoints_come_from_dns_with_tls() {
    let security = Arc::new(Security::make());
    for server in [program("etcd"), quorate_server()] {
        compare_on(&server, include_str!("scripts/discovery_tls.txt"), Some(&security));
    }
}
