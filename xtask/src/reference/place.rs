//! Where each version lies, in the cache and under `target/`, and how a folder is put there whole or not at all.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::obtain::Version;
use crate::repo;

/// The folder that holds a folder per version: `$QUORATE_REFERENCE_DIR`, else `target/reference`.
pub fn home() -> PathBuf {
    std::env::var_os("QUORATE_REFERENCE_DIR")
        .map_or_else(|| repo::root().join("target/reference"), PathBuf::from)
}

/// The folder with one version's programs.
pub fn folder(version: Version) -> PathBuf {
    home().join(version.to_string())
}

/// The cache's folder for a version. What it is made from is part of its name, so an edit of the recipe is a new entry.
pub fn cached(version: Version) -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    for file in version.sources() {
        let path = repo::root().join("xtask/reference").join(file);
        hash.write(&fs::read(&path).with_context(|| path.display().to_string())?);
    }
    let name = format!("{version}-{:016x}", hash.finish());
    Ok(repo::cache_dir().join("reference").join(name))
}

/// Whether all programs of a version are there and can be run.
pub fn is_whole(version: Version, folder: &Path) -> bool {
    version.programs().iter().all(|name| {
        fs::metadata(folder.join(name))
            .is_ok_and(|data| data.len() > 0 && data.permissions().mode() & 0o111 != 0)
    })
}

/// Fills a temporary folder and renames it to `target`: a run that is killed half-way leaves nothing that looks whole.
pub fn replace(target: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = target.parent().context("a target folder has a parent")?;
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let fresh = tempfile::Builder::new().prefix(".making-").tempdir_in(parent)?;
    fill(fresh.path())?;
    fs::set_permissions(fresh.path(), fs::Permissions::from_mode(0o755))?;
    if target.exists() {
        fs::remove_dir_all(target)?;
    }
    fs::rename(fresh.keep(), target).with_context(|| target.display().to_string())
}

/// Hard-links a cached version into `target`, or copies it where the two are on different file systems.
pub fn link(version: Version, cached: &Path, target: &Path) -> Result<()> {
    replace(target, |fresh| {
        for name in version.programs() {
            let (from, to) = (cached.join(name), fresh.join(name));
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to).with_context(|| from.display().to_string())?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant(folder: &Path, names: &[&str]) {
        for name in names {
            fs::write(folder.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// A folder that lacks a program, or whose program cannot be run, is not taken for whole.
    #[test]
    fn half_a_version_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path(), &["etcd"]);
        assert!(!is_whole(Version::V3_4_23, folder.path()));
        plant(folder.path(), &["etcdctl"]);
        assert!(is_whole(Version::V3_4_23, folder.path()));
        let program = folder.path().join("etcdctl");
        fs::set_permissions(program, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!is_whole(Version::V3_4_23, folder.path()));
    }

    /// A recipe that fails leaves the place as it was.
    #[test]
    fn a_failed_recipe_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("3.4.23");
        assert!(replace(&target, |_| anyhow::bail!("no network")).is_err());
        assert!(!target.exists());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    /// Linking gives programs that run from the target folder.
    #[test]
    fn a_cached_version_is_linked() {
        let home = tempfile::tempdir().unwrap();
        let (cached, target) = (home.path().join("cached"), home.path().join("target"));
        fs::create_dir(&cached).unwrap();
        plant(&cached, &["etcd", "etcdctl"]);
        link(Version::V3_4_23, &cached, &target).unwrap();
        assert!(is_whole(Version::V3_4_23, &target));
    }
}
