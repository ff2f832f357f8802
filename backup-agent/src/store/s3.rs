//! S3 as a store: one bucket, one prefix, any provider. Uploads are in `s3_upload`, the client in `s3_client`.

use std::path::Path;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::io::AsyncWriteExt;

use super::location::S3Options;
use super::s3_client::{connect, store_error};
use super::s3_upload::{SHA256_METADATA, Upload};
use super::snapshot_store::{ObjectFacts, SnapshotStore, StoredObject, check_name};
use crate::durable::create_private_file;
use crate::error::{AgentError, Result};

/// Times a broken download is resumed before it counts as failed.
const RESUMES_MAX: u32 = 8;
const RESUME_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// A store in an S3 bucket.
#[derive(Clone, Debug)]
pub struct S3Store {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) options: S3Options,
}

impl S3Store {
    /// Opens the store; no request is sent yet.
    pub async fn open(bucket: &str, prefix: &str, options: &S3Options) -> Result<Self> {
        Ok(Self {
            client: connect(options).await?,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            options: options.clone(),
        })
    }

    /// The object's full key.
    pub(super) fn key(&self, name: &str) -> Result<String> {
        check_name(name)?;
        Ok(format!("{}{name}", self.key_prefix()))
    }

    fn key_prefix(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }

    /// Appends the object's bytes from `offset` on to `output`; says how many came before the connection broke.
    async fn download_from(
        &self,
        key: &str,
        offset: u64,
        etag: &mut Option<String>,
        output: &mut tokio::fs::File,
    ) -> (u64, Result<()>) {
        let mut request = self.client.get_object().bucket(&self.bucket).key(key);
        if offset > 0 {
            request = request.range(format!("bytes={offset}-")).set_if_match(etag.clone());
        }
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return (0, Err(store_error(&self.describe(), "read", &error))),
        };
        *etag = answer.e_tag.take();
        let mut n_read = 0;
        loop {
            match answer.body.try_next().await {
                Ok(Some(chunk)) => {
                    if let Err(error) = output.write_all(&chunk).await {
                        return (n_read, Err(AgentError::io("write", Path::new(key))(error)));
                    }
                    n_read += chunk.len() as u64;
                }
                Ok(None) => return (n_read, Ok(())),
                Err(error) => {
                    let what = format!("read {key}: {error}");
                    let store = self.describe();
                    return (n_read, Err(AgentError::Store { store, what, retryable: true }));
                }
            }
        }
    }
}

#[async_trait]
impl SnapshotStore for S3Store {
    fn describe(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    async fn put_file(&self, name: &str, source: &Path, facts: &ObjectFacts) -> Result<()> {
        Upload::new(self, self.key(name)?, facts).send(source).await
    }

    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<()> {
        let key = self.key(name)?;
        Upload::put_request(self, &key)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| store_error(&self.describe(), "write", &error))?;
        Ok(())
    }

    async fn get_bytes(&self, name: &str, size_max: u64) -> Result<Bytes> {
        let key = self.key(name)?;
        let request = self.client.get_object().bucket(&self.bucket).key(&key);
        let mut answer =
            request.send().await.map_err(|error| store_error(&self.describe(), "read", &error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.body.try_next().await.map_err(|error| AgentError::Store {
            store: self.describe(),
            what: format!("read {name}: {error}"),
            retryable: true,
        })? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > size_max {
                return Err(AgentError::damaged(format!(
                    "{name} has more than the {size_max} bytes allowed"
                )));
            }
        }
        Ok(bytes.into())
    }

    async fn get_file(&self, name: &str, target: &Path) -> Result<()> {
        let key = self.key(name)?;
        let file = create_private_file(target)?;
        let mut output = tokio::fs::File::from_std(file);
        let (mut offset, mut etag, mut n_resumes) = (0, None, 0);
        loop {
            let (n_read, result) = self.download_from(&key, offset, &mut etag, &mut output).await;
            offset += n_read;
            match result {
                Ok(()) => break,
                Err(error) if error.is_retryable() && n_resumes < RESUMES_MAX => {
                    n_resumes += 1;
                    tracing::warn!(%key, offset, %error, "download broke, resuming");
                    tokio::time::sleep(RESUME_PAUSE * n_resumes).await;
                }
                Err(error) => return Err(error),
            }
        }
        output.sync_all().await.map_err(AgentError::io("sync", target))
    }

    async fn stat(&self, name: &str) -> Result<Option<StoredObject>> {
        let key = self.key(name)?;
        match self.client.head_object().bucket(&self.bucket).key(&key).send().await {
            Ok(head) => Ok(Some(StoredObject {
                name: name.to_owned(),
                size: head.content_length.and_then(|size| size.try_into().ok()).unwrap_or(0),
                modified: timestamp(head.last_modified.as_ref()),
                sha256: head.metadata.and_then(|mut metadata| metadata.remove(SHA256_METADATA)),
            })),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(None),
            Err(error) => Err(store_error(&self.describe(), "stat", &error)),
        }
    }

    async fn list(&self) -> Result<Vec<StoredObject>> {
        let prefix = self.key_prefix();
        let mut objects = Vec::new();
        let mut continuation = None;
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(&prefix)
                .set_continuation_token(continuation.take())
                .send()
                .await
                .map_err(|error| store_error(&self.describe(), "list", &error))?;
            for object in page.contents() {
                let Some(name) = object.key().and_then(|key| key.strip_prefix(&prefix)) else {
                    continue;
                };
                objects.push(StoredObject {
                    name: name.to_owned(),
                    size: object.size.and_then(|size| size.try_into().ok()).unwrap_or(0),
                    modified: timestamp(object.last_modified.as_ref()),
                    sha256: None,
                });
            }
            match page.next_continuation_token {
                Some(token) if page.is_truncated == Some(true) => continuation = Some(token),
                _ => break,
            }
        }
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let key = self.key(name)?;
        // One by one: DeleteObjects needs a checksum that older stores do not accept.
        let request = self.client.delete_object().bucket(&self.bucket).key(&key);
        request.send().await.map_err(|error| store_error(&self.describe(), "delete", &error))?;
        Ok(())
    }

    async fn sweep_unfinished(&self, before: Timestamp) -> Result<usize> {
        let uploads = self
            .client
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .prefix(self.key_prefix())
            .send()
            .await
            .map_err(|error| store_error(&self.describe(), "list unfinished uploads", &error))?;
        let mut n_swept = 0;
        for upload in uploads.uploads() {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            if timestamp(upload.initiated()) >= before {
                continue;
            }
            let abort = self.client.abort_multipart_upload().bucket(&self.bucket);
            abort.key(key).upload_id(id).send().await.map_err(|error| {
                store_error(&self.describe(), "abort an unfinished upload", &error)
            })?;
            n_swept += 1;
        }
        Ok(n_swept)
    }
}

/// S3's time stamp, or now where a store leaves it out: an object of unknown age must look young to a sweep.
fn timestamp(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    let parsed = time.and_then(|time| Timestamp::from_second(time.secs()).ok());
    parsed.unwrap_or_else(|| Timestamp::now() + SignedDuration::from_secs(1))
}
