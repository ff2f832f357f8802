//! A take-over of a real etcd's directory that is killed, runs out of disk, or meets a directory that it must not touch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use testbed::{Process, Version, free_ports, reference};

use super::ask;
use super::stage::{READY_MAX, SERVER};

/// Rows of the database, large enough that a take-over takes a while.
const KEYS: usize = 600;
const VALUE_BYTES: usize = 16 * 1024;

/// A member of a cluster of one, whatever runs it.
struct Lone {
    folder: TempDir,
    data: PathBuf,
    flags: Vec<String>,
    url: String,
}

impl Lone {
    fn new() -> Lone {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let ports = free_ports(2).unwrap();
        let [url, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        let flags = [
            "--name=m1".to_owned(),
            "--logger=zap".to_owned(),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=m1={peer}"),
        ];
        Lone { folder, data, flags: flags.into(), url }
    }

    fn process(&self, program: &Path) -> Process {
        let data = [format!("--data-dir={}", self.data.display())];
        let flags: Vec<String> = self.flags.iter().chain(&data).cloned().collect();
        Process::new("m1", self.folder.path(), program, &flags)
    }

    fn start(&self, program: &Path) -> Process {
        let mut process = self.process(program);
        process.start().unwrap();
        process.wait_ready(READY_MAX).unwrap();
        process
    }

    async fn put(&self, keys: usize) {
        let mut kv = ask::kv(&self.url, READY_MAX);
        for n in 0..keys {
            let put = quorate_proto::etcdserverpb::PutRequest {
                key: format!("k{n}").into(),
                value: vec![b'v'; VALUE_BYTES].into(),
                ..Default::default()
            };
            kv.put(put).await.unwrap();
        }
    }

    /// Revision and HashKV of what runs.
    async fn state(&self) -> (i64, u32) {
        let urls = std::slice::from_ref(&self.url);
        let revision = ask::same_revision(urls, READY_MAX).await;
        (revision, ask::hashes(urls, revision).await[0])
    }

    fn moved(&self) -> bool {
        fs::read_dir(&self.data)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("member.etcd-"))
    }
}

/// kill -9 at a random moment, again and again, until a take-over got through: the data are etcd's all the time, and in
/// the end ours.
#[tokio::test(flavor = "multi_thread")]
async fn killed_take_overs_can_be_started_again() {
    let lone = Lone::new();
    let mut etcd = lone.start(&reference(Version::V3_7_1, "etcd"));
    lone.put(KEYS).await;
    let state = lone.state().await;
    etcd.kill().unwrap();
    let mut killed = 0;
    for delay in (0..40).map(|n| Duration::from_millis(n * n)) {
        let mut process = lone.process(Path::new(SERVER));
        process.start().unwrap();
        std::thread::sleep(delay);
        process.kill().unwrap();
        killed += usize::from(lone.data.join("member.takeover").exists());
        if lone.moved() {
            break;
        }
        assert!(lone.data.join("member/snap/db").is_file());
    }
    assert!(killed > 0, "none was killed in the middle");
    let _running = lone.start(Path::new(SERVER));
    assert_eq!(lone.state().await, state);
    assert!(lone.moved() && !lone.data.join("member.takeover").exists());
}

/// A disk without room: the start fails and says so, etcd can be started on what it left, and with room all goes well.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_etcd_its_directory() {
    let mut lone = Lone::new();
    let mount = lone.folder.path().join("small");
    fs::create_dir(&mount).unwrap();
    let tmpfs = |options: &str| {
        let mut mounted = Command::new("mount");
        mounted.args(["-t", "tmpfs", "-o", options, "none"]).arg(&mount);
        assert!(mounted.status().unwrap().success(), "a full disk is tested as root");
    };
    // etcd makes segments of 64 MB, and the next one ahead.
    tmpfs("size=200m");
    let _unmount = Unmount(mount.clone());
    lone.data = mount.join("data");
    let program = reference(Version::V3_5_1, "etcd");
    let mut etcd = lone.start(&program);
    lone.put(400).await;
    let state = lone.state().await;
    etcd.kill().unwrap();
    // Less room than what has to be built.
    let filler = mount.join("filler");
    let room = rustix::fs::statvfs(&mount).unwrap();
    let room = room.f_bavail * room.f_frsize;
    fs::write(&filler, vec![1; usize::try_from(room).unwrap() - (4 << 20)]).unwrap();
    let mut process = lone.process(Path::new(SERVER));
    process.start().unwrap();
    assert!(!process.wait().unwrap().success());
    let log = fs::read_to_string(&process.log).unwrap();
    assert!(log.contains("which is as it was") && log.contains("pace"), "{log}");
    fs::remove_file(&process.log).unwrap();
    assert!(!lone.moved() && !lone.data.join("member.takeover").exists());
    fs::remove_file(&filler).unwrap();

    let mut etcd = lone.start(&program);
    assert_eq!(lone.state().await, state);
    etcd.kill().unwrap();
    tmpfs("remount,size=600m");
    let _running = lone.start(Path::new(SERVER));
    assert_eq!(lone.state().await, state);
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// etcd that still runs keeps its directory.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_etcd_keeps_its_directory() {
    let lone = Lone::new();
    let mut etcd = lone.start(&reference(Version::V3_4_23, "etcd"));
    lone.put(3).await;
    let mut other = Lone::new();
    other.data.clone_from(&lone.data);
    let mut process = other.process(Path::new(SERVER));
    process.start().unwrap();
    assert!(!process.wait().unwrap().success());
    let log = fs::read_to_string(&process.log).unwrap();
    assert!(log.contains("running etcd") && log.contains("Stop it first"), "{log}");
    lone.put(3).await;
    assert!(etcd.is_running());
}
