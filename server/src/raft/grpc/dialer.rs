//! From a peer URL to a connection for gRPC; sockets and TLS are `tls`' business.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::raft::transport::{Lane, PeerError};
use crate::tls::TlsDialer;

/// Window of one stream on the bulk connection, in bytes.
const STREAM_WINDOW: u32 = 4 << 20;
/// Window of the whole bulk connection, in bytes.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// What a connection is for, and how soon a dead one must be noticed.
#[derive(Clone, Copy, Debug)]
pub struct ChannelSettings {
    /// Which of the two connections.
    pub lane: Lane,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// Pause between pings on a silent connection.
    pub ping_interval: Duration,
    /// An unanswered ping ends the connection after this time.
    pub ping_timeout: Duration,
}

/// Makes connections. They connect when first used and again when they broke.
pub trait Dialer: Send + Sync + 'static {
    /// A connection to the peer behind `url`.
    ///
    /// # Errors
    /// The URL cannot be used.
    fn dial(&self, url: &str, settings: &ChannelSettings) -> Result<Channel, PeerError>;
}

fn endpoint(uri: Uri, settings: &ChannelSettings) -> Endpoint {
    let endpoint = Endpoint::from(uri)
        .http2_keep_alive_interval(settings.ping_interval)
        .keep_alive_timeout(settings.ping_timeout)
        .keep_alive_while_idle(true);
    match settings.lane {
        Lane::Control => endpoint,
        Lane::Bulk => endpoint
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW),
    }
}

/// The URI that requests carry. TLS is spoken below, so that its scheme is always `http`; a socket file has no host.
fn request_uri(url: &str) -> Option<Uri> {
    let (scheme, address) = url.split_once("://")?;
    let address = if scheme.starts_with("unix") { "unix.socket" } else { address };
    format!("http://{address}").parse().ok()
}

impl Dialer for TlsDialer {
    fn dial(&self, url: &str, settings: &ChannelSettings) -> Result<Channel, PeerError> {
        self.check(url).map_err(|error| PeerError::Unreachable(error.to_string()))?;
        let uri = request_uri(url)
            .ok_or_else(|| PeerError::Unreachable(format!("peer URL {url}: not a URL")))?;
        let (dialer, url, limit) = (self.clone(), url.to_owned(), settings.connect_timeout);
        let connect = tower::service_fn(move |_: Uri| {
            let (dialer, url) = (dialer.clone(), url.clone());
            async move { TlsDialer::dial(&dialer, &url, b"h2", limit).await.map(TokioIo::new) }
        });
        Ok(endpoint(uri, settings).connect_with_connector_lazy(connect))
    }
}
