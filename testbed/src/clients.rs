//! Programs that other people's client libraries are used by: where their sources are, and where what is made of them is.
//! `cargo xtask clients` makes them; a test only finds and starts them.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::reference::home;

/// A library, by the program that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Go's clientv3 3.7.1.
    Go37,
    /// Go's clientv3 3.5.0.
    Go35,
    /// Python's etcd3.
    Python,
    /// The crate etcd-client.
    Rust,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Go37, Self::Go35, Self::Python, Self::Rust];

    /// For messages and folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Go37 => "go-3.7.1",
            Self::Go35 => "go-3.5.0",
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    /// The folder of the program's sources.
    pub fn sources(self) -> PathBuf {
        let folder = match self {
            Self::Go37 | Self::Go35 => "go",
            Self::Python => "python",
            Self::Rust => "rust",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/clients").join(folder)
    }

    /// The folder's name beside real etcd: what it is made from is part of it, so that an old program is never run.
    pub fn folder_name(self) -> Result<String> {
        let mut hash = DefaultHasher::new();
        hash_folder(&self.sources(), &mut hash)?;
        Ok(format!("{}-{:016x}", self.name(), hash.finish()))
    }

    /// Where the program lies, beside real etcd.
    pub fn folder(self) -> Result<PathBuf> {
        Ok(home().join("clients").join(self.folder_name()?))
    }

    /// A command that starts the program, without arguments.
    ///
    /// # Panics
    /// Where it is not there: a comparison that did not take place must not pass.
    pub fn command(self) -> Command {
        let folder = self.folder().expect("the sources of a client can be read");
        let path = folder.join("client");
        assert!(path.exists(), "{} is missing. Run `cargo xtask clients` first.", path.display());
        Command::new(path)
    }
}

/// Names and contents, in the order of the names.
fn hash_folder(folder: &Path, hash: &mut DefaultHasher) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        // What a program that was run in place has left behind.
        if path.ends_with("__pycache__") || path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            hash_folder(&path, hash)?;
            continue;
        }
        hash.write(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.write(&fs::read(&path).with_context(|| path.display().to_string())?);
    }
    Ok(())
}
