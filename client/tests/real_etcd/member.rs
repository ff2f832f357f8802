//! Starts real etcd members for tests: own temporary directory, own random ports, killed on drop.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a member to serve.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Path of a real program, for example `program("3.7.1", "etcd")`.
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

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One etcd member of a cluster of its own.
pub struct Member {
    child: Option<Child>,
    dir: tempfile::TempDir,
    port: u16,
    peer_port: u16,
    has_tls: bool,
}

impl Member {
    /// Starts a member and waits until it serves.
    pub fn start() -> Member {
        Member::start_as(false)
    }

    /// Starts a member that speaks TLS with a certificate of its own making.
    pub fn start_with_tls() -> Member {
        Member::start_as(true)
    }

    fn start_as(has_tls: bool) -> Member {
        let dir = tempfile::tempdir().unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let mut member = Member { child: None, dir, port, peer_port, has_tls };
        member.run();
        member
    }

    /// A unix socket on which the member listens besides.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("client.sock")
    }

    /// `127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts the process, again with the same data and ports.
    pub fn run(&mut self) {
        let log = File::create(self.dir.path().join("log")).unwrap();
        let scheme = if self.has_tls { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let socket = if self.has_tls { "unixs" } else { "unix" };
        let listen = format!("{client},{socket}://{}", self.socket().display());
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let child = Command::new(program("3.7.1", "etcd"))
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--name", "m", "--unsafe-no-fsync"])
            .args(["--listen-client-urls", &listen, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("m={peer}")])
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .arg(format!("--auto-tls={}", self.has_tls))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            if log.contains("ready to serve client requests") {
                return;
            }
            assert!(Instant::now() < deadline, "etcd does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
