//! Real clusters for tests, of etcd or of a server that takes its flags: own temporary folder, own ports, members that can be killed, paused and started
//! again; everything is killed on drop. Also used by the dashboard's tests.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for a member to serve; the machine may be busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(40);

/// Ports are taken below the range from which the system takes ports for outgoing connections: a client that knocks at
/// a stopped member's door could otherwise be given that very port.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

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
    setup: Setup,
    folder: tempfile::TempDir,
    members: Vec<Member>,
}

struct Member {
    port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl Cluster {
    /// Starts etcd 3.7.1 with this many members and waits until all serve.
    pub fn start(n_members: usize) -> Self {
        let server = program("3.7.1", "etcd");
        Self::start_as(Setup { server, n_members, flags: Vec::new() })
    }

    /// Starts a cluster and waits until all members serve.
    pub fn start_as(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let member = |_| Member { port: free_port(), peer_port: free_port(), child: None };
        let members = (0..setup.n_members).map(member).collect();
        let mut cluster = Self { setup, folder, members };
        for at in 0..cluster.members.len() {
            cluster.spawn(at);
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
        if let Some(mut child) = self.members[at].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a killed member again.
    pub fn restart(&mut self, at: usize) {
        self.spawn(at);
        self.wait_until_serving(at);
    }

    /// Stops a member without ending it: it answers nothing, but its connections stay open.
    pub fn pause(&self, at: usize) {
        self.signal(at, Signal::STOP);
    }

    /// Lets a paused member go on.
    pub fn resume(&self, at: usize) {
        self.signal(at, Signal::CONT);
    }

    fn signal(&self, at: usize, signal: Signal) {
        let child = self.members[at].child.as_ref().expect("the member runs");
        kill_process(Pid::from_child(child), signal).expect("the process is ours");
    }

    fn log(&self, at: usize) -> PathBuf {
        self.folder.path().join(format!("n{}.log", at + 1))
    }

    fn spawn(&mut self, at: usize) {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let members = self.members.iter().enumerate();
        let initial: Vec<_> =
            members.map(|(at, m)| format!("n{}={}", at + 1, url(m.peer_port))).collect();
        let (client, peer) = (url(self.members[at].port), url(self.members[at].peer_port));
        let log = File::create(self.log(at)).expect("the folder is writable");
        let name = format!("n{}", at + 1);
        let child = Command::new(&self.setup.server)
            .arg("--data-dir")
            .arg(self.folder.path().join(&name))
            .args(["--name", &name, "--logger", "zap"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &initial.join(",")])
            .args(&self.setup.flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.members[at].child = Some(child);
    }

    fn wait_until_serving(&self, at: usize) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let log = std::fs::read_to_string(self.log(at)).unwrap_or_default();
            // What 3.4 to 3.7 all say.
            if log.contains("serving client traffic") {
                return;
            }
            assert!(Instant::now() < deadline, "n{} does not start:\n{log}", at + 1);
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at);
        }
    }
}
