//! One side of a comparison: a client program and a fresh server of its own, on a loopback address of its own but with
//! the ports and the peer URL of the other sides, so that ids are equal.

use crate::script::{Invocation, Run};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testbed::{Leaf, Pki, Process, Version, reference};

/// Longest wait for a server to serve; the machine may be busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How many sides can run beside each other: `127.0.0.1` to `127.0.0.4`.
const SIDES_MAX: usize = 4;

/// The real program of the version that quoratectl equals.
pub fn program(name: &str) -> PathBuf {
    reference(Version::V3_7_1, name)
}

/// quorate-server, which the workspace builds beside quoratectl.
pub fn quorate_server() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_quoratectl")).with_file_name("quorate-server");
    assert!(
        path.is_file(),
        "{} is missing. Run `cargo build -p quorate-server`, or `cargo xtask test`.",
        path.display()
    );
    path
}

/// The ports of all sides.
#[derive(Clone, Copy)]
pub struct Site {
    port: u16,
    peer_port: u16,
}

impl Site {
    /// Ports that were free a moment ago on the addresses of all sides.
    pub fn choose() -> Site {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let second = TcpListener::bind("127.0.0.1:0").unwrap();
            let [port, peer_port] =
                [&first, &second].map(|listener| listener.local_addr().unwrap().port());
            let is_free = |number: &usize| {
                let free = |port| TcpListener::bind((address(*number), port)).is_ok();
                free(port) && free(peer_port)
            };
            if (1..SIDES_MAX).all(|number| is_free(&number)) {
                return Site { port, peer_port };
            }
        }
    }
}

fn address(number: usize) -> String {
    format!("127.0.0.{}", number + 1)
}

/// TLS with client certificates: one authority for both sides, the client's certificate says `alice`.
pub struct Security {
    server_flags: Vec<String>,
    /// `--cacert`, `--cert`, `--key`.
    pub client_flags: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Security {
    /// Makes the certificates.
    pub fn make() -> Security {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path()).unwrap();
        let addresses: Vec<String> = (0..SIDES_MAX).map(address).collect();
        // The name is what `discovery.rs` finds in DNS.
        let names: Vec<&str> =
            addresses.iter().map(String::as_str).chain(["m0.quorate.test"]).collect();
        let leaf = Leaf { file: "server", names: &names, ..Leaf::default() };
        let server = pki.issue(&leaf).unwrap();
        let client = pki.client("alice").unwrap();
        Security {
            server_flags: server.server_flags(&pki, ""),
            client_flags: client.client_flags(&pki),
            _folder: folder,
        }
    }

    /// The file that a client flag names.
    pub fn file(&self, flag: &str) -> &str {
        let values = self.client_flags.iter().filter_map(|text| text.split_once('='));
        values.into_iter().find(|(name, _)| *name == flag).map_or("", |(_, file)| file)
    }
}

/// A running server.
pub struct Server {
    process: Process,
    /// `127.0.0.x:port`.
    pub endpoint: String,
    /// The peer URL.
    pub peer_url: String,
    /// How clients have to speak to it.
    pub security: Option<Arc<Security>>,
    data_dir: PathBuf,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a fresh server of side `number` and waits until it serves.
    pub fn start(
        server: &Path,
        site: Site,
        number: usize,
        security: Option<Arc<Security>>,
    ) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = format!("{}:{}", address(number), site.port);
        let scheme = if security.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://{endpoint}");
        let listen = format!("http://{}:{}", address(number), site.peer_port);
        // Ids come from what is advertised; a single member never calls itself.
        let peer = format!("http://{}:{}", address(0), site.peer_port);
        let data_dir = folder.path().join("data");
        let flags = [
            ("data-dir", data_dir.display().to_string()),
            ("listen-client-urls", client.clone()),
            ("advertise-client-urls", client),
            ("listen-peer-urls", listen),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("default={peer}")),
            ("heartbeat-interval", "20".to_owned()),
            ("election-timeout", "200".to_owned()),
            ("logger", "zap".to_owned()),
        ];
        let mut flags: Vec<String> =
            flags.iter().map(|(name, value)| format!("--{name}={value}")).collect();
        // 3.4 does not know it.
        if !server.display().to_string().contains("3.4.23") {
            flags.push("--unsafe-no-fsync".to_owned());
        }
        flags.extend(security.iter().flat_map(|security| security.server_flags.clone()));
        let mut process = Process::new("server", folder.path(), server, &flags);
        process.start().unwrap();
        let mut server = Server { process, endpoint, peer_url: peer, security, data_dir, folder };
        server.wait_until_it_writes();
        server
    }

    fn etcdctl(&self) -> Command {
        let mut command = Command::new(program("etcdctl"));
        command.args(["--endpoints", &self.endpoint]);
        command.args(self.security.iter().flat_map(|security| &security.client_flags));
        command
    }

    /// Waits until a write succeeds, which says more than any log line and works with every release.
    fn wait_until_it_writes(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let mut ask = self.etcdctl();
            ask.args(["--command-timeout", "1s", "endpoint"]);
            if ask.arg("health").output().unwrap().status.success() {
                return;
            }
            let end = self.process.log_end();
            assert!(Instant::now() < deadline, "the server does not start:\n{end}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a 3.6 or newer server has decided its versions, which a status shows.
    pub fn wait_until_decided(&self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let mut ask = self.etcdctl();
            ask.args(["endpoint", "status", "-w", "json"]);
            let output = ask.output().unwrap();
            if String::from_utf8_lossy(&output.stdout).contains("\"storageVersion\":\"3.7.0\"") {
                return;
            }
            assert!(Instant::now() < deadline, "the server decides no version");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server; its data directory lies in the folder that is returned.
    pub fn stop(mut self) -> (PathBuf, tempfile::TempDir) {
        self.process.stop(START_LIMIT).unwrap();
        (self.data_dir, self.folder)
    }
}

/// A client program with a server of its own.
pub struct Side {
    /// For the report.
    pub name: &'static str,
    /// The client.
    pub program: PathBuf,
    /// The server to start.
    pub server: PathBuf,
    /// How they speak.
    pub security: Option<Arc<Security>>,
}

impl Side {
    /// Runs a script; `number` tells the sides apart that run at the same time.
    pub fn run(&self, invocations: &[Invocation], site: Site, number: usize) -> Vec<Run> {
        let server = Server::start(&self.server, site, number, self.security.clone());
        server.wait_until_decided();
        let folder = tempfile::Builder::new().prefix("side").rand_bytes(6).tempdir().unwrap();
        let runs = run_all(invocations, &self.program, &server, folder.path());
        // What differs between the sides by construction.
        let own = server.endpoint.clone();
        let (ip, path) = (address(number), folder.path().display().to_string());
        let first = address(0);
        runs.into_iter()
            .map(|run| run.replace(&[(&path, "<folder>"), (&own, "<endpoint>"), (&ip, &first)]))
            .collect()
    }
}

/// Runs invocations one after the other, but for neighbours that may run beside each other.
pub fn run_all(
    invocations: &[Invocation],
    program: &Path,
    server: &Server,
    folder: &Path,
) -> Vec<Run> {
    let mut made = Vec::new();
    let mut runs = Vec::new();
    for group in invocations.chunk_by(|a, b| a.is_beside && b.is_beside) {
        if let [one] = group {
            runs.push(one.run(program, server, folder, &mut made));
            continue;
        }
        let known = &made;
        let group: Vec<Run> = std::thread::scope(|scope| {
            let start = |one: &'_ Invocation| {
                let (one, mut known) = (one.clone(), Vec::clone(known));
                scope.spawn(move || one.run(program, server, folder, &mut known))
            };
            let threads: Vec<_> = group.iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        runs.extend(group);
    }
    runs
}
