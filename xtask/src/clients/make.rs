//! How each program is made: with its language's own tool, from the registry's copy of the library, at pinned versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testbed::Client;

use crate::{reference, repo};

/// What making it takes, for the one who waits.
pub fn recipe(client: Client) -> &'static str {
    match client {
        Client::Go37 | Client::Go35 => "a Go build of about half a minute",
        Client::Python => "six wheels from PyPI",
        Client::Rust => "a cargo build of about a minute",
    }
}

/// Puts the program `client`, and what it needs, into an empty folder.
pub fn into(client: Client, folder: &Path) -> Result<()> {
    match client {
        Client::Go37 => go(client, folder, &[]),
        Client::Go35 => go(client, folder, &["-modfile=old.mod", "-tags=old"]),
        Client::Python => python(client, folder),
        Client::Rust => rust(client, folder),
    }
}

fn go(client: Client, folder: &Path, flags: &[&str]) -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut build = reference::go_build(work.path())?;
    build.current_dir(client.sources()).args(flags).arg("-o").arg(folder.join("client"));
    repo::run(build.arg("."))
}

/// The sources as they are, and the library with what it needs in a folder beside them: nothing is installed.
fn python(client: Client, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(client.sources())? {
        let path = entry?.path();
        if path.is_file() {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
        }
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.arg("--root-user-action=ignore").arg("--target").arg(folder.join("modules"));
    repo::output(pip.arg("--requirement").arg(folder.join("requirements.txt"))).map(drop)
}

/// Built apart from the workspace. The library's build asks for `protoc`.
fn rust(client: Client, folder: &Path) -> Result<()> {
    // Kept, so that an edit of the program does not build the library anew.
    let target = repo::cache_dir().join("clients/rust-target");
    let mut build = repo::cargo();
    build.current_dir(client.sources()).env("CARGO_TARGET_DIR", &target);
    repo::run(build.args(["build", "--locked", "--quiet"]))?;
    fs::copy(target.join("debug/client"), folder.join("client"))?;
    Ok(())
}
