//! `cargo xtask reference`: real etcd, in three versions, for the tests and the benchmark to compare with.
//!
//! Each version is built or unpacked once into the cache and then linked into `target/reference/VERSION/`, so a
//! fresh clone on the same machine needs seconds. `QUORATE_REFERENCE_DIR` names another place to put them.

mod obtain;
mod place;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

pub use obtain::Version;
pub use place::{folder, program};

#[derive(clap::Args)]
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
    let target = folder(version);
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
