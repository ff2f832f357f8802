//! What the agent asks of any store. An implementation makes an object visible whole or not at all.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::error::{AgentError, Result};

/// One object as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Name relative to the store's prefix, `/` between its parts.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Last change, as the store's clock says.
    pub modified: Timestamp,
    /// SHA-256 in hexadecimal, where the store keeps it beside the object.
    pub sha256: Option<String>,
}

/// What is known of a file before it is uploaded.
#[derive(Clone, Debug)]
pub struct ObjectFacts {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A place that keeps objects by name.
#[async_trait]
pub trait SnapshotStore: Send + Sync + std::fmt::Debug {
    /// The store as `s3://bucket/prefix` or `file:///path`, without secrets.
    fn describe(&self) -> String;

    /// Uploads a file. The object appears whole, or not at all.
    async fn put_file(&self, name: &str, source: &Path, facts: &ObjectFacts) -> Result<()>;

    /// Uploads a few bytes, in the same way.
    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<()>;

    /// Reads a small object; refuses one larger than `size_max` bytes.
    async fn get_bytes(&self, name: &str, size_max: u64) -> Result<Bytes>;

    /// Downloads an object into a new file of mode 0600, resuming where a connection broke.
    async fn get_file(&self, name: &str, target: &Path) -> Result<()>;

    /// Facts of one object, or `None` where there is none.
    async fn stat(&self, name: &str) -> Result<Option<StoredObject>>;

    /// All objects, by name.
    async fn list(&self) -> Result<Vec<StoredObject>>;

    /// Removes an object; one that is not there is no error.
    async fn delete(&self, name: &str) -> Result<()>;

    /// Removes uploads that were begun before `before` and never finished; says how many.
    async fn sweep_unfinished(&self, before: Timestamp) -> Result<usize>;
}

/// Refuses a name that could leave the store's prefix.
pub fn check_name(name: &str) -> Result<()> {
    let is_safe = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(is_safe) && !name.contains('\0') {
        return Ok(());
    }
    Err(AgentError::damaged(format!("object name {name:?} leaves the store")))
}
