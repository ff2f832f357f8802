//! A real etcd member for tests: own temporary directory, own free ports, killed on drop.

use std::path::PathBuf;
use std::time::Duration;
use testbed::{Process, Version, free_ports, reference};

/// Longest wait for a member to serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    free_ports(1).unwrap()[0]
}

/// One etcd member of a cluster of its own.
pub struct Member {
    process: Process,
    // After `process`: the folder goes when nobody writes to it any more.
    dir: tempfile::TempDir,
    port: u16,
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
        let ports = free_ports(2).unwrap();
        let scheme = if has_tls { "https" } else { "http" };
        let socket = if has_tls { "unixs" } else { "unix" };
        let client = format!("{scheme}://127.0.0.1:{}", ports[0]);
        let listen = format!("{client},{socket}://{}/client.sock", dir.path().display());
        let peer = format!("http://127.0.0.1:{}", ports[1]);
        let data_dir = dir.path().join("data").display().to_string();
        let flags = [
            ("data-dir", data_dir),
            ("name", "m".to_owned()),
            ("unsafe-no-fsync", "true".to_owned()),
            ("listen-client-urls", listen),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer.clone()),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("m={peer}")),
            ("heartbeat-interval", "20".to_owned()),
            ("election-timeout", "200".to_owned()),
            ("auto-tls", has_tls.to_string()),
        ];
        let flags: Vec<String> =
            flags.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        let etcd = reference(Version::V3_7_1, "etcd");
        let process = Process::new("m", dir.path(), &etcd, &flags);
        let mut member = Member { process, dir, port: ports[0] };
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
        self.process.kill().unwrap();
    }

    /// Starts the process, again with the same data and ports.
    pub fn run(&mut self) {
        self.process.start().unwrap();
        self.process.wait_ready(START_LIMIT).unwrap();
    }
}
