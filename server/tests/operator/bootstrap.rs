//! How a cluster finds itself: the discovery service, DNS; and what a member tells systemd.

use super::stage::{Caller, Lone, PATIENCE, SERVER, lone, ours, start};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use testbed::{Cluster, Dns, Process, Service, Version, free_ports, reference};

fn member(folder: &Path, name: &str, service: &Cluster) -> Lone {
    let endpoints = service.client_urls().join(",");
    let flags = [format!("--discovery-endpoints={endpoints}"), "--discovery-token=tok".to_owned()];
    lone(Path::new(SERVER), folder, name, &flags)
}

/// Three members find each other through a service; a fourth is too many, and a token without a size is refused.
async fn discover(service: &Cluster, folder: &Path) {
    let caller = Caller::to(&service.client_urls()[0]).await;
    let mut early = member(folder, "early", service);
    early.process.start().unwrap();
    let refused = early.process.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("discovery: size key not found"), "{refused}");

    caller.put("/_etcd/registry/tok/_config/size", "3").await.unwrap();
    let mut members: Vec<Lone> =
        ["a", "b", "c"].into_iter().map(|name| member(folder, name, service)).collect();
    for member in &mut members {
        member.process.start().unwrap();
    }
    for member in &mut members {
        member.process.wait_ready(PATIENCE).unwrap();
    }
    let first = Caller::to(&members[0].client).await;
    first.put("k", "v").await.unwrap();
    assert_eq!(first.members(true).await.len(), 3);

    let mut fourth = member(folder, "d", service);
    fourth.process.start().unwrap();
    let refused = fourth.process.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("discovery: cluster is full"), "{refused}");
    assert!(refused.contains("exit status: 1"), "{refused}");
    assert!(!folder.join("d").exists(), "a refused start leaves a directory");

    // What is in the directory wins: the service is not asked again.
    let restarted = &mut members[1].process;
    restarted.kill().unwrap();
    restarted.start().unwrap();
    restarted.wait_ready(PATIENCE).unwrap();
}

/// The discovery service is etcd.
#[tokio::test]
async fn members_meet_at_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    let service = start(&etcd, &folder.path().join("service"), 1, &[]);
    discover(&service, &folder.path().join("members")).await;
}

/// A service with a certificate that nobody signed is good enough where a flag says so.
#[tokio::test]
async fn an_unverified_service_is_taken_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_ports(1).unwrap()[0]);
    let (plain, secure) = (format!("http://{address}"), format!("https://{address}"));
    let flags = [
        format!("--listen-client-urls={plain},{secure}"),
        format!("--advertise-client-urls={plain}"),
        "--auto-tls".to_owned(),
    ];
    let mut service = lone(Path::new(SERVER), &folder.path().join("service"), "service", &flags);
    service.process.start().unwrap();
    service.process.wait_ready(PATIENCE).unwrap();
    let caller = Caller::to(&plain).await;
    caller.put("/_etcd/registry/tok/_config/size", "1").await.unwrap();
    let flags = [
        format!("--discovery-endpoints={secure}"),
        "--discovery-token=tok".to_owned(),
        "--discovery-insecure-transport=false".to_owned(),
        "--discovery-insecure-skip-tls-verify".to_owned(),
    ];
    let mut member = lone(Path::new(SERVER), folder.path(), "a", &flags);
    member.process.start().unwrap();
    member.process.wait_ready(PATIENCE).unwrap();
}

/// The discovery service is Quorate, and etcd members meet Quorate's there: one registry, one form of its rows.
#[tokio::test]
async fn members_meet_at_quorate() {
    let folder = tempfile::tempdir().unwrap();
    let service = ours(&folder.path().join("service"), 1, &[]);
    discover(&service, &folder.path().join("members")).await;
    let caller = Caller::to(&service.client_urls()[0]).await;
    caller.put("/_etcd/registry/etcd/_config/size", "1").await.unwrap();
    let endpoints = format!("--discovery-endpoints={}", service.client_urls()[0]);
    let flags = [endpoints, "--discovery-token=etcd".to_owned()];
    let etcd = reference(Version::V3_7_1, "etcd");
    let mut etcd = lone(&etcd, &folder.path().join("etcd"), "real", &flags);
    etcd.process.start().unwrap();
    etcd.process.wait_ready(PATIENCE).unwrap();
}

/// The discovery service speaks TLS and demands a certificate: members that show one and know the authority meet there;
/// one that knows neither does not get in. The service is etcd, and Quorate.
#[tokio::test]
async fn members_meet_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pki = testbed::Pki::new(&folder.path().join("pki")).unwrap();
    let pair = pki.client("member").unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    for (kind, program) in [("etcd", etcd.as_path()), ("ours", Path::new(SERVER))] {
        let folder = folder.path().join(kind);
        std::fs::create_dir_all(&folder).unwrap();
        let plan = testbed::Plan { program, members: 1, folder: &folder, extra: &[] };
        let service = Cluster::start_tls(&plan, &pki).unwrap();
        let endpoints = service.client_urls().join(",");
        let etcdctl = std::process::Command::new(reference(Version::V3_7_1, "etcdctl"))
            .args([format!("--endpoints={endpoints}"), "--command-timeout=60s".to_owned()])
            .args(pair.client_flags(&pki))
            .args(["put", "/_etcd/registry/tok/_config/size", "2"])
            .output()
            .unwrap();
        assert!(etcdctl.status.success(), "{etcdctl:?}");
        let known = [
            format!("--discovery-endpoints={endpoints}"),
            "--discovery-token=tok".to_owned(),
            "--discovery-insecure-transport=false".to_owned(),
        ];
        let shown = [
            format!("--discovery-cacert={}", pki.ca().display()),
            format!("--discovery-cert={}", pair.cert.display()),
            format!("--discovery-key={}", pair.key.display()),
        ];
        let mut stranger = lone(Path::new(SERVER), &folder, "stranger", &known);
        stranger.process.start().unwrap();
        let flags = [known.as_slice(), &shown].concat();
        let mut members: Vec<Lone> = ["a", "b"]
            .into_iter()
            .map(|name| lone(Path::new(SERVER), &folder, name, &flags))
            .collect();
        for member in &mut members {
            member.process.start().unwrap();
        }
        for member in &mut members {
            member.process.wait_ready(PATIENCE).unwrap();
        }
        let names: Vec<String> = Caller::to(&members[0].client)
            .await
            .members(true)
            .await
            .into_iter()
            .map(|member| member.name)
            .collect();
        assert!(names.len() == 2 && !names.contains(&"stranger".to_owned()), "{kind}: {names:?}");
        assert!(!stranger.process.log_text().contains("ready to serve"), "{kind}");
        stranger.process.kill().unwrap();
    }
}

/// systemd hears that the member is ready, that it lives, and that it stops.
#[test]
fn systemd_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut member = lone(Path::new(SERVER), folder.path(), "m", &[]);
    member.process = member
        .process
        .with_variable("NOTIFY_SOCKET", &path.to_string_lossy())
        .with_variable("WATCHDOG_USEC", "200000");
    let hear = || {
        let mut buffer = [0; 256];
        let n = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    };
    member.process.start().unwrap();
    assert_eq!(hear(), "READY=1");
    assert_eq!((hear(), hear()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
    member.process.stop(PATIENCE).unwrap();
    let mut last = hear();
    while last == "WATCHDOG=1" {
        last = hear();
    }
    assert_eq!(last, "STOPPING=1");
}

/// Three members find each other by SRV records, which they ask of a DNS server on loopback; each sees it as its
/// system's own, in a mount namespace, which takes root.
#[tokio::test]
async fn members_meet_through_dns() {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(6).unwrap();
    let (peers, clients) = ports.split_at(3);
    let host = |n: usize| format!("m{n}.quorate.test");
    let name = "_etcd-server._tcp.quorate.test".to_owned();
    let targets = peers.iter().enumerate().map(|(n, port)| (host(n), *port)).collect();
    let service = Service { name, targets };
    let dns = Dns::start(folder.path(), "quorate.test", vec![service]).unwrap();
    let member = |n: usize| {
        let client = format!("http://127.0.0.1:{}", clients[n]);
        let flags = [
            format!("--name=m{n}"),
            format!("--data-dir={}", folder.path().join(format!("m{n}")).display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{}", peers[n]),
            format!("--initial-advertise-peer-urls=http://{}:{}", host(n), peers[n]),
            "--discovery-srv=quorate.test".to_owned(),
        ];
        let arguments = [&dns.arguments(Path::new(SERVER))[..], &flags[..]].concat();
        Process::new(&format!("m{n}"), folder.path(), Path::new("unshare"), &arguments)
    };
    let mut members: Vec<Process> = (0..3).map(member).collect();
    for member in &mut members {
        member.start().unwrap();
    }
    for member in &mut members {
        member.wait_ready(PATIENCE).unwrap();
    }
    let first = Caller::to(&format!("http://127.0.0.1:{}", clients[0])).await;
    first.put("k", "v").await.unwrap();
    assert_eq!(first.members(true).await.len(), 3);
}
