//! SHA-256 of a file, read once on a blocking thread.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{AgentError, Result};
use crate::manifest::hex;

const BUFFER_BYTES: usize = 1 << 20;

/// Hashes of a file made of a body and a short digest of that body.
pub struct PrefixHash {
    /// SHA-256 of the whole file.
    pub sha256: String,
    /// SHA-256 of the first bytes.
    pub prefix_sha256: String,
    /// The bytes after them, in hexadecimal.
    pub rest: String,
}

/// Size in bytes and SHA-256 in hexadecimal.
pub async fn hash_file(path: &Path) -> Result<(u64, String)> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_file_blocking(&path));
    hashed.await.map_err(|_| AgentError::Cancelled)?
}

/// The same, on this thread.
pub fn hash_file_blocking(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(AgentError::io("open", path))?;
    let mut hasher = Sha256::new();
    let size = feed(&mut file, path, u64::MAX, &mut hasher)?;
    Ok((size, hex(&hasher.finalize())))
}

/// Hashes the first `length` bytes and the whole in one pass.
pub fn hash_prefix_blocking(path: &Path, length: u64) -> Result<PrefixHash> {
    let mut file = File::open(path).map_err(AgentError::io("open", path))?;
    let mut hasher = Sha256::new();
    feed(&mut file, path, length, &mut hasher)?;
    let prefix_sha256 = hex(&hasher.clone().finalize());
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(AgentError::io("read", path))?;
    hasher.update(&rest);
    Ok(PrefixHash { sha256: hex(&hasher.finalize()), prefix_sha256, rest: hex(&rest) })
}

/// Feeds up to `length` bytes; says how many there were.
fn feed(file: &mut File, path: &Path, length: u64, hasher: &mut Sha256) -> Result<u64> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut limited = file.take(length);
    let mut size = 0;
    loop {
        let n_read = limited.read(&mut buffer).map_err(AgentError::io("read", path))?;
        if n_read == 0 {
            return Ok(size);
        }
        hasher.update(&buffer[..n_read]);
        size += n_read as u64;
    }
}
