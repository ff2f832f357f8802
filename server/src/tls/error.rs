//! Why TLS cannot be set up.

use std::path::{Path, PathBuf};

/// Files or options that cannot be used. Never holds anything of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read or does not hold what it should.
    #[error("{what} file {} cannot be used: {cause}", path.display())]
    File {
        /// Certificate, key, CA or revocation list.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Files that are fine alone and not together.
    #[error("certificate {} and key {} do not belong together", cert.display(), key.display())]
    Mismatch {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
    },
    /// Versions or suites that leave nothing to offer.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// `--auto-tls` cannot write its files.
    #[error("failed to make a self-signed certificate in {}: {cause}", folder.display())]
    SelfSigned {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

impl TlsError {
    /// A file that cannot be used.
    pub(super) fn file(what: &'static str, path: &Path, cause: impl ToString) -> TlsError {
        TlsError::File { what, path: path.to_owned(), cause: cause.to_string() }
    }
}
