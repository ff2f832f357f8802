//! A take-over of a real etcd's directory that is killed, runs out of disk, or meets a directory that it must not touch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use testbed::{Version, reference};

use super::lone::Lone;
use super::stage::SERVER;

/// Puts that make a database of which a take-over takes a while.
const KEYS: usize = 600;

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
