//! The differential suite: every invocation in `scripts/` is run by the real etcdctl 3.7.1 and by quoratectl, each
//! against its own fresh etcd 3.7.1 with the same addresses (and so the same ids). Standard output, standard error and
//! exit code must be equal but for times and lease ids (`mask.rs`) and for what `differences.rs` lists with its reason.
//!
//! With `QUORATE_DIFFERENTIAL_SERVER=<path of quorate-server>` it compares servers instead: the real etcdctl runs every
//! invocation against etcd and against that server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod differences;
mod mask;
mod reference;
mod script;

use reference::{Server, Site, program};
use script::{Invocation, Run};
use std::path::{Path, PathBuf};

/// Runs a script on both sides and compares invocation by invocation.
fn compare(script: &str) {
    let (etcd, etcdctl) = (program("3.7.1", "etcd"), program("3.7.1", "etcdctl"));
    match std::env::var_os("QUORATE_DIFFERENTIAL_SERVER") {
        Some(server) => compare_with(script, &PathBuf::from(server), &etcdctl),
        None => compare_with(script, &etcd, &Link::make().path),
    }
}

/// The same for our side as given: a server, and the program that speaks to it.
fn compare_with(script: &str, our_server: &Path, our_ctl: &Path) {
    let invocations = script::parse(script);
    let site = Site::choose();
    let folder = tempfile::tempdir().unwrap();
    let (etcd, etcdctl) = (program("3.7.1", "etcd"), program("3.7.1", "etcdctl"));
    let theirs = run_all(&invocations, &etcdctl, &Server::start(&etcd, &site), folder.path());
    let ours = run_all(&invocations, our_ctl, &Server::start(our_server, &site), folder.path());
    let mut report = String::new();
    for ((invocation, theirs), ours) in invocations.iter().zip(&theirs).zip(&ours) {
        let (theirs, ours) = (mask::apply(theirs), mask::apply(ours));
        let (theirs, ours) =
            (differences::apply(invocation, theirs), differences::apply(invocation, ours));
        if theirs != ours && !differences::is_crash(&theirs) {
            report.push_str(&format!(
                "\n$ {}\n--- etcdctl\n{}--- quoratectl\n{}",
                invocation.line,
                theirs.show(),
                ours.show()
            ));
        }
    }
    assert!(report.is_empty(), "outputs differ:\n{report}");
}

fn run_all(invocations: &[Invocation], program: &Path, server: &Server, folder: &Path) -> Vec<Run> {
    let mut leases = Vec::new();
    invocations
        .iter()
        .map(|invocation| invocation.run(program, server, folder, &mut leases))
        .collect()
}

/// quoratectl under the names `etcdctl` and `etcdutl`, by which it speaks as they do.
struct Link {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Link {
    fn make() -> Link {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcdctl");
        for name in ["etcdctl", "etcdutl"] {
            let program = env!("CARGO_BIN_EXE_quoratectl");
            std::os::unix::fs::symlink(program, path.with_file_name(name)).unwrap();
        }
        Link { path, _folder: folder }
    }
}

/// The same for etcdutl: what needs no member. Each side works on its own copy of a snapshot that real etcdctl saved.
fn compare_utl(script: &str) {
    let invocations = script::parse(script);
    let server = Server::start(&program("3.7.1", "etcd"), &Site::choose());
    let folder = tempfile::tempdir().unwrap();
    let setup = script::parse(include_str!("scripts/utl_setup.txt"));
    for invocation in setup {
        let run =
            invocation.run(&program("3.7.1", "etcdctl"), &server, folder.path(), &mut Vec::new());
        assert_eq!(run.code, Some(0), "{}", run.show());
    }
    let link = Link::make();
    let mut sides = [program("3.7.1", "etcdutl"), link.path.with_file_name("etcdutl")].map(|utl| {
        let work = folder.path().join("work");
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir(&work).unwrap();
        for name in ["s.db", "cut.db"] {
            std::fs::copy(folder.path().join("s.db"), work.join(name)).unwrap();
        }
        std::fs::File::options()
            .write(true)
            .open(work.join("cut.db"))
            .unwrap()
            .set_len(1000)
            .unwrap();
        let runs = invocations.iter();
        runs.map(|item| item.run(&utl, &server, &work, &mut Vec::new()))
            .collect::<Vec<_>>()
            .into_iter()
    });
    let mut report = String::new();
    for invocation in &invocations {
        let [theirs, ours] = sides.each_mut().map(|side| side.next().unwrap());
        let [theirs, ours] = [theirs, ours].map(|run| differences::apply_utl(invocation, run));
        if theirs != ours {
            let (line, theirs, ours) = (&invocation.line, theirs.show(), ours.show());
            report.push_str(&format!("\n$ {line}\n--- etcdutl\n{theirs}--- quoratectl\n{ours}"));
        }
    }
    assert!(report.is_empty(), "outputs differ:\n{report}");
}

/// Snapshot files: status, HashKV, restore.
#[test]
fn utl() {
    compare_utl(include_str!("scripts/utl.txt"));
}

/// Both programs ours: users and roles with quoratectl and Quorate print what they print with etcdctl and etcd.
#[test]
fn users_of_quorate() {
    let server = Path::new(env!("CARGO_BIN_EXE_quoratectl")).with_file_name("quorate-server");
    let missing = "is missing. Run `cargo build -p quorate-server`, or `cargo xtask test`.";
    assert!(server.is_file(), "{} {missing}", server.display());
    compare_with(include_str!("scripts/auth.txt"), &server, &Link::make().path);
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])* #[test] fn $name() {
            compare(include_str!(concat!("scripts/", stringify!($name), ".txt")));
        })*

        /// The suite stays as large as it was promised to be.
        #[test]
        fn suite_is_large_enough() {
            let counts = [$(script::parse(include_str!(concat!("scripts/", stringify!($name), ".txt"))).len()),*];
            let total: usize = counts.iter().sum();
            assert!(total >= 600, "only {total} invocations");
        }
    };
}

scripts! {
    /// get, put, del, compaction in every format, with their errors.
    kv;
    /// txn: its grammar, its formats, its errors.
    txn;
    /// Leases.
    lease;
    /// Members and alarms.
    cluster;
    /// Endpoints, defragmentation, leadership, snapshots.
    maintenance;
    /// Watches: events, history, progress, commands, interactive lines.
    watch;
    /// Users, roles, authentication.
    auth;
    /// Locks and elections.
    contest;
    /// Flags, environment, unknown commands, endpoints that do not answer.
    flags;
}
