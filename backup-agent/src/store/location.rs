//! Where the store is: `file:///path` or `s3://bucket/prefix`, and the options only S3 has.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::directory::DirectoryStore;
use super::s3::S3Store;
use super::snapshot_store::SnapshotStore;
use crate::error::{AgentError, Result};

/// A parsed store URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// `file:///path`: a directory.
    Directory(PathBuf),
    /// `s3://bucket/prefix`: a bucket and the prefix of all names in it (without slashes at its ends, may be empty).
    S3 {
        /// Bucket name.
        bucket: String,
        /// Prefix.
        prefix: String,
    },
}

impl FromStr for StoreLocation {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| {
            AgentError::configuration(
                what,
                "Give --store file:///absolute/path or --store s3://bucket/prefix.",
            )
        };
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            if !path.is_absolute() {
                return Err(wrong(format!("store \"{text}\" is not an absolute path")));
            }
            return Ok(Self::Directory(path));
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(wrong(format!("store \"{text}\" names no bucket")));
            }
            let prefix = prefix.trim_matches('/').to_owned();
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix });
        }
        Err(wrong(format!("store \"{text}\" is neither file:// nor s3://")))
    }
}

/// Options of an S3 store. What is not given comes from the AWS environment, profile files and instance roles.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    /// Endpoint URL of a compatible store; AWS itself where absent.
    pub endpoint: Option<String>,
    /// Region; `us-east-1` where neither this nor the environment names one.
    pub region: Option<String>,
    /// Bucket in the path instead of the host name; by default with any endpoint of one's own.
    pub path_style: Option<bool>,
    /// Server-side encryption: `AES256`, `aws:kms`.
    pub sse: Option<String>,
    /// KMS key, with `aws:kms`.
    pub sse_kms_key_id: Option<String>,
    /// Checksum the store verifies on upload.
    pub checksum: S3Checksum,
    /// PEM file of certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Files that hold the access key id and the secret access key, each alone on its first line.
    pub key_files: Option<(PathBuf, PathBuf)>,
}

/// Checksum sent with uploads, for the store to verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum S3Checksum {
    /// CRC-32C: fast, and known by nearly every store.
    #[default]
    Crc32c,
    /// SHA-256.
    Sha256,
    /// None, for stores that refuse checksum headers. The read-back still proves size and content.
    None,
}

/// Opens the store. No request is sent yet.
pub async fn open_store(
    location: &StoreLocation,
    options: &S3Options,
) -> Result<Arc<dyn SnapshotStore>> {
    Ok(match location {
        StoreLocation::Directory(path) => Arc::new(DirectoryStore::new(path)),
        StoreLocation::S3 { bucket, prefix } => {
            Arc::new(S3Store::open(bucket, prefix, options).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both forms parse; anything else is a configuration error with a hint.
    #[test]
    fn parses_store_urls() {
        let parse = |text: &str| text.parse::<StoreLocation>();
        let s3 = |bucket: &str, prefix: &str| StoreLocation::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(parse("file:///a/b").expect("a path"), StoreLocation::Directory("/a/b".into()));
        assert_eq!(parse("s3://backups").expect("a bucket"), s3("backups", ""));
        assert_eq!(parse("s3://backups/etcd/prod/").expect("a prefix"), s3("backups", "etcd/prod"));
        for wrong in ["", "backups", "file://relative", "s3://", "s3:///x", "http://host/b"] {
            assert_eq!(parse(wrong).expect_err(wrong).exit_code(), 2, "{wrong}");
        }
    }
}
