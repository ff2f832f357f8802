//! What quoratectl has beyond etcdctl and etcdutl: stopped members' directories, guarded plans, output for programs,
//! refreshing status, man pages. What it has in common with them is compared in the differential suite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod guarded;
mod output;
mod stopped;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use testbed::{Cluster, Plan};

/// quorate-server, which the workspace builds beside quoratectl.
fn quorate_server() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_quoratectl")).with_file_name("quorate-server");
    assert!(path.is_file(), "{} is missing. Run `cargo build -p quorate-server`.", path.display());
    path
}

/// A Quorate cluster in `folder`.
fn start(folder: &Path, members: usize) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    let program = quorate_server();
    Cluster::start(&Plan { program: &program, members, folder, extra: &[] }).unwrap()
}

/// Runs quoratectl under its own name.
fn ctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quoratectl"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .args(arguments)
        .output()
        .unwrap()
}

/// What a successful run prints.
fn says(arguments: &[&str]) -> String {
    let output = ctl(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a successful run prints as JSON.
fn json(arguments: &[&str]) -> serde_json::Value {
    let mut all = vec!["--output", "json"];
    all.extend_from_slice(arguments);
    let text = says(&all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}
