//! Where the programs of real etcd are, for tests that compare with them. `cargo xtask reference` puts them there.

use std::path::{Path, PathBuf};

/// The versions that tests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that Quorate equals.
    V3_7_1,
    /// From PyPI.
    V3_5_1,
    /// Debian's.
    V3_4_23,
}

impl Version {
    /// `X.Y.Z`.
    pub fn name(self) -> &'static str {
        match self {
            Version::V3_7_1 => "3.7.1",
            Version::V3_5_1 => "3.5.1",
            Version::V3_4_23 => "3.4.23",
        }
    }
}

/// The path of `etcd`, `etcdctl` or `etcdutl` of a version.
///
/// # Panics
/// Where it is not there: a comparison that did not take place must not pass.
pub fn reference(version: Version, program: &str) -> PathBuf {
    let path = home().join(version.name()).join(program);
    assert!(path.exists(), "{} is missing. Run `cargo xtask reference` first.", path.display());
    path
}

/// The folder with everything that tests compare with.
pub(crate) fn home() -> PathBuf {
    match std::env::var_os("QUORATE_REFERENCE_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/reference"),
    }
}
