//! The programs that tests run beside our own, and which Debian package brings each. A missing one is installed where
//! that is possible (root and apt, as in CI) and named with its package where it is not.

use std::process::Command;

use anyhow::{Result, bail};

use crate::repo;

struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NEEDS: [Need; 11] = [
    Need { program: "cc", package: "build-essential", why: "crates with C or assembly in them" },
    Need { program: "git", package: "git", why: "the list of files that the check reads" },
    Need { program: "python3", package: "python3-pip", why: "wheels that carry real etcd" },
    Need { program: "ip", package: "iproute2", why: "partitions in network namespaces" },
    Need { program: "tmux", package: "tmux", why: "the dashboard in a real terminal" },
    Need { program: "script", package: "bsdutils", why: "progress bars on a terminal" },
    Need { program: "dpkg-deb", package: "dpkg", why: "building and reading the .deb" },
    Need {
        program: "openssl",
        package: "openssl",
        why: "asking a port which TLS versions it speaks",
    },
    Need { program: "curl", package: "curl", why: "HTTP as other people speak it" },
    Need {
        program: "protoc",
        package: "protobuf-compiler",
        why: "the build of the crate etcd-client, other people's client",
    },
    Need { program: "rpm", package: "rpm", why: "reading the .rpm as its users do" },
];

/// Installs what is missing, and says what.
pub fn install_missing() -> Result<()> {
    let missing: Vec<&Need> = missing(repo::has_program);
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("test: {} is missing ({}): installing {}", need.program, need.why, need.package);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let is_installed = apt(&["update"]).and_then(|()| {
        apt(&[&["install", "-y", "--no-install-recommends"], &packages[..]].concat())
    });
    if let Err(error) = is_installed {
        bail!("{error:#}\nInstall these packages by hand: {}", packages.join(" "));
    }
    Ok(())
}

fn missing(has: impl Fn(&str) -> bool) -> Vec<&'static Need> {
    // Programs of the system's administrator are not always on a user's PATH.
    let is_there = |name: &str| has(name) || std::path::Path::new("/usr/sbin").join(name).is_file();
    NEEDS.iter().filter(|need| !is_there(need.program)).collect()
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(words);
    repo::output(&mut command).map(drop)
}
