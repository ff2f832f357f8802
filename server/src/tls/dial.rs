//! Calls to peers: TCP or a socket file, with or without TLS, within a time limit.

use super::accept::Socket;
use super::keeper::TlsKeeper;
use super::refusal;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL.
    #[error("peer URL {url}: {why}")]
    Url {
        /// It.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The system's refusal, or TLS' one.
    #[error("{0}")]
    Refused(String),
    /// Nothing came of it in time.
    #[error("no connection within {0:?}")]
    Late(Duration),
}

/// Opens connections to peer URLs. Clones share their TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsDialer {
    tls: Option<Arc<TlsKeeper>>,
    /// The address to call from, where it is not the system's business.
    source: Option<IpAddr>,
}

/// Where a URL leads.
enum Target<'a> {
    Tcp(&'a str),
    /// etcd's: `unix://name:port` is a file of that name in the working directory.
    Unix(&'a str),
}

impl TlsDialer {
    /// A dialer; without TLS it refuses `https` and `unixs`.
    pub fn new(tls: Option<Arc<TlsKeeper>>) -> TlsDialer {
        TlsDialer { tls, source: None }
    }

    /// The dialer that calls from this address, since peers may compare it with the certificate.
    pub fn calling_from(self, source: Option<IpAddr>) -> TlsDialer {
        TlsDialer { source, ..self }
    }

    /// Opens a connection over which `protocol` (`h2` or `http/1.1`) will be spoken.
    ///
    /// # Errors
    /// The URL cannot be used, nobody listens there, or the certificates do not fit.
    pub async fn dial(
        &self,
        url: &str,
        protocol: &'static [u8],
        limit: Duration,
    ) -> Result<Socket, DialError> {
        match tokio::time::timeout(limit, self.connect(url, protocol)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DialError::Late(limit)),
        }
    }

    /// Says before any connection whether a URL can be used at all.
    ///
    /// # Errors
    /// Unknown scheme, or TLS where none is configured.
    pub fn check(&self, url: &str) -> Result<(), DialError> {
        self.target(url).map(drop)
    }

    fn target<'a>(&self, url: &'a str) -> Result<(Target<'a>, Option<&Arc<TlsKeeper>>), DialError> {
        let wrong = |why| DialError::Url { url: url.to_owned(), why };
        let secure = || {
            self.tls.as_ref().map(Some).ok_or_else(|| {
                wrong(
                    "TLS between peers is not configured on this member; see --peer-cert-file and --peer-key-file",
                )
            })
        };
        match url.split_once("://") {
            Some(("http", address)) => Ok((Target::Tcp(address), None)),
            Some(("https", address)) => Ok((Target::Tcp(address), secure()?)),
            Some(("unix", path)) => Ok((Target::Unix(path), None)),
            Some(("unixs", path)) => Ok((Target::Unix(path), secure()?)),
            _ => Err(wrong("unknown scheme")),
        }
    }

    async fn connect(&self, url: &str, protocol: &'static [u8]) -> Result<Socket, DialError> {
        let refused = |error: std::io::Error| DialError::Refused(error.to_string());
        let (target, tls) = self.target(url)?;
        let socket: Socket = match target {
            Target::Tcp(address) => {
                let stream = tcp(address, self.source).await.map_err(refused)?;
                stream.set_nodelay(true).map_err(refused)?;
                Box::new(stream)
            }
            Target::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(refused)?),
        };
        let Some(keeper) = tls else { return Ok(socket) };
        let host = match (&keeper.options().server_name, target) {
            (Some(name), _) => name.as_str(),
            (None, Target::Tcp(address)) => host_of(address),
            (None, Target::Unix(_)) => "localhost",
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| DialError::Url { url: url.to_owned(), why: "no host for TLS in it" })?;
        let why = super::verify::Why::default();
        let config = keeper.material().client(&why, protocol);
        let config = config.map_err(|error| DialError::Refused(error.to_string()))?;
        let connected = TlsConnector::from(config).connect(name, socket).await;
        let stream = connected.map_err(|error| {
            let text = why.lock().take().unwrap_or_else(|| refusal::describe(&error));
            DialError::Refused(text)
        })?;
        Ok(Box::new(stream))
    }
}

async fn tcp(address: &str, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let mut refused = io::Error::other(format!("{address} has no address of the kind of {source}"));
    for to in lookup_host(address).await? {
        if to.is_ipv4() != source.is_ipv4() {
            continue;
        }
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        match socket.connect(to).await {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The host of `host:port`, without the brackets of an IPv6 address.
pub(super) fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Who is called sees the address that was asked for.
    #[tokio::test]
    async fn calls_come_from_the_source() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let source: IpAddr = "127.0.0.2".parse().unwrap();
        let dialer = TlsDialer::default().calling_from(Some(source));
        let limit = Duration::from_secs(30);
        let (called, dialled) = tokio::join!(listener.accept(), dialer.dial(&url, b"h2", limit));
        assert_eq!(called.unwrap().1.ip(), source);
        dialled.unwrap();
        let other = TlsDialer::default().calling_from(Some("::1".parse().unwrap()));
        assert!(other.dial(&url, b"h2", limit).await.is_err(), "no address of that kind");
    }
}
