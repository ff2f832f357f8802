//! Real clusters for tests, of etcd or of a server that takes its flags: own temporary folder, own ports, members that
//! can be killed, paused and started again; everything is killed on drop. Also used by the dashboard's tests.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testbed::{Process, Version, reference};

/// Longest wait for a member to serve; the machine may be busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(40);

/// Ports are taken below the range from which the system takes ports for outgoing connections: a client that knocks at
/// a stopped member's door could otherwise be given that very port.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What is special about a cluster.
pub struct Setup {
    /// The server to run: etcd, or one that takes its flags.
    pub server: PathBuf,
    pub n_members: usize,
    /// Added to every member's command line.
    pub flags: Vec<String>,
}

/// A running cluster with members `n1`, `n2`, ….
pub struct Cluster {
    members: Vec<Member>,
    // After the members: the folder goes when nobody writes to it any more.
    _folder: tempfile::TempDir,
}

struct Member {
    port: u16,
    process: Process,
}

impl Cluster {
    /// Starts etcd 3.7.1 with this many members and waits until all serve.
    pub fn start(n_members: usize) -> Self {
        let server = reference(Version::V3_7_1, "etcd");
        Self::start_as(Setup { server, n_members, flags: Vec::new() })
    }

    /// Starts a cluster and waits until all members serve.
    pub fn start_as(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let ports: Vec<(u16, u16)> =
            (0..setup.n_members).map(|_| (free_port(), free_port())).collect();
        let peers = ports.iter().enumerate();
        let initial: Vec<String> =
            peers.map(|(at, (_, peer))| format!("n{}={}", at + 1, url(*peer))).collect();
        let member = |(at, (port, peer)): (usize, &(u16, u16))| {
            let (name, client, peer) = (format!("n{}", at + 1), url(*port), url(*peer));
            let flags = [
                ("data-dir", folder.path().join(&name).display().to_string()),
                ("name", name.clone()),
                ("logger", "zap".to_owned()),
                ("listen-client-urls", client.clone()),
                ("advertise-client-urls", client),
                ("listen-peer-urls", peer.clone()),
                ("initial-advertise-peer-urls", peer),
                ("initial-cluster", initial.join(",")),
            ];
            let mut flags: Vec<String> =
                flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
            flags.extend(setup.flags.iter().cloned());
            let process = Process::new(&name, folder.path(), &setup.server, &flags);
            Member { port: *port, process }
        };
        let members = ports.iter().enumerate().map(member).collect();
        let mut cluster = Self { members, _folder: folder };
        for member in &mut cluster.members {
            member.process.start().expect("the server starts");
        }
        for at in 0..cluster.members.len() {
            cluster.wait_until_serving(at);
        }
        cluster
    }

    /// The member's client endpoint.
    pub fn endpoint(&self, at: usize) -> String {
        format!("127.0.0.1:{}", self.members[at].port)
    }

    /// All endpoints.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|at| self.endpoint(at)).collect()
    }

    /// Kills a member as a crash would.
    pub fn kill(&mut self, at: usize) {
        self.members[at].process.kill().expect("the process is ours");
    }

    /// Starts a killed member again.
    pub fn restart(&mut self, at: usize) {
        self.members[at].process.start().expect("the server starts");
        self.wait_until_serving(at);
    }

    /// Stops a member without ending it: it answers nothing, but its connections stay open.
    pub fn pause(&self, at: usize) {
        self.members[at].process.signal(Signal::STOP).expect("the process is ours");
    }

    /// Lets a paused member go on.
    pub fn resume(&self, at: usize) {
        self.members[at].process.signal(Signal::CONT).expect("the process is ours");
    }

    fn wait_until_serving(&self, at: usize) {
        let deadline = Instant::now() + START_LIMIT;
        // What 3.4 to 3.7 all say.
        while !self.members[at].process.log_text().contains("serving client traffic") {
            let end = self.members[at].process.log_end();
            assert!(Instant::now() < deadline, "n{} does not start:\n{end}", at + 1);
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}
