//! Three members of real etcd with the command lines that they keep when the program is replaced.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testbed::{Cluster, Plan, Process, Version, free_ports, reference};

use super::accounts::{client, open_to_all};
use super::ask;

pub const SERVER: &str = env!("CARGO_BIN_EXE_quorate-server");
/// How long a member may take to serve again. Tests share their machine.
pub const READY_MAX: Duration = Duration::from_secs(60);

/// The cluster and where it lives.
pub struct Stage {
    pub version: Version,
    pub cluster: Cluster,
    pub urls: Vec<String>,
    folder: TempDir,
}

/// What must not change: ids as members tell them.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    cluster: u64,
    members: Vec<u64>,
}

impl Stage {
    pub fn start(version: Version, extra: &[&str]) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        // 3.4 needs to be asked for the log that tells when it is ready.
        let extra: Vec<String> =
            ["--logger=zap"].iter().chain(extra).map(|flag| (*flag).to_owned()).collect();
        let program = reference(version, "etcd");
        let plan = Plan { program: &program, members: 3, folder: folder.path(), extra: &extra };
        let cluster = Cluster::start(&plan).unwrap();
        let urls = cluster.client_urls();
        Stage { version, cluster, urls, folder }
    }

    pub fn data_dir(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("m{}", n + 1))
    }

    /// A file beside the members' directories.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the take-over has put what etcd left.
    pub fn kept_original(&self, n: usize) -> PathBuf {
        let mut kept = std::fs::read_dir(self.data_dir(n)).unwrap().map(|entry| entry.unwrap());
        let is_kept = |name: &str| name.starts_with("member.etcd-");
        let kept = kept.find(|entry| is_kept(&entry.file_name().to_string_lossy()));
        kept.expect("the original is kept").path()
    }

    pub fn kill(&mut self, members: &[usize]) {
        for &n in members {
            self.cluster.members[n].process.kill().unwrap();
        }
    }

    pub fn start_again(&mut self, members: &[usize]) {
        for &n in members {
            self.cluster.members[n].process.start().unwrap();
        }
        for &n in members {
            self.cluster.members[n].process.wait_ready(READY_MAX).unwrap();
        }
    }

    /// The same command lines with another program, for all members.
    pub fn become_quorate(&mut self) {
        for member in &mut self.cluster.members {
            member.process.set_program(Path::new(SERVER));
        }
        self.start_again(&[0, 1, 2]);
    }

    pub async fn identity(&self) -> Identity {
        let mut identity = Identity { cluster: 0, members: Vec::new() };
        // Who it is that asks matters only where authentication is on.
        let root = client(&self.urls, Some("root"), READY_MAX).await;
        for url in &self.urls {
            let member = root.at(url).unwrap().maintenance();
            let status = ask::until("an answer", READY_MAX, async || member.status().await.ok());
            let status = status.await;
            let header = status.header.unwrap();
            identity.cluster = header.cluster_id;
            identity.members.push(header.member_id);
        }
        identity
    }

    /// What the same etcd makes of a copy of a dead member's directory: its revision, and HashKV there. `is_guarded` says
    /// that authentication is on.
    pub async fn hash_of_etcd(&self, n: usize, is_guarded: bool) -> (i64, u32) {
        let copy = self.folder.path().join(format!("copy-{n}"));
        std::fs::remove_dir_all(&copy).ok();
        let copied = Command::new("cp").arg("-r").arg(self.data_dir(n)).arg(&copy).status();
        assert!(copied.unwrap().success());
        let mut etcd = lone_etcd(self.version, self.folder.path(), &copy, n);
        etcd.process.start().unwrap();
        etcd.process.wait_ready(READY_MAX).unwrap();
        let urls = [etcd.client_url];
        if is_guarded {
            open_to_all(&urls[0]).await;
        }
        let revision = ask::same_revision(&urls, READY_MAX).await;
        let hash = ask::hashes(&urls, revision).await[0];
        etcd.process.kill().unwrap();
        (revision, hash)
    }
}

/// A member of etcd that is made its own cluster, on a directory that is there.
fn lone_etcd(version: Version, folder: &Path, data: &Path, n: usize) -> testbed::Member {
    let ports = free_ports(2).unwrap();
    let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
    let flags = [
        format!("--name=m{}", n + 1),
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=m{}={peer}", n + 1),
        "--force-new-cluster".to_owned(),
        "--logger=zap".to_owned(),
    ];
    let process = Process::new("lone", folder, &reference(version, "etcd"), &flags);
    testbed::Member { process, client_url: client }
}
