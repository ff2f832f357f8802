//! SHA-256 of a file, read once on a blocking thread.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{AgentError, Result};
use crate::manifest::hex;

const BUFFER_BYTES: usize = 1 << 20;

/// Size in bytes and SHA-256 in hexadecimal.
pub async fn hash_file(path: &Path) -> Result<(u64, String)> {
    let path = path.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash_file_blocking(&path));
    hashed.await.map_err(|_| AgentError::Cancelled)?
}

fn hash_file_blocking(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path).map_err(AgentError::io("open", path))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut hasher, mut size) = (Sha256::new(), 0);
    loop {
        let n_read = file.read(&mut buffer).map_err(AgentError::io("read", path))?;
        if n_read == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        hasher.update(&buffer[..n_read]);
        size += n_read as u64;
    }
}
