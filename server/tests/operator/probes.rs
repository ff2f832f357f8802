//! What a member's keepers meet: probes of one that is not ready, whose metrics port answers and whose client port takes
//! calls and lets them wait (a probe that is refused has it restarted, again and again); and their own files beside its.

use super::stage::{Lone, PATIENCE, SERVER, lone, lone_on};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};
use testbed::{Version, free_ports, reference};

/// A page of an address, head and body in one; an error after `patience`.
fn page(address: &str, path: &str, patience: Duration) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(patience))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The first of three members, whose others never come, and its metrics port.
fn alone(program: &Path, folder: &Path) -> (Lone, String) {
    let ports = free_ports(5).unwrap();
    let metrics = format!("127.0.0.1:{}", ports[2]);
    let peer = |name: &str, port: u16| format!("{name}=http://127.0.0.1:{port}");
    let cluster = [peer("a", ports[1]), peer("b", ports[3]), peer("c", ports[4])].join(",");
    let flags =
        [format!("--listen-metrics-urls=http://{metrics}"), format!("--initial-cluster={cluster}")];
    let mut member = lone_on(program, folder, "a", &ports, &flags);
    member.process.start().unwrap();
    (member, metrics)
}

/// Status line and body of every page of the metrics port, as soon as there is one.
fn pages(metrics: &str) -> Vec<(String, String)> {
    let start = Instant::now();
    while page(metrics, "/livez", Duration::from_secs(20)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "no metrics port");
        std::thread::sleep(Duration::from_millis(50));
    }
    let seen = ["/livez", "/readyz", "/health", "/version", "/readyz/non_learner"].map(|path| {
        let answer = page(metrics, path, Duration::from_secs(60)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let lines = body.lines().filter(|line| u64::from_str_radix(line, 16).is_err());
        // etcd says its checks in any order.
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        (head.lines().next().unwrap().to_owned(), lines.join("\n"))
    });
    let page = page(metrics, "/metrics", Duration::from_secs(20)).unwrap();
    assert!(page.contains("\netcd_server_has_leader 0"), "{page}");
    seen.into()
}

/// Without a quorum a member is alive, not ready, and not healthy, and says why; a call waits. As with etcd.
#[test]
fn a_member_without_a_quorum_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    let both = [(&*etcd, "etcd"), (Path::new(SERVER), "quorate")].map(|(program, name)| {
        let (member, metrics) = alone(program, &folder.path().join(name));
        let seen = pages(&metrics);
        let client = member.client.trim_start_matches("http://");
        let waited = page(client, "/version", Duration::from_secs(1)).unwrap_err();
        assert_eq!(waited.kind(), std::io::ErrorKind::WouldBlock, "{name}");
        seen
    });
    assert_eq!(both[0], both[1]);
    assert_eq!(both[1][0], ("HTTP/1.1 200 OK".to_owned(), "ok".to_owned()));
}

/// Files of others beside `member` are warned of and stop neither the first start nor a later one, as with etcd: a saved
/// snapshot, a log file, a log directory. Nor do the signals of those who rotate log files.
#[test]
fn other_files_in_the_data_directory_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("snapshot.db"), "kept").unwrap();
    let flags = [
        format!("--wal-dir={}", data.join("wal").display()),
        format!("--log-outputs=stderr,{}", data.join("etcd.log").display()),
    ];
    let mut member = lone(Path::new(SERVER), folder.path(), "a", &flags);
    for _ in 0..2 {
        member.process.start().unwrap();
        member.process.wait_ready(PATIENCE).unwrap();
        for rotation in [Signal::USR1, Signal::USR2] {
            member.process.signal(rotation).unwrap();
        }
        let log = member.process.log_text();
        assert!(log.contains("found invalid file under data directory"), "{log}");
        member.process.stop(PATIENCE).unwrap();
    }
    assert_eq!(std::fs::read(data.join("snapshot.db")).unwrap(), b"kept");
}
