//! A snapshot of etcd restored into Quorate, a thousand writes, and a snapshot of Quorate restored into etcd.

use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use serde_json::Value;
use testbed::{Version, reference};

use super::ask;
use super::content::{alarm, alarms, fill, leased_keys, put_request, same_rows, save, write_more};
use super::lone::Lone;
use super::stage::{READY_MAX, SERVER};

/// Runs a program that must succeed; what it printed.
fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("ETCDCTL_API", "3").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program:?} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a directory of a snapshot with `quorate-server restore`.
fn restore_with_ours(snapshot: &Path, lone: &Lone, extra: &[&str]) {
    restore_with(Path::new(SERVER), &["restore"], snapshot, lone, extra);
}

fn restore_with(program: &Path, words: &[&str], snapshot: &Path, lone: &Lone, extra: &[&str]) {
    let flag = |name: &str| {
        let prefix = format!("--{name}=");
        lone.flags.iter().find(|flag| flag.starts_with(&prefix)).unwrap().as_str()
    };
    let data = format!("--data-dir={}", lone.data.display());
    let mut args = words.to_vec();
    args.push(snapshot.to_str().unwrap());
    args.extend(["--name=m1", flag("initial-cluster"), flag("initial-advertise-peer-urls"), &data]);
    args.extend(extra);
    run(program, &args);
}

/// Real etcdutl shows the same status of a file as our reader, in the words of two releases.
fn etcdutl_agrees(path: &Path) {
    let status = quorate_etcd_files::snapfile::SnapshotFile::open(path).unwrap().status().unwrap();
    for (version, keys) in [(Version::V3_7_1, status.live_keys), (Version::V3_5_1, status.rows)] {
        let args = ["snapshot", "status", path.to_str().unwrap(), "-w", "json"];
        let theirs: Value =
            serde_json::from_str(&run(&reference(version, "etcdutl"), &args)).unwrap();
        assert_eq!(theirs["hash"], status.hash);
        assert_eq!(theirs["revision"], status.revision);
        assert_eq!(theirs["totalKey"], keys);
        assert_eq!(theirs["totalSize"], status.size);
    }
}

struct Places {
    of_etcd: PathBuf,
    of_quorate: PathBuf,
    of_etcd_again: PathBuf,
}

async fn there_and_back(version: Version) {
    let name = version.name();
    let program = reference(version, "etcd");
    let lone = Lone::new();
    let file = |name: &str| lone.folder.path().join(name);
    let places = Places {
        of_etcd: file("of-etcd"),
        of_quorate: file("of-quorate"),
        of_etcd_again: file("of-etcd-again"),
    };
    let mut etcd = lone.start(&program);
    fill(&lone.url).await;
    alarm(&lone.url, AlarmAction::Activate, 0x77).await;
    let state = lone.state().await;
    let before = save(&lone.url, &places.of_etcd).await;
    etcd.kill().unwrap();
    etcdutl_agrees(&places.of_etcd);

    // There, by our tool and by etcd's own.
    let mut ours = None;
    for is_ours in [false, true] {
        let lone = Lone::new();
        match (is_ours, version) {
            (true, _) => restore_with_ours(&places.of_etcd, &lone, &[]),
            (false, Version::V3_4_23) => {
                let ctl = reference(version, "etcdctl");
                restore_with(&ctl, &["snapshot", "restore"], &places.of_etcd, &lone, &[]);
            }
            (false, _) => {
                let utl = reference(version, "etcdutl");
                restore_with(&utl, &["snapshot", "restore"], &places.of_etcd, &lone, &[]);
            }
        }
        let process = lone.start(Path::new(SERVER));
        assert_eq!(lone.state().await, state, "{name}: HashKV after the way there");
        assert_eq!(alarms(&lone.url).await, [0x77]);
        assert_eq!(leased_keys(&lone.url).await, ["leased"]);
        same_rows(&before, &save(&lone.url, &places.of_quorate).await, name);
        ours = Some((lone, process));
    }
    let (quorate, mut process) = ours.unwrap();
    alarm(&quorate.url, AlarmAction::Deactivate, 0x77).await;
    write_more(&quorate.url, 1000).await;
    let state = quorate.state().await;
    let before = save(&quorate.url, &places.of_quorate).await;
    process.kill().unwrap();
    etcdutl_agrees(&places.of_quorate);

    // And back. An older release starts only on what was made for it.
    let release = name.rsplit_once('.').unwrap().0;
    let mut ways = vec![Some(format!("--for-etcd={release}"))];
    if version == Version::V3_7_1 {
        ways.push(None);
    }
    for way in ways {
        let lone = Lone::new();
        match &way {
            Some(for_etcd) => restore_with_ours(&places.of_quorate, &lone, &[for_etcd]),
            None => {
                let utl = reference(version, "etcdutl");
                restore_with(&utl, &["snapshot", "restore"], &places.of_quorate, &lone, &[]);
            }
        }
        let _etcd = lone.start(&program);
        assert_eq!(lone.state().await, state, "{name}: HashKV after the way back");
        assert_eq!(leased_keys(&lone.url).await, ["leased"]);
        assert!(alarms(&lone.url).await.is_empty());
        same_rows(&before, &save(&lone.url, &places.of_etcd_again).await, name);
        ask::kv(&lone.url, READY_MAX).put(put_request("after", "all")).await.unwrap();
    }
}

/// Of and to 3.7.
#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_3_7() {
    there_and_back(Version::V3_7_1).await;
}

/// Of and to 3.5.
#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_3_5() {
    there_and_back(Version::V3_5_1).await;
}

/// Of and to 3.4.
#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_3_4() {
    there_and_back(Version::V3_4_23).await;
}
