//! `GET` over HTTP/1.1 for `/metrics`, `/health` and `/version`, with the client's TLS. Not a general HTTP client.

use crate::config::Config;
use crate::dial::{Dialer, Opened};
use crate::endpoint::Endpoint;
use crate::error::{ClientError, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;

/// Largest body read: a busy etcd's metrics are about 200 KiB.
const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// HTTP status code.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Fetches `path` (with its leading slash) from an endpoint within `timeout`. Any HTTP status is an answer.
///
/// # Errors
/// No connection, a broken answer, or the time limit.
pub async fn http_get(
    config: &Config,
    endpoint: &str,
    path: &str,
    timeout: Duration,
) -> Result<HttpAnswer> {
    let endpoint = Endpoint::parse(endpoint, config)?;
    let url = format!("{}://{}{path}", endpoint.scheme(), endpoint.authority());
    let failed = |cause: String| ClientError::Http { method: "GET", url: url.clone(), cause };
    let fetch = async {
        let dialer = Dialer::new(&endpoint, config, b"http/1.1")?;
        let connection = dialer.dial().await.map_err(|error| ClientError::Connect {
            endpoint: endpoint.text.clone(),
            cause: error.to_string(),
        })?;
        exchange(connection, &endpoint, path).await.map_err(|error| failed(error.to_string()))
    };
    match tokio::time::timeout(timeout, fetch).await {
        Ok(answer) => answer,
        Err(_) => Err(failed(format!("no answer within {timeout:?}"))),
    }
}

async fn exchange(
    connection: crate::dial::Connection,
    endpoint: &Endpoint,
    path: &str,
) -> std::result::Result<HttpAnswer, Box<dyn std::error::Error + Send + Sync>> {
    let io = TokioIo::new(Opened(connection));
    let (mut sender, driver) = hyper::client::conn::http1::handshake(io).await?;
    let request = http::Request::get(path)
        .header(http::header::HOST, endpoint.authority())
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), BODY_LIMIT_BYTES).collect().await?.to_bytes();
        Ok(HttpAnswer { status, body })
    };
    // The driver moves the bytes; it ends when the exchange does, so neither outlives the other.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        result = driver => { result?; answer.await }
    }
}
