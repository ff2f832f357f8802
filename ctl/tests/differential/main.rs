//! The differential suite: every invocation in `scripts/` is run by the real etcdctl 3.7.1 and by quoratectl, each
//! against a fresh server of its own with the same ports (and so the same ids). Standard output, standard error and
//! exit code must be equal but for times and lease ids (`mask.rs`) and for what `differences.rs` lists with its reason.
//!
//! It does so twice: with etcd 3.7.1 as the servers, and for most scripts with Quorate as the servers. The files that
//! etcdutl works on are in `files.rs`, endpoints by DNS in `discovery.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod differences;
mod discovery;
mod files;
mod help;
mod mask;
mod script;
mod side;

use script::{Invocation, Run};
use side::{Security, Side, Site, program, quorate_server};
use std::path::PathBuf;
use std::sync::Arc;

/// How often a script is run where a side runs out of time: the machine may be busy with other tests.
const ATTEMPTS_MAX: usize = 3;

/// Runs a script on two sides at the same time and compares invocation by invocation.
fn compare(script: &str, sides: [Side; 2]) {
    let invocations = script::parse(script);
    must_agree(|| differing(&invocations, &sides));
}

/// Runs a comparison, and once more where time ran out on one side only.
fn must_agree(compare: impl Fn() -> Difference) {
    for attempt in 1.. {
        let report = compare();
        if report.text.is_empty() {
            return;
        }
        let is_last = attempt == ATTEMPTS_MAX || !report.was_starved;
        assert!(!is_last, "outputs differ:\n{}", report.text);
        println!("once more, since time ran out on one side only:\n{}", report.text);
    }
}

/// What differs between two sides.
struct Difference {
    text: String,
    /// In every difference one side's time had run out: only another run can tell.
    was_starved: bool,
}

fn differing(invocations: &[Invocation], [theirs, ours]: &[Side; 2]) -> Difference {
    let site = Site::choose();
    let (their_runs, our_runs) = std::thread::scope(|scope| {
        let first = scope.spawn(|| theirs.run(invocations, site, 0));
        let second = ours.run(invocations, site, 1);
        (first.join().unwrap(), second)
    });
    told(invocations, [theirs.name, ours.name], [their_runs, our_runs])
}

/// What differs between the answers of two programs of these names.
fn told(invocations: &[Invocation], names: [&str; 2], runs: [Vec<Run>; 2]) -> Difference {
    let [their_runs, our_runs] = runs;
    let mut report = Difference { text: String::new(), was_starved: true };
    for ((invocation, theirs_run), ours_run) in invocations.iter().zip(their_runs).zip(our_runs) {
        let apply = |run: Run| differences::apply(invocation, mask::apply(&run));
        let (theirs_run, ours_run) = (apply(theirs_run), apply(ours_run));
        if theirs_run != ours_run && !differences::is_crash(&theirs_run) {
            report.was_starved &= theirs_run.ran_out_of_time() != ours_run.ran_out_of_time();
            let shown = (theirs_run.show(), ours_run.show());
            report.text.push_str(&format!(
                "\n$ {}\n--- {}\n{}--- {}\n{}",
                invocation.line, names[0], shown.0, names[1], shown.1
            ));
        }
    }
    report
}

/// Both clients on servers of one kind.
fn compare_on(server: PathBuf, script: &str, security: Option<Arc<Security>>) {
    let link = Link::make();
    let side =
        |name, program| Side { name, program, server: server.clone(), security: security.clone() };
    let sides = [side("etcdctl", program("etcdctl")), side("quoratectl", link.path("etcdctl"))];
    compare(script, sides);
}

fn on_etcd(script: &str) {
    compare_on(program("etcd"), script, None);
}

fn on_quorate(script: &str) {
    compare_on(quorate_server(), script, None);
}

/// Both programs ours against both of etcd's.
fn both_ours(script: &str) {
    let link = Link::make();
    let (etcd, etcdctl) = (program("etcd"), program("etcdctl"));
    let theirs = Side { name: "etcdctl on etcd", program: etcdctl, server: etcd, security: None };
    let (server, program) = (quorate_server(), link.path("etcdctl"));
    let ours = Side { name: "quoratectl on Quorate", program, server, security: None };
    compare(script, [theirs, ours]);
}

fn on_etcd_with_tls(script: &str) {
    compare_on(program("etcd"), script, Some(Arc::new(Security::make())));
}

fn on_quorate_with_tls(script: &str) {
    compare_on(quorate_server(), script, Some(Arc::new(Security::make())));
}

/// quoratectl under the names `etcdctl` and `etcdutl`, by which it speaks as they do.
struct Link {
    folder: tempfile::TempDir,
}

impl Link {
    fn make() -> Link {
        let folder = tempfile::tempdir().unwrap();
        let link = Link { folder };
        for name in ["etcdctl", "etcdutl"] {
            let program = env!("CARGO_BIN_EXE_quoratectl");
            std::os::unix::fs::symlink(program, link.path(name)).unwrap();
        }
        link
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

macro_rules! scripts {
    ($($name:ident: $($servers:ident)*;)*) => {
        $(mod $name {
            const SCRIPT: &str = include_str!(concat!("scripts/", stringify!($name), ".txt"));
            $(
                /// See the list of scripts.
                #[test]
                fn $servers() {
                    crate::$servers(SCRIPT);
                }
            )*
            pub fn count() -> usize {
                crate::script::parse(SCRIPT).len()
            }
        })*

        /// The suite stays as large as it was promised to be.
        #[test]
        fn suite_is_large_enough() {
            let total: usize = [$($name::count()),*].iter().sum();
            assert!(total >= 600, "only {total} invocations");
        }
    };
}

scripts! {
    // get, put, del, compaction in every format, with their errors.
    kv: on_etcd on_quorate;
    // txn: its grammar, its formats, its errors.
    txn: on_etcd on_quorate;
    // Leases.
    lease: on_etcd on_quorate;
    // Members and alarms.
    cluster: on_etcd on_quorate;
    // Endpoints, defragmentation, leadership, snapshots.
    maintenance: on_etcd on_quorate;
    // Watches: events, history, progress, commands, interactive lines.
    watch: on_etcd on_quorate;
    // Users, roles, authentication.
    auth: on_etcd both_ours;
    // Locks and elections.
    contest: on_etcd on_quorate;
    // Flags, environment, unknown commands, endpoints that do not answer.
    flags: on_etcd;
    // TLS with client certificates, and users besides.
    secure: on_etcd_with_tls on_quorate_with_tls;
}
