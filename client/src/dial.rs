//! Opens connections: TCP or unix socket, TLS or not, within the dial timeout. Knows nothing of gRPC calls.
//!
//! A failure here is a [`DialError`], which is how the call layer knows that a request never left this machine.

use crate::config::Config;
use crate::endpoint::{Endpoint, Target};
use crate::error::Result;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// An open connection of any kind.
pub(crate) type Connection = Box<dyn Duplex>;

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DialError(String);

/// The dial failure below `error`, if there is one.
pub(crate) fn dial_cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(dial) = error.downcast_ref::<DialError>() {
            return Some(dial.0.clone());
        }
        next = error.source();
    }
    None
}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Arc<Endpoint>,
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialer {
    /// Prepares TLS where the endpoint needs it. `alpn` is the protocol to agree on.
    pub(crate) fn new(endpoint: &Endpoint, config: &Config, alpn: &[u8]) -> Result<Self> {
        let tls = if endpoint.secure {
            let files = config.tls.clone().unwrap_or_default();
            let name = files.server_name.clone().unwrap_or_else(|| endpoint.host().to_owned());
            let name = ServerName::try_from(name.clone()).map_err(|_| {
                crate::ClientError::Config(format!("{name:?} cannot be a server name in TLS"))
            })?;
            Some((TlsConnector::from(crate::tls::client_config(&files, alpn)?), name))
        } else {
            None
        };
        Ok(Dialer { endpoint: Arc::new(endpoint.clone()), timeout: config.dial_timeout, tls })
    }

    /// Opens a connection.
    pub(crate) async fn dial(&self) -> std::result::Result<Connection, DialError> {
        let attempt = async {
            let connection = self.open().await.map_err(|error| DialError(error.to_string()))?;
            let Some((tls, name)) = &self.tls else { return Ok(connection) };
            let stream = tls
                .connect(name.clone(), connection)
                .await
                .map_err(|error| DialError(format!("TLS handshake failed: {error}")))?;
            Ok(Box::new(stream) as Connection)
        };
        tokio::time::timeout(self.timeout, attempt)
            .await
            .unwrap_or_else(|_| Err(DialError(format!("no connection within {:?}", self.timeout))))
    }

    async fn open(&self) -> io::Result<Connection> {
        match &self.endpoint.target {
            Target::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

impl tower::Service<http::Uri> for Dialer {
    type Response = TokioIo<Opened>;
    type Error = DialError;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    /// The address of the request is ignored: a dialer serves one endpoint.
    fn call(&mut self, _: http::Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { Ok(TokioIo::new(Opened(dialer.dial().await?))) })
    }
}

/// A connection as a named type, which tonic's connector asks for.
pub(crate) struct Opened(pub(crate) Connection);

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
