//! The command itself: which versions are wanted, whether the cache has them, and linking them into place.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use super::obtain::{self, Version};
use super::place;

#[derive(clap::Args, Default)]
pub struct Options {
    /// Only these versions (default: all)
    #[arg(long, value_delimiter = ',')]
    only: Vec<Version>,
    /// Make them anew though the cache has them
    #[arg(long)]
    force: bool,
}

/// Makes sure that every wanted version is in place, and says where.
pub fn run(options: &Options) -> Result<()> {
    let wanted = if options.only.is_empty() { Version::ALL.to_vec() } else { options.only.clone() };
    for version in wanted {
        let start = Instant::now();
        let folder = ensure(version, options.force)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("etcd {version}: {} ({seconds:.1} s)", folder.display());
    }
    Ok(())
}

/// Makes sure that one version is in place and gives its folder.
pub fn ensure(version: Version, force: bool) -> Result<PathBuf> {
    let target = place::folder(version);
    if !force && place::is_whole(version, &target) {
        return Ok(target);
    }
    let cached = place::cached(version)?;
    if force || !place::is_whole(version, &cached) {
        println!("etcd {version}: making it ({})", version.recipe());
        place::replace(&cached, |fresh| obtain::into(version, fresh))?;
    }
    place::link(version, &cached, &target)?;
    Ok(target)
}
