//! An S3 server on loopback, in this process: what a bucket in a cloud would be to the backup agent.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The bucket that the demo's backups go to.
pub const BUCKET: &str = "backups";
/// Keys of a store that lives as long as the demo and listens on loopback only.
pub const ACCESS_KEY: &str = "demo-access-key";
pub const SECRET_KEY: &str = "demo-secret-key";

/// The server; it ends when it is dropped.
pub struct ObjectStore {
    pub url: String,
    accepting: JoinHandle<()>,
}

impl ObjectStore {
    /// Serves the objects under `folder`, where the bucket is made.
    pub async fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder.join(BUCKET)).with_context(|| folder.display().to_string())?;
        let files = FileSystem::new(folder)
            .map_err(|error| anyhow::anyhow!("{}: {error:?}", folder.display()))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let accepting = tokio::spawn(accept(listener, service.build()));
        Ok(Self { url, accepting })
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: S3Service) {
    // A failed accept is a client that went away; the next one is not its fault.
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(socket), service);
                // A broken connection is told to its client, which retries; nobody reads it here.
                connection.await.ok();
            });
        }
    }
}
