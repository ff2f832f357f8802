//! The Debian package: a staged root and `dpkg-deb --build`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::contents::{Built, Format, Package};
use super::glibc;
use crate::repo;

/// Builds `package` and gives the file's path.
pub fn build(
    package: &Package,
    built: &Built<'_>,
    version: &str,
    folder: &Path,
) -> Result<PathBuf> {
    let stage = tempfile::Builder::new().prefix("quorate-deb-").tempdir()?;
    let root = stage.path();
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    let mut bytes = 0;
    let files = package.files(built, Format::Deb)?;
    for file in &files {
        let to = root.join(file.to.trim_start_matches('/'));
        copy(&file.from, &to, file.mode.into())?;
        bytes += fs::metadata(&to)?.len();
    }
    let control = root.join("DEBIAN");
    fs::create_dir(&control)?;
    let glibc = glibc::minor_needed(paths(package, built.programs).iter().map(PathBuf::as_path))?;
    fs::write(control.join("control"), control_text(package, version, glibc, bytes))?;
    let configs = files.iter().filter(|file| file.is_config);
    let configs: String = configs.map(|file| format!("{}\n", file.to)).collect();
    fs::write(control.join("conffiles"), configs)?;
    for name in ["postinst", "prerm", "postrm"] {
        if let Some(script) = package.script(name) {
            copy(&script, &control.join(name), 0o755)?;
        }
    }
    let architecture = architecture();
    let file = folder.join(format!("{}_{version}-1_{architecture}.deb", package.name));
    let mut build = Command::new("dpkg-deb");
    // xz is what every Debian reads; root owns the files whoever builds them.
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(root).arg(&file);
    repo::output(&mut build)?;
    Ok(file)
}

/// Where the built programs of a package are.
pub fn paths(package: &Package, folder: &Path) -> Vec<PathBuf> {
    package.programs().map(|name| folder.join(name)).collect()
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(fs::set_permissions(to, Permissions::from_mode(mode))?)
}

fn control_text(package: &Package, version: &str, glibc: u32, bytes: u64) -> String {
    let systemd = if package.is_service { ", systemd" } else { "" };
    let kib = bytes.div_ceil(1024);
    let Package { name, summary, description, .. } = package;
    format!(
        "Package: {name}\n\
         Version: {version}-1\n\
         Architecture: {}\n\
         Maintainer: The Quorate developers <quorate@localhost>\n\
         Installed-Size: {kib}\n\
         Depends: libc6 (>= 2.{glibc}), libgcc-s1{systemd}\n\
         Section: database\n\
         Priority: optional\n\
         Description: {summary}\n {description}\n",
        architecture(),
    )
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
