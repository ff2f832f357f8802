//! A real S3 server (`s3s-fs`) on loopback that verifies signatures and checksums, with faults on request.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The bucket that is there.
pub const BUCKET: &str = "backups";
const ACCESS_KEY: &str = "AKIAQUORATETEST";
const SECRET_KEY: &str = "a-secret-for-tests-only";

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None = 0,
    /// Every write after the first part is answered by 403, as when a credential expires.
    WritesRefused = 1,
    /// Every third request is answered by 503 once, as an overloaded store does.
    Flaky = 2,
}

struct Faults {
    mode: AtomicU8,
    n_requests: AtomicU32,
}

/// The server; stops with the test's runtime.
pub struct S3Server {
    pub url: String,
    root: TempDir,
    faults: Arc<Faults>,
}

impl S3Server {
    /// Starts a server with one empty bucket.
    pub async fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let file_system = s3s_fs::FileSystem::new(root.path()).expect("a file system");
        let mut builder = S3ServiceBuilder::new(file_system);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let faults = Arc::new(Faults { mode: AtomicU8::new(0), n_requests: AtomicU32::new(0) });
        tokio::spawn(serve(listener, service, Arc::clone(&faults)));
        Self { url, root, faults }
    }

    /// Store URL of a prefix.
    pub fn store(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// The environment that holds the keys.
    pub fn credentials(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            pair("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            pair("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            pair("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Files that hold the keys.
    pub fn key_files(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let files = (directory.join("access-key"), directory.join("secret-key"));
        std::fs::write(&files.0, format!("{ACCESS_KEY}\n")).expect("a file");
        std::fs::write(&files.1, format!("{SECRET_KEY}\n")).expect("a file");
        files
    }

    /// From now on, misbehave like this.
    pub fn set_fault(&self, fault: Fault) {
        self.faults.n_requests.store(0, Ordering::SeqCst);
        self.faults.mode.store(fault as u8, Ordering::SeqCst);
    }

    /// The file that holds an object.
    pub fn object_path(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }
}

async fn serve(listener: TcpListener, service: S3Service, faults: Arc<Faults>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, faults) = (service.clone(), Arc::clone(&faults));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let (service, faults) = (service.clone(), Arc::clone(&faults));
                async move {
                    if let Some(status) = fault(&faults, &request) {
                        // An answer before the body has come would break the connection instead.
                        let _ = request.into_body().collect().await;
                        let mut refused = Response::new(Body::empty());
                        *refused.status_mut() = status;
                        return Ok::<_, Infallible>(refused);
                    }
                    let answer = service.call(request.map(Body::from)).await;
                    Ok(answer.unwrap_or_else(|error| panic!("s3 server: {error:?}")))
                }
            });
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

fn fault(faults: &Faults, request: &hyper::Request<hyper::body::Incoming>) -> Option<StatusCode> {
    let mode = faults.mode.load(Ordering::SeqCst);
    let is_write = request.method() == hyper::Method::PUT;
    if mode == Fault::WritesRefused as u8 && is_write {
        let n_earlier = faults.n_requests.fetch_add(1, Ordering::SeqCst);
        return (n_earlier >= 1).then_some(StatusCode::FORBIDDEN);
    }
    if mode == Fault::Flaky as u8 {
        let n_earlier = faults.n_requests.fetch_add(1, Ordering::SeqCst);
        return (n_earlier % 3 == 1).then_some(StatusCode::SERVICE_UNAVAILABLE);
    }
    None
}
