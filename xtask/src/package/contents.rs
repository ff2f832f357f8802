//! What each package holds and where it goes: the one table that both builders read.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::pages;
use crate::repo;

/// Who installs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// dpkg.
    Deb,
    /// rpm.
    Rpm,
}

/// A file as a builder takes it.
pub struct Placed {
    pub from: PathBuf,
    pub to: String,
    pub mode: u16,
    pub is_config: bool,
}

/// Where a file of a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A program of the workspace, by name.
    Program(&'static str),
    /// A file of the work tree.
    Tree(&'static str),
}

/// One file of a package.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    pub from: From,
    /// Absolute, in the target system.
    pub to: &'static str,
    pub mode: u16,
    /// A person edits it, so an upgrade keeps what is there.
    pub is_config: bool,
}

/// One package in both formats.
pub struct Package {
    pub name: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub items: &'static [Item],
    /// Has a unit and an account: needs systemd and the scripts of `packaging/NAME`.
    pub is_service: bool,
}

const fn program(name: &'static str, to: &'static str) -> Item {
    Item { from: From::Program(name), to, mode: 0o755, is_config: false }
}

const fn file(path: &'static str, to: &'static str) -> Item {
    Item { from: From::Tree(path), to, mode: 0o644, is_config: false }
}

const SERVER: &[Item] = &[
    program("quorate-server", "/usr/bin/quorate-server"),
    file(
        "packaging/server/quorate-server.service",
        "/usr/lib/systemd/system/quorate-server.service",
    ),
    file("packaging/server/quorate-server.sysusers", "/usr/lib/sysusers.d/quorate-server.conf"),
    file("packaging/server/quorate-server.tmpfiles", "/usr/lib/tmpfiles.d/quorate-server.conf"),
    Item {
        from: From::Tree("packaging/server/quorate-server.default"),
        to: "/etc/default/quorate-server",
        // Settings may name files with secrets, and one day hold one.
        mode: 0o640,
        is_config: true,
    },
    file("README.md", "/usr/share/doc/quorate-server/README.md"),
    file("CHANGELOG.md", "/usr/share/doc/quorate-server/CHANGELOG.md"),
    file("LICENSE", "/usr/share/doc/quorate-server/copyright"),
];

const TOOLS: &[Item] = &[
    program("quoratectl", "/usr/bin/quoratectl"),
    program("quorate-tui", "/usr/bin/quorate-tui"),
    program("quorate-backup-agent", "/usr/bin/quorate-backup-agent"),
    file("README.md", "/usr/share/doc/quorate-tools/README.md"),
    file("LICENSE", "/usr/share/doc/quorate-tools/copyright"),
];

/// All packages.
pub const PACKAGES: [Package; 2] = [
    Package {
        name: "quorate-server",
        summary: "replicated key-value store that is a drop-in for etcd",
        description: "Quorate keeps replicated clusters quorate. The server speaks etcd v3.7.1 on the wire: same \
                      calls, flags, errors, metrics and files.",
        items: SERVER,
        is_service: true,
    },
    Package {
        name: "quorate-tools",
        summary: "dashboard, backup agent and command line for Quorate and etcd",
        description: "The terminal dashboard, the backup agent with its guided recovery and the scriptable command \
                      line, for Quorate and for real etcd.",
        items: TOOLS,
        is_service: false,
    },
];

/// What the packages are made of, beside the work tree.
#[derive(Clone, Copy)]
pub struct Built<'a> {
    /// The folder with the programs.
    pub programs: &'a Path,
    /// The folder that [`pages::write`] has filled.
    pub pages: &'a Path,
}

impl Item {
    /// The file to read, with the programs in a folder of their own.
    pub fn source(&self, programs: &Path) -> PathBuf {
        match self.from {
            From::Program(name) => programs.join(name),
            From::Tree(path) => repo::root().join(path),
        }
    }
}

impl Package {
    /// Everything in it: the table's items, and the pages that were made of its programs.
    pub fn files(&self, built: &Built<'_>, format: Format) -> Result<Vec<Placed>> {
        let item = |item: &Item| Placed {
            from: item.source(built.programs),
            to: item.to.to_owned(),
            mode: item.mode,
            is_config: item.is_config,
        };
        let mut files: Vec<Placed> = self.items.iter().map(item).collect();
        for program in self.programs() {
            for pages::Page { from, to } in pages::of(program, built.pages, format)? {
                files.push(Placed { from, to, mode: 0o644, is_config: false });
            }
        }
        Ok(files)
    }

    /// A script of the package's lifecycle, where it has one.
    pub fn script(&self, name: &str) -> Option<PathBuf> {
        self.is_service.then(|| repo::root().join("packaging/server").join(name))
    }

    /// The names of its programs.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> {
        self.items.iter().filter_map(|item| match item.from {
            From::Program(name) => Some(name),
            From::Tree(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file of the tree that a package names is there, and every target is named once.
    #[test]
    fn contents_exist() {
        for package in &PACKAGES {
            for item in package.items {
                if matches!(item.from, From::Tree(_)) {
                    assert!(item.source(Path::new("/")).is_file(), "{:?}", item.from);
                }
                let same = package.items.iter().filter(|other| other.to == item.to);
                assert_eq!(same.count(), 1, "{}", item.to);
            }
        }
    }

    /// The unit's program, account and settings are the ones that the package brings.
    #[test]
    fn the_unit_fits_the_package() {
        let unit =
            std::fs::read_to_string(repo::root().join("packaging/server/quorate-server.service"))
                .unwrap();
        for line in [
            "ExecStart=/usr/bin/quorate-server",
            "EnvironmentFile=-/etc/default/quorate-server",
            "User=quorate",
            "Type=notify",
        ] {
            assert!(unit.lines().any(|l| l == line), "{line}");
        }
        let accounts =
            std::fs::read_to_string(repo::root().join("packaging/server/quorate-server.sysusers"))
                .unwrap();
        assert!(accounts.lines().any(|line| line.starts_with("u quorate ")));
    }
}
