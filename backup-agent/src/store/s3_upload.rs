//! Uploading to S3: one request for a small file, parts for a large one. Every body is sent from memory, because a
//! streamed body makes the SDK use `aws-chunked`, which many compatible stores reject.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::location::S3Checksum;
use super::s3::S3Store;
use super::s3_client::store_error;
use super::snapshot_store::{ObjectFacts, SnapshotStore};
use crate::error::{AgentError, Result};

/// User metadata that names the object's content.
pub const SHA256_METADATA: &str = "quorate-sha256";

/// Size of a part. With [`PARTS_AT_ONCE`] it bounds the memory of an upload (48 MiB).
pub const PART_SIZE: u64 = 16 << 20;
/// Parts in flight.
const PARTS_AT_ONCE: usize = 3;
/// S3 allows 10,000 parts; some room is left.
const PARTS_MAX: u64 = 9_500;

/// One upload of a file.
pub struct Upload<'a> {
    store: &'a S3Store,
    key: String,
    facts: &'a ObjectFacts,
}

/// A multipart upload the store has agreed to.
struct Multipart {
    upload_id: String,
    part_size: u64,
}

impl<'a> Upload<'a> {
    /// Prepares an upload to `key`.
    pub fn new(store: &'a S3Store, key: String, facts: &'a ObjectFacts) -> Self {
        Self { store, key, facts }
    }

    /// A PutObject request with the store's checksum and encryption options.
    pub fn put_request(store: &S3Store, key: &str) -> PutObjectFluentBuilder {
        store
            .client
            .put_object()
            .bucket(&store.bucket)
            .key(key)
            .set_checksum_algorithm(algorithm(store.options.checksum))
            .set_server_side_encryption(encryption(store))
            .set_ssekms_key_id(store.options.sse_kms_key_id.clone())
    }

    /// Uploads `source`; on failure nothing visible is left.
    pub async fn send(self, source: &Path) -> Result<()> {
        let file = File::open(source).map_err(AgentError::io("open", source))?;
        let size = file.metadata().map_err(AgentError::io("stat", source))?.len();
        if size != self.facts.size {
            return Err(AgentError::damaged(format!(
                "{} has {size} bytes where {} were verified",
                source.display(),
                self.facts.size
            )));
        }
        let file = Arc::new(file);
        if size <= PART_SIZE {
            let body = read_part(&file, source, 0, size).await?;
            Self::put_request(self.store, &self.key)
                .metadata(SHA256_METADATA, &self.facts.sha256)
                .body(ByteStream::from(body))
                .send()
                .await
                .map_err(|error| store_error(&self.store.describe(), "upload", &error))?;
            return Ok(());
        }
        let multipart = self.begin().await?;
        let result = match self.send_parts(&multipart, &file, source).await {
            Ok(parts) => self.complete(&multipart, parts).await,
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.abort(&multipart).await;
        }
        result
    }

    async fn begin(&self) -> Result<Multipart> {
        let store = self.store;
        let answer = store
            .client
            .create_multipart_upload()
            .bucket(&store.bucket)
            .key(&self.key)
            .metadata(SHA256_METADATA, &self.facts.sha256)
            .set_checksum_algorithm(algorithm(store.options.checksum))
            .set_server_side_encryption(encryption(store))
            .set_ssekms_key_id(store.options.sse_kms_key_id.clone())
            .send()
            .await
            .map_err(|error| store_error(&store.describe(), "begin upload", &error))?;
        let upload_id = answer.upload_id.ok_or_else(|| AgentError::Store {
            store: store.describe(),
            what: "begin upload: the store gave no upload id".into(),
            retryable: false,
        })?;
        let part_size = PART_SIZE.max(self.facts.size.div_ceil(PARTS_MAX));
        Ok(Multipart { upload_id, part_size })
    }

    async fn send_parts(
        &self,
        multipart: &Multipart,
        file: &Arc<File>,
        source: &Path,
    ) -> Result<Vec<CompletedPart>> {
        let n_parts = self.facts.size.div_ceil(multipart.part_size);
        stream::iter(0..n_parts)
            .map(|index| self.send_part(multipart, file, source, index))
            .buffered(PARTS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn send_part(
        &self,
        multipart: &Multipart,
        file: &Arc<File>,
        source: &Path,
        index: u64,
    ) -> Result<CompletedPart> {
        let offset = index * multipart.part_size;
        let length = multipart.part_size.min(self.facts.size - offset);
        let body = read_part(file, source, offset, length).await?;
        let number = i32::try_from(index + 1).expect("PARTS_MAX fits");
        let store = self.store;
        let answer = store
            .client
            .upload_part()
            .bucket(&store.bucket)
            .key(&self.key)
            .upload_id(&multipart.upload_id)
            .part_number(number)
            .set_checksum_algorithm(algorithm(store.options.checksum))
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| {
                store_error(&store.describe(), &format!("upload part {number}"), &error)
            })?;
        tracing::debug!(key = %self.key, part = number, bytes = length, "part uploaded");
        Ok(completed_part(number, answer))
    }

    async fn complete(&self, multipart: &Multipart, parts: Vec<CompletedPart>) -> Result<()> {
        let store = self.store;
        store
            .client
            .complete_multipart_upload()
            .bucket(&store.bucket)
            .key(&self.key)
            .upload_id(&multipart.upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .send()
            .await
            .map_err(|error| store_error(&store.describe(), "complete upload", &error))?;
        Ok(())
    }

    /// Frees what the failed upload holds. A failure here leaves it to the next sweep.
    async fn abort(&self, multipart: &Multipart) {
        let store = self.store;
        let request = store.client.abort_multipart_upload().bucket(&store.bucket).key(&self.key);
        if let Err(error) = request.upload_id(&multipart.upload_id).send().await {
            let error = store_error(&store.describe(), "abort upload", &error);
            tracing::warn!(key = %self.key, %error, "unfinished upload left for the next prune");
        }
    }
}

/// Reads one part on a blocking thread.
async fn read_part(file: &Arc<File>, source: &Path, offset: u64, length: u64) -> Result<Bytes> {
    let file = Arc::clone(file);
    let length = usize::try_from(length).expect("a part fits in memory");
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; length];
        file.read_exact_at(&mut buffer, offset).map(|()| Bytes::from(buffer))
    });
    let result = read.await.map_err(|_| AgentError::Cancelled)?;
    result.map_err(AgentError::io("read", source))
}

fn completed_part(number: i32, answer: UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(answer.e_tag)
        .set_checksum_crc32_c(answer.checksum_crc32_c)
        .set_checksum_sha256(answer.checksum_sha256)
        .build()
}

fn algorithm(checksum: S3Checksum) -> Option<ChecksumAlgorithm> {
    match checksum {
        S3Checksum::Crc32c => Some(ChecksumAlgorithm::Crc32C),
        S3Checksum::Sha256 => Some(ChecksumAlgorithm::Sha256),
        S3Checksum::None => None,
    }
}

fn encryption(store: &S3Store) -> Option<ServerSideEncryption> {
    store.options.sse.as_deref().map(ServerSideEncryption::from)
}
