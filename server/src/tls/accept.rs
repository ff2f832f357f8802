//! Connections that come in: plain or TLS by their first byte, the handshake within its time, who is let in.
//!
//! Handshakes that do not end hold nobody up: each has ten seconds, and when too many are unfinished the oldest gives way
//! to the newest, so that a flood of half-open ones cannot keep others out (GHSA-6vch-q96h-7gc3).

use super::certificate::Facts;
use super::keeper::TlsKeeper;
use super::refusal;
use super::verify::Why;
use parking_lot::Mutex;
use rustix::net::RecvFlags;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Time for a handshake, as etcd's.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Time for the first byte where it tells TLS from plain text: that of etcd's HTTP servers for a request's head.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(300);
/// Unfinished handshakes of a door.
const UNFINISHED_MAX: usize = 1024;
/// Time to find out whether a name belongs to a caller's address.
const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// What every TLS connection begins with: the kind "handshake" of its first record.
const TLS_FIRST_BYTE: u8 = 0x16;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection of any kind.
pub type Socket = Box<dyn Duplex>;

/// A connection whose first byte can be looked at without taking it.
pub trait Peek: Duplex {
    /// The first byte; `None` when the other end has closed.
    fn first_byte(&self) -> impl Future<Output = io::Result<Option<u8>>> + Send;
}

fn peek(fd: impl std::os::fd::AsFd) -> io::Result<Option<u8>> {
    let mut byte = [0_u8];
    let (read, _) = rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK)?;
    Ok((read > 0).then_some(byte[0]))
}

impl Peek for TcpStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        self.async_io(Interest::READABLE, || peek(self)).await
    }
}

impl Peek for UnixStream {
    async fn first_byte(&self) -> io::Result<Option<u8>> {
        self.async_io(Interest::READABLE, || peek(self)).await
    }
}

/// Handshakes of a door that are not finished.
#[derive(Clone, Debug, Default)]
pub struct Handshakes {
    unfinished: Arc<Mutex<Unfinished>>,
}

#[derive(Debug, Default)]
struct Unfinished {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

struct Turn {
    number: u64,
    gave_way: CancellationToken,
    handshakes: Handshakes,
}

impl Handshakes {
    fn begin(&self) -> Turn {
        let mut unfinished = self.unfinished.lock();
        if unfinished.waiting.len() >= UNFINISHED_MAX
            && let Some((_, oldest)) = unfinished.waiting.pop_first()
        {
            oldest.cancel();
        }
        let (number, gave_way) = (unfinished.next, CancellationToken::new());
        unfinished.next += 1;
        unfinished.waiting.insert(number, gave_way.clone());
        Turn { number, gave_way, handshakes: self.clone() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.handshakes.unfinished.lock().waiting.remove(&self.number);
    }
}

/// What a listener makes of connections.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    tls: Option<Arc<TlsKeeper>>,
    takes_plain: bool,
    handshakes: Handshakes,
}

/// A connection that was let in.
pub enum Admitted<S> {
    /// Without TLS.
    Plain(S),
    /// With TLS, and the CommonName of a certificate that was demanded and verified.
    Tls(Box<TlsStream<S>>, Option<Arc<str>>),
}

impl Acceptor {
    /// Takes whatever comes, without TLS.
    pub fn plain() -> Acceptor {
        Acceptor { takes_plain: true, ..Acceptor::default() }
    }

    /// Demands TLS, or takes both on one port.
    pub fn with_tls(keeper: Arc<TlsKeeper>, takes_plain: bool) -> Acceptor {
        Acceptor { tls: Some(keeper), takes_plain, ..Acceptor::default() }
    }

    /// True where TLS is spoken.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// True where connections without TLS are let in.
    pub fn takes_plain(&self) -> bool {
        self.takes_plain
    }

    /// Does what is to be done before the first request. `None` is a refusal, which is logged and counted.
    pub async fn admit<S: Peek>(
        &self,
        stream: S,
        remote: Option<SocketAddr>,
    ) -> Option<Admitted<S>> {
        let Some(keeper) = &self.tls else { return Some(Admitted::Plain(stream)) };
        let turn = self.handshakes.begin();
        let outcome = tokio::select! {
            outcome = self.sort(keeper, stream, remote) => outcome,
            () = turn.gave_way.cancelled() => {
                Err(Refused::new("too many handshakes are unfinished, and this was the oldest"))
            }
        };
        match outcome {
            Ok(admitted) => admitted,
            Err(refused) => {
                refused.log(keeper, remote);
                None
            }
        }
    }

    async fn sort<S: Peek>(
        &self,
        keeper: &TlsKeeper,
        stream: S,
        remote: Option<SocketAddr>,
    ) -> Result<Option<Admitted<S>>, Refused> {
        if self.takes_plain {
            let first = tokio::time::timeout(FIRST_BYTE_TIME, stream.first_byte()).await;
            match first.map_err(|_| Refused::new("nothing was sent"))? {
                Ok(Some(TLS_FIRST_BYTE)) => {}
                Ok(Some(_)) => return Ok(Some(Admitted::Plain(stream))),
                // Somebody who only looks whether the port is open is no event.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
        let shaking = shake_hands(keeper, stream, remote);
        match tokio::time::timeout(HANDSHAKE_TIME, shaking).await {
            Ok(outcome) => outcome.map(Some),
            Err(_) => Err(Refused::new("TLS handshake timed out")),
        }
    }
}

/// A handshake that came to nothing.
struct Refused {
    server_name: String,
    error: String,
}

impl Refused {
    fn new(error: &str) -> Refused {
        Refused { server_name: String::new(), error: error.to_owned() }
    }

    fn log(self, keeper: &TlsKeeper, remote: Option<SocketAddr>) {
        let door = keeper.options().door;
        keeper.metrics().tls.handshakes_failed.with_label_values(&[door]).inc();
        let remote_addr = remote.map(|remote| remote.to_string()).unwrap_or_default();
        let Refused { server_name, error } = self;
        if door == "peer" {
            tracing::warn!(remote_addr, server_name, error, "rejected connection on peer endpoint");
        } else {
            tracing::warn!(
                remote_addr,
                server_name,
                error,
                "rejected connection on client endpoint"
            );
        }
    }
}

async fn shake_hands<S: Duplex>(
    keeper: &TlsKeeper,
    stream: S,
    remote: Option<SocketAddr>,
) -> Result<Admitted<S>, Refused> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await;
    let hello = hello.map_err(|error| Refused::new(&refusal::describe(&error)))?;
    let server_name = hello.client_hello().server_name().unwrap_or_default().to_owned();
    let refused = |error: String| Refused { server_name: server_name.clone(), error };
    let why = Why::default();
    let config = keeper.material().server(&why).map_err(|error| refused(error.to_string()))?;
    let stream = hello
        .into_stream(config)
        .await
        .map_err(|error| refused(why.lock().take().unwrap_or_else(|| refusal::describe(&error))))?;
    let options = keeper.options();
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(shown) = shown else { return Ok(Admitted::Tls(Box::new(stream), None)) };
    let facts = Facts::read(shown).map_err(refused)?;
    if let (true, Some(remote)) = (options.checks_address, remote) {
        check_address(&facts, remote.ip()).await.map_err(refused)?;
    }
    let name = (options.client_cert_auth && !facts.common_name.is_empty())
        .then(|| Arc::from(facts.common_name));
    Ok(Admitted::Tls(Box::new(stream), name))
}

/// A peer's certificate that names addresses or hosts must name where it calls from, by address, by looking up the
/// address, or by looking up the names.
async fn check_address(facts: &Facts, remote: IpAddr) -> Result<(), String> {
    let remote = remote.to_canonical();
    if facts.addresses.is_empty() && facts.hosts.is_empty() {
        return Ok(());
    }
    if facts.addresses.contains(&remote) {
        return Ok(());
    }
    if facts.hosts.is_empty() {
        let addresses: Vec<String> = facts.addresses.iter().map(ToString::to_string).collect();
        return Err(format!(
            "x509: certificate is valid for {}, not {remote}",
            addresses.join(", ")
        ));
    }
    match tokio::time::timeout(LOOKUP_TIME, belongs(&facts.hosts, remote)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(mismatch(facts, remote, "")),
        Err(_) => Err(mismatch(facts, remote, " (the names were not found in time)")),
    }
}

/// Go's text.
fn mismatch(facts: &Facts, remote: IpAddr, more: &str) -> String {
    let names: Vec<String> = facts.hosts.iter().map(|host| format!("{host:?}")).collect();
    let remote = remote.to_string();
    format!("tls: {remote:?} does not match any of DNSNames [{}]{more}", names.join(" "))
}

async fn belongs(hosts: &[String], remote: IpAddr) -> bool {
    let found = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&remote).ok()).await;
    if let Ok(Some(found)) = found {
        let found = found.trim_end_matches('.').to_owned();
        let fits = |host: &String| match host.strip_prefix('*') {
            // etcd's rule: any number of labels.
            Some(end) => end.starts_with('.') && found.ends_with(end),
            None => *host == found,
        };
        if hosts.iter().any(fits) {
            return true;
        }
    }
    for host in hosts.iter().filter(|host| !host.starts_with("*.")) {
        if let Ok(mut addresses) = tokio::net::lookup_host((host.as_str(), 0)).await
            && addresses.any(|address| address.ip().to_canonical() == remote)
        {
            return true;
        }
    }
    false
}
