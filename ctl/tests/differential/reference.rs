//! Real etcd servers for the suite: own temporary directory, own random ports, killed on drop.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a server to serve.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Path of a real program; fails with advice if it is missing.
pub fn program(version: &str, name: &str) -> PathBuf {
    let root = std::env::var_os("QUORATE_REFERENCE_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/reference"),
        PathBuf::from,
    );
    let path = root.join(version).join(name);
    assert!(
        path.is_file(),
        "{} is missing. Run `cargo xtask reference`, or set QUORATE_REFERENCE_DIR.",
        path.display()
    );
    path
}

/// The addresses both sides' servers use, one after the other: equal peer URLs make equal ids.
pub struct Site {
    /// Client port.
    pub port: u16,
    /// Peer port.
    pub peer_port: u16,
}

impl Site {
    /// Ports that were free a moment ago.
    pub fn choose() -> Site {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, peer_port] = listeners.map(|listener| listener.local_addr().unwrap().port());
        Site { port, peer_port }
    }
}

/// A running server.
pub struct Server {
    child: Child,
    /// `127.0.0.1:port`.
    pub endpoint: String,
    /// The peer URL.
    pub peer_url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a fresh server and waits until it has decided its versions.
    pub fn start(server: &Path, site: &Site) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let client = format!("http://127.0.0.1:{}", site.port);
        let peer = format!("http://127.0.0.1:{}", site.peer_port);
        let child = Command::new(server)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"])
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let endpoint = format!("127.0.0.1:{}", site.port);
        let server = Server { child, endpoint, peer_url: peer, _folder: folder };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("ready to serve client requests") && server.is_decided() {
                return server;
            }
            assert!(Instant::now() < deadline, "the server does not start:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Server {
    fn is_decided(&self) -> bool {
        let output = Command::new(program("3.7.1", "etcdctl"))
            .args(["--endpoints", &self.endpoint, "endpoint", "status", "-w", "json"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"storageVersion\":\"3.7.0\"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
