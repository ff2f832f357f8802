//! The same for etcdutl: what needs no member. Each side works on its own copies of files that real etcd 3.4.23, 3.5.1
//! and 3.7.1 and Quorate wrote: snapshots that real etcdctl saved, and the data directories that the servers left.

use crate::script::{self, Invocation, Run};
use crate::side::{Server, Site, program, quorate_server, run_all};
use crate::{Link, differences};
use std::path::{Path, PathBuf};
use std::process::Command;
use testbed::{Version, reference};

/// Runs what has been prepared, saves `<name>.db`, stops the server and keeps its data directory as `<name>`.
fn prepare(name: &str, server: &Path, into: &Path) {
    let server = Server::start(server, Site::choose(), 0, None);
    let setup = script::parse(&include_str!("scripts/utl_setup.txt").replace("$NAME", name));
    for (invocation, run) in setup.iter().zip(run_all(&setup, &program("etcdctl"), &server, into)) {
        assert_eq!(run.code, Some(0), "{}: {}", invocation.line, run.show());
    }
    let (data_dir, _folder) = server.stop();
    copy(&data_dir, &into.join(name));
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

/// Every side works in a directory of the same name, so that paths in outputs are equal.
fn run_side(invocations: &[Invocation], utl: &Path, prepared: &Path, work: &Path) -> Vec<Run> {
    let _ = std::fs::remove_dir_all(work);
    copy(prepared, work);
    let cut = work.join("cut.db");
    std::fs::copy(work.join("etcd37.db"), &cut).unwrap();
    std::fs::File::options().write(true).open(cut).unwrap().set_len(1000).unwrap();
    let mut flipped = std::fs::read(work.join("etcd37.db")).unwrap();
    flipped[10_000] ^= 1;
    std::fs::write(work.join("flipped.db"), flipped).unwrap();
    let run = |invocation: &Invocation| invocation.run_on_files(utl, work);
    invocations.iter().map(run).collect()
}

/// Snapshot files and data directories: status, HashKV, restore, defrag, migrate.
#[test]
fn utl_is_etcdutls() {
    let folder = tempfile::tempdir().unwrap();
    let prepared = folder.path().join("prepared");
    std::fs::create_dir(&prepared).unwrap();
    let servers: [(&str, PathBuf); 4] = [
        ("etcd34", reference(Version::V3_4_23, "etcd")),
        ("etcd35", reference(Version::V3_5_1, "etcd")),
        ("etcd37", reference(Version::V3_7_1, "etcd")),
        ("quorate", quorate_server()),
    ];
    std::thread::scope(|scope| {
        for (name, server) in &servers {
            scope.spawn(|| prepare(name, server, &prepared));
        }
    });
    let invocations = script::parse(include_str!("scripts/utl.txt"));
    assert!(invocations.len() >= 80, "only {} invocations", invocations.len());
    let (link, work) = (Link::make(), folder.path().join("work"));
    let theirs = run_side(&invocations, &program("etcdutl"), &prepared, &work);
    let ours = run_side(&invocations, &link.path("etcdutl"), &prepared, &work);
    let mut report = String::new();
    for ((invocation, theirs), ours) in invocations.iter().zip(theirs).zip(ours) {
        let [theirs, ours] = [theirs, ours].map(|run| differences::apply_utl(invocation, run));
        if theirs != ours && !differences::is_crash(&theirs) {
            let (line, theirs, ours) = (&invocation.line, theirs.show(), ours.show());
            report.push_str(&format!("\n$ {line}\n--- etcdutl\n{theirs}--- quoratectl\n{ours}"));
        }
    }
    assert!(report.is_empty(), "outputs differ:\n{report}");
}
