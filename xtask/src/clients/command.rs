//! The command itself: whether the cache has a program, and linking it to where tests look for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use testbed::Client;

use super::make;
use crate::{reference, repo};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Make them anew though the cache has them
    #[arg(long)]
    force: bool,
}

/// Makes sure that every program is in place, and says where.
pub fn run(options: &Options) -> Result<()> {
    for client in Client::ALL {
        let start = Instant::now();
        ensure(client, options.force)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("client {}: {} ({seconds:.1} s)", client.name(), client.folder()?.display());
    }
    Ok(())
}

fn ensure(client: Client, force: bool) -> Result<()> {
    let name = client.folder_name()?;
    let (cached, target) = (repo::cache_dir().join("clients").join(&name), client.folder()?);
    if force || !cached.join("client").exists() {
        println!("client {}: making it ({})", client.name(), make::recipe(client));
        reference::replace(&cached, |fresh| make::into(client, fresh))?;
    }
    link(&cached, &target)
}

/// A link, since a client may be a whole folder of modules; those of earlier sources go.
fn link(cached: &Path, target: &Path) -> Result<()> {
    let shown = || target.display().to_string();
    let home = target.parent().context("a target folder has a parent")?;
    fs::create_dir_all(home).with_context(shown)?;
    if target.is_symlink() {
        fs::remove_file(target).with_context(shown)?;
    }
    symlink(cached, target).with_context(shown)
}
