//! Real etcd processes on loopback and free ports, killed with the value that owns them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{Client, Config};
use tempfile::TempDir;

/// Names our own server where a version of etcd could stand.
pub const QUORATE: &str = "quorate";

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Path of a program of a real etcd release, which `cargo xtask reference` puts there.
pub fn tool(version: &str, program: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference");
    let root = std::env::var_os("QUORATE_REFERENCE_DIR").map_or(default, PathBuf::from);
    let path = root.join(version).join(program);
    assert!(path.exists(), "{} is missing: run `cargo xtask reference`", path.display());
    path
}

/// Path of a server: a real etcd by its version, or [`QUORATE`].
pub fn server_binary(version: &str) -> PathBuf {
    if version != QUORATE {
        return tool(version, "etcd");
    }
    let beside =
        Path::new(env!("CARGO_BIN_EXE_quorate-backup-agent")).with_file_name("quorate-server");
    let path = std::env::var_os("QUORATE_TEST_SERVER").map_or(beside, PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo build -p quorate-server`", path.display());
    path
}

/// Ports nobody listens on, all different. They lie below those the system gives to outgoing connections, which would
/// otherwise take one before its server does.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| {
        loop {
            let port = rand::random_range(10_000..32_000);
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                break listener;
            }
        }
    });
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

pub struct Member {
    pub name: String,
    pub client_url: String,
    pub peer_url: String,
    pub data_dir: PathBuf,
    process: Option<Child>,
}

/// A cluster of real etcd members.
pub struct Cluster {
    pub members: Vec<Member>,
    binary: PathBuf,
    directory: TempDir,
}

impl Cluster {
    /// Starts `n` members and waits until all answer.
    pub async fn start(version: &str, n: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let members = (1..=n)
            .map(|number| {
                let [client, peer] = free_ports();
                Member {
                    name: format!("m{number}"),
                    client_url: format!("http://127.0.0.1:{client}"),
                    peer_url: format!("http://127.0.0.1:{peer}"),
                    data_dir: directory.path().join(format!("m{number}")),
                    process: None,
                }
            })
            .collect();
        let mut cluster = Self { members, binary: server_binary(version), directory };
        for index in 0..n {
            cluster.spawn(index, &[]);
        }
        cluster.wait_ready().await;
        cluster
    }

    /// A cluster of one on an existing data directory.
    pub async fn boot(version: &str, data_dir: &Path, name: &str) -> Self {
        let [client, peer] = free_ports();
        let member = Member {
            name: name.to_owned(),
            client_url: format!("http://127.0.0.1:{client}"),
            peer_url: format!("http://127.0.0.1:{peer}"),
            data_dir: data_dir.to_owned(),
            process: None,
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut cluster = Self { members: vec![member], binary: server_binary(version), directory };
        cluster.spawn(0, &[]);
        cluster.wait_ready().await;
        cluster
    }

    pub fn initial_cluster(&self) -> String {
        let one = |member: &Member| format!("{}={}", member.name, member.peer_url);
        self.members.iter().map(one).collect::<Vec<_>>().join(",")
    }

    pub fn endpoints(&self) -> String {
        let urls: Vec<_> = self.members.iter().map(|m| m.client_url.as_str()).collect();
        urls.join(",")
    }

    fn spawn(&mut self, index: usize, extra: &[&str]) {
        let initial_cluster = self.initial_cluster();
        let log = std::fs::File::create(self.directory.path().join(format!("{index}.log")))
            .expect("a log file");
        let member = &mut self.members[index];
        let process = Command::new(&self.binary)
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(&member.data_dir)
            .args(["--listen-client-urls", &member.client_url])
            .args(["--advertise-client-urls", &member.client_url])
            .args(["--listen-peer-urls", &member.peer_url])
            .args(["--initial-advertise-peer-urls", &member.peer_url])
            .args(["--initial-cluster", &initial_cluster])
            .args(extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("etcd starts");
        member.process = Some(process);
    }

    async fn wait_ready(&self) {
        let deadline = Instant::now() + START_TIMEOUT;
        for member in &self.members {
            let client = client(&member.client_url).await;
            loop {
                let status = client.maintenance().status().await;
                if status.is_ok_and(|status| status.leader != 0) {
                    break;
                }
                assert!(Instant::now() < deadline, "{} did not become ready", member.name);
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Kills a member as a power cut would.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().expect("a process to kill");
            process.wait().expect("a process to wait for");
        }
    }

    /// Index of the leader.
    pub async fn leader(&self) -> usize {
        for (index, member) in self.members.iter().enumerate() {
            let status = client(&member.client_url).await.maintenance().status().await;
            let status = status.expect("a status");
            if status.header.expect("a header").member_id == status.leader {
                return index;
            }
        }
        panic!("no leader");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }
}

/// A client of these endpoints.
pub async fn client(endpoints: &str) -> Client {
    Client::connect(Config::new(endpoints.split(','))).await.expect("a client")
}

/// Writes `n` keys of about `size` bytes; returns the last revision.
pub async fn put_many(client: &Client, prefix: &str, n: usize, size: usize) -> i64 {
    let mut revision = 0;
    for index in 0..n {
        let request = pb::PutRequest {
            key: format!("{prefix}/{index:05}").into(),
            value: format!("{index}-{}", "v".repeat(size)).into(),
            ..Default::default()
        };
        let answer = client.kv().put(request).await.expect("a put");
        revision = answer.header.expect("a header").revision;
    }
    revision
}

/// Every key with its value and mod revision, and the store's revision.
pub async fn get_all(client: &Client) -> (BTreeMap<Vec<u8>, (Vec<u8>, i64)>, i64) {
    let request =
        pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
    let answer = client.kv().range(request).await.expect("a range");
    let pair = |kv: quorate_client::proto::mvccpb::KeyValue| {
        (kv.key.to_vec(), (kv.value.to_vec(), kv.mod_revision))
    };
    (answer.kvs.into_iter().map(pair).collect(), answer.header.expect("a header").revision)
}
