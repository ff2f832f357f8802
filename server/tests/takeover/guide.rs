//! The commands of `docs/migration.md`, run as they stand there, by a shell, with real etcd and its tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::{Version, reference};

use super::ask;
use super::lone::Lone;
use super::stage::{READY_MAX, SERVER};

/// Stands in for systemd: units are the two programs with the same flags.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
set -euo pipefail
pid="$UNITS/$2.pid"
case "$1" in
start)
    case "$2" in etcd) program=$ETCD ;; quorate) program=$QUORATE ;; esac
    mapfile -t flags < "$UNITS/flags"
    : > "$UNITS/$2.log"
    "$program" "${flags[@]}" > "$UNITS/$2.log" 2>&1 &
    echo $! > "$pid"
    until grep -Eq 'ready to serve client requests|embed/serve.go.*serving client traffic' "$UNITS/$2.log"; do
        kill -0 "$(cat "$pid")" || { cat "$UNITS/$2.log"; exit 1; }
        sleep 0.05
    done ;;
stop)
    kill "$(cat "$pid")"
    while kill -0 "$(cat "$pid")" 2> /dev/null; do sleep 0.05; done
    rm "$pid" ;;
esac
"#;

/// The shell blocks of a section of the guide, joined. Blocks for later are left out.
fn section(title: &str) -> String {
    let guide = include_str!("../../../docs/migration.md");
    let mut lines = guide.lines().skip_while(|line| line.trim_start_matches('#').trim() != title);
    assert!(lines.next().is_some(), "the guide has no section {title:?}");
    let mut commands = String::new();
    let mut is_inside = false;
    for line in lines.take_while(|line| !line.starts_with('#')) {
        match line.trim() {
            "```sh" => is_inside = true,
            "```" => is_inside = false,
            command if is_inside => {
                commands.push_str(command);
                commands.push('\n');
            }
            _ => {}
        }
    }
    assert!(!commands.is_empty(), "section {title:?} has no commands");
    commands
}

/// One machine on which the guide is followed.
struct Machine {
    lone: Lone,
    units: PathBuf,
    version: Version,
}

impl Machine {
    fn new(version: Version) -> Machine {
        let lone = Lone::new();
        let units = lone.folder.path().join("units");
        fs::create_dir_all(units.join("bin")).unwrap();
        fs::create_dir(lone.folder.path().join("backup")).unwrap();
        let data = format!("--data-dir={}", lone.data.display());
        let flags: Vec<&str> = lone.flags.iter().map(String::as_str).chain([&*data]).collect();
        fs::write(units.join("flags"), flags.join("\n") + "\n").unwrap();
        let systemctl = units.join("bin").join("systemctl");
        fs::write(&systemctl, SYSTEMCTL).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        let quorate = units.join("bin").join("quorate-server");
        std::os::unix::fs::symlink(fs::canonicalize(SERVER).unwrap(), quorate).unwrap();
        Machine { lone, units, version }
    }

    fn flag(&self, name: &str) -> &str {
        let prefix = format!("--{name}=");
        self.lone.flags.iter().find_map(|flag| flag.strip_prefix(&*prefix)).unwrap()
    }

    /// Types the commands in.
    fn follow(&self, commands: &str) -> String {
        let program = |name: &str| reference(self.version, name);
        let tools = program("etcd");
        let tools = tools.parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{}:{path}", self.units.join("bin").display(), tools.display());
        let release = self.version.name().rsplit_once('.').unwrap().0;
        let output = Command::new("bash")
            .args(["-euxo", "pipefail", "-c", commands])
            .env("PATH", path)
            .env("ETCDCTL_API", "3")
            .env("UNITS", &self.units)
            .env("ETCD", program("etcd"))
            .env("QUORATE", fs::canonicalize(SERVER).unwrap())
            .env("ENDPOINTS", &self.lone.url)
            .env("DATA_DIR", &self.lone.data)
            .env("NAME", "m1")
            .env("PEER_URL", self.flag("initial-advertise-peer-urls"))
            .env("INITIAL_CLUSTER", self.flag("initial-cluster"))
            .env("BACKUP", self.lone.folder.path().join("backup"))
            .env("ETCD_RELEASE", release)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a Quorate serves now.
    fn runs_quorate(&self) -> bool {
        Path::new(&self.units.join("quorate.pid")).exists()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for unit in ["etcd", "quorate"] {
            if let Ok(pid) = fs::read_to_string(self.units.join(format!("{unit}.pid"))) {
                Command::new("kill").args(["-9", pid.trim()]).status().ok();
            }
        }
    }
}

/// The whole guide on one machine: there by the binary, back from what was kept, there by a snapshot, back by one.
async fn follow_the_guide(version: Version) {
    let machine = Machine::new(version);
    machine.follow("systemctl start etcd");
    machine.lone.put(5).await;
    let state = machine.lone.state().await;
    machine.follow(&section("Replace the binary"));
    assert!(machine.runs_quorate());
    assert_eq!(machine.lone.state().await, state);
    machine.follow(&section("The way back before the first write"));
    assert!(!machine.runs_quorate());
    assert_eq!(machine.lone.state().await, state);
    machine.follow(&section("Move by a snapshot"));
    assert!(machine.runs_quorate());
    assert_eq!(machine.lone.state().await, state);
    machine.lone.put(5).await;
    let state = machine.lone.state().await;
    machine.follow(&section("Back to etcd"));
    assert!(!machine.runs_quorate());
    assert_eq!(machine.lone.state().await, state);
    assert!(ask::get(&machine.lone.url, "k4", false, READY_MAX).await.unwrap().is_some());
}

/// With 3.7.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_with_3_7() {
    follow_the_guide(Version::V3_7_1).await;
}

/// With 3.5.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_with_3_5() {
    follow_the_guide(Version::V3_5_1).await;
}

/// With 3.4, whose snapshots are saved by `etcdctl` alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_with_3_4() {
    follow_the_guide(Version::V3_4_23).await;
}
