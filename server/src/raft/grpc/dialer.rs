//! From a peer URL to a connection. Plain TCP and Unix sockets live here; TLS comes as another [`Dialer`].

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::raft::transport::{Lane, PeerError};

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

/// Connections without TLS: `http://…` and `unix://…`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDialer;

/// The endpoint with everything that does not depend on TLS.
pub(super) fn endpoint(uri: Uri, settings: &ChannelSettings) -> Endpoint {
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        .connect_timeout(settings.connect_timeout)
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

impl Dialer for PlainDialer {
    fn dial(&self, url: &str, settings: &ChannelSettings) -> Result<Channel, PeerError> {
        let unusable = |why: &str| PeerError::Unreachable(format!("peer URL {url}: {why}"));
        // etcd's: `unix://name:port` is a file of that name in the working directory.
        if let Some(path) = url.strip_prefix("unix://") {
            let path = path.to_owned();
            let connect = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            let endpoint = endpoint(Uri::from_static("http://unix.socket"), settings);
            return Ok(endpoint.connect_with_connector_lazy(connect));
        }
        let uri: Uri = url.parse().map_err(|_| unusable("not a URL"))?;
        match uri.scheme_str() {
            Some("http") => Ok(endpoint(uri, settings).connect_lazy()),
            Some("https") => Err(unusable("TLS between peers is not configured on this member")),
            _ => Err(unusable("unknown scheme")),
        }
    }
}
