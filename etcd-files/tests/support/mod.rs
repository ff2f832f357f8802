//! Real etcd for tests: finds the reference binaries, starts servers on free ports, runs the command-line tools.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program of one release.
///
/// Looked up in `$QUORATE_REFERENCE_DIR/<version>/<program>`, by default under `target/reference` of the workspace.
pub fn program(version: &str, name: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference");
    let root = std::env::var_os("QUORATE_REFERENCE_DIR").map_or(default, PathBuf::from);
    let path = root.join(version).join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask reference` once, or set QUORATE_REFERENCE_DIR",
        path.display()
    );
    path
}

/// A tool with more time than its five seconds: the machine may be busy.
pub fn tool(version: &str, name: &str) -> Command {
    let mut command = Command::new(program(version, name));
    command.env("ETCDCTL_COMMAND_TIMEOUT", "60s").env("ETCDCTL_DIAL_TIMEOUT", "30s");
    command
}

/// Runs a tool to its end and returns its standard output; panics with its standard error where it fails.
pub fn run(version: &str, name: &str, args: &[&str]) -> String {
    let output = tool(version, name).args(args).env("ETCD_VERIFY", "all").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// A running etcd of one member; killed when dropped.
pub struct Etcd {
    version: &'static str,
    child: Child,
    pub client_url: String,
}

/// Peer URL that every test member advertises. Nothing listens there: a single member needs no peers.
pub const PEER_URL: &str = "http://127.0.0.1:2380";

impl Etcd {
    /// Starts a server on `data_dir` and waits until it answers.
    pub fn start(version: &'static str, data_dir: &Path, extra: &[&str]) -> Etcd {
        Etcd::start_as(version, data_dir, extra, &[])
    }

    /// Starts a server whose data demands a password; `user` is `name:password`.
    #[allow(dead_code, reason = "not every test binary has passwords")]
    pub fn start_with_auth(version: &'static str, data_dir: &Path, user: &str) -> Etcd {
        Etcd::start_as(version, data_dir, &[], &["--user", user])
    }

    fn start_as(version: &'static str, data_dir: &Path, extra: &[&str], login: &[&str]) -> Etcd {
        let ports = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
        let [client_url, peer_url] = ports;
        let log = std::fs::File::create(data_dir.with_extension("log")).unwrap();
        let child = Command::new(program(version, "etcd"))
            .args(["--name", "m1", "--logger", "zap", "--data-dir"])
            .arg(data_dir)
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", PEER_URL])
            .args(["--initial-cluster", &format!("m1={PEER_URL}")])
            .args(extra)
            .env("ETCD_VERIFY", "all")
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut etcd = Etcd { version, child, client_url };
        etcd.wait_until_ready(data_dir, login);
        etcd
    }

    fn wait_until_ready(&mut self, data_dir: &Path, login: &[&str]) {
        let address = self.client_url.trim_start_matches("http://").to_owned();
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(data_dir.with_extension("log")).unwrap();
                panic!("etcd {} does not come up: {log}", self.version);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // A linearizable read waits for the leader.
        self.ctl(&[login, &["get", "is-there-a-leader"]].concat());
    }

    /// Runs `etcdctl` of the same release against this server.
    pub fn ctl(&self, args: &[&str]) -> String {
        let mut all = vec!["--endpoints", &self.client_url];
        all.extend(args);
        run(self.version, "etcdctl", &all)
    }

    /// Runs `etcdctl` and says whether it succeeded.
    #[allow(dead_code, reason = "not every test binary expects failures")]
    pub fn try_ctl(&self, args: &[&str]) -> bool {
        let mut command = tool(self.version, "etcdctl");
        command.args(["--endpoints", &self.client_url]).args(args);
        command.output().unwrap().status.success()
    }

    /// Puts a key through `etcdctl`.
    pub fn put(&self, key: &str, value: &str) {
        self.ctl(&["put", key, value]);
    }

    /// Kills the server as a crash would.
    #[allow(dead_code, reason = "not every test binary kills")]
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // Already gone after `kill`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
