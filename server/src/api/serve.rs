//! Listeners and connections: a few threads, each with a runtime of its own, share the connections between them. What
//! TLS does before the first request is `tls`' business.
//!
//! One runtime per thread instead of one for all: a connection's tasks never migrate, and serving a call costs about a
//! third less than on a work-stealing runtime (`reference/storage-and-raft.md`, section 1.2).

use super::authority::RepairAuthority;
use super::conduct::Watched;
use super::door::{Door, Serves};
use super::identity::CertificateName;
use crate::config::ListenUrl;
use crate::tls::{Acceptor, Admitted, Peek, Socket};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Connections that wait for a serving thread to take them.
const ACCEPT_QUEUE: usize = 1024;
/// Bytes a client may send on one stream, and on one connection, before it must wait.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Streams on one connection where the flag allows more: its default, 2^32 - 1, is no limit at all.
const STREAMS_MAX: u32 = 100_000;
/// Bytes of a request's decoded headers. A token is the longest of them.
const HEADER_LIST_MAX: u32 = 64 * 1024;
/// Streams that a client has reset before they were taken up (rapid reset), and that were reset for its faults; beyond
/// these the connection ends with ENHANCE_YOUR_CALM.
const RESET_STREAMS_MAX: usize = 100;
const LOCAL_RESETS_MAX: usize = 1024;

/// Time that calls under way have to end once no more are taken: longer than the member waits for their outcomes.
const DRAIN_TIME: Duration = Duration::from_millis(1500);

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Threads that serve; at least one.
    pub threads: usize,
    /// `--max-concurrent-streams`.
    pub concurrent_streams_max: u32,
    /// Shortest time between a client's pings.
    pub ping_min: Duration,
    /// Time between server pings; `None` for no pings.
    pub keepalive_interval: Option<Duration>,
    /// Time to wait for a ping's answer.
    pub keepalive_timeout: Duration,
    /// `--socket-reuse-port`.
    pub reuse_port: bool,
    /// Client connections at a time.
    pub connections_max: usize,
    /// Time for the head of an HTTP/1.1 request.
    pub head_time: Duration,
}

/// A socket that has its address and does not listen yet: members that start together are refused by each other at once,
/// instead of waiting for each other.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(TcpSocket),
    /// A socket file; there is no such state for it.
    Unix(Listener),
}

impl Bound {
    /// Begins to listen.
    ///
    /// # Errors
    /// Another process was faster.
    pub fn listen(self) -> io::Result<Listener> {
        match self {
            Bound::Tcp(socket) => Ok(Listener::Tcp(socket.listen(ACCEPT_QUEUE as u32)?)),
            Bound::Unix(listener) => Ok(listener),
        }
    }
}

/// Sockets that listen and are not served yet.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file, removed again when the listener goes.
    Unix(UnixListener, std::path::PathBuf),
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Binds a URL. `localhost` is bound on its IPv4 address, as etcd does.
    ///
    /// # Errors
    /// The address is in use or not of this machine; the text names the URL.
    pub fn bind(url: &ListenUrl, reuse_port: bool) -> io::Result<Bound> {
        let failed = |error: io::Error| {
            let hint = if error.kind() == io::ErrorKind::AddrInUse {
                ". Another process listens there: stop it or choose another port."
            } else {
                ""
            };
            io::Error::new(error.kind(), format!("listen {url}: {error}{hint}"))
        };
        match url.host_and_port() {
            None => Listener::bind_unix(&url.address).map(Bound::Unix).map_err(failed),
            Some((host, port)) => Listener::bind_tcp(host, port, reuse_port).map_err(failed),
        }
    }

    fn bind_unix(path: &str) -> io::Result<Listener> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Listener::Unix(UnixListener::bind(path)?, path.into()))
    }

    fn bind_tcp(host: &str, port: &str, reuse_port: bool) -> io::Result<Bound> {
        let host = match host {
            "localhost" => "127.0.0.1",
            "" => "0.0.0.0",
            other => other,
        };
        let ip: std::net::IpAddr = host.parse().map_err(io::Error::other)?;
        let address = SocketAddr::new(ip, port.parse().map_err(io::Error::other)?);
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A member that restarts must not wait for the old connections' TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(reuse_port)?;
        socket.bind(address)?;
        Ok(Bound::Tcp(socket))
    }

    /// Accepts a connection whose kind does not matter to the caller, who admits it with what comes back.
    ///
    /// # Errors
    /// The system has no descriptors left, most likely.
    pub async fn accept_any(&self) -> io::Result<Incoming> {
        self.accept().await.map(Incoming)
    }

    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection::Tcp(stream))
            }
            Listener::Unix(listener, _) => Ok(Connection::Unix(listener.accept().await?.0)),
        }
    }
}

/// A connection that has not been admitted.
pub struct Incoming(Connection);

impl Incoming {
    /// Does what an [`Acceptor`] does, and says whether TLS was spoken.
    pub async fn admit(self, acceptor: &Acceptor) -> Option<Socket> {
        async fn socket<S: Peek + 'static>(
            stream: S,
            remote: Option<SocketAddr>,
            acceptor: &Acceptor,
        ) -> Option<Socket> {
            Some(match acceptor.admit(stream, remote).await? {
                Admitted::Plain(stream) => Box::new(stream),
                Admitted::Tls(stream, _) => stream,
            })
        }
        match self.0 {
            Connection::Tcp(stream) => {
                let remote = stream.peer_addr().ok();
                socket(stream, remote, acceptor).await
            }
            Connection::Unix(stream) => socket(stream, None, acceptor).await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            // The file is of no use without its listener; that it is gone already is fine.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The threads that serve connections. Dropping it ends them after the connections have been drained.
#[derive(Debug)]
pub struct Shards {
    connections: Arc<Semaphore>,
    queues: Vec<mpsc::Sender<Accepted>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

struct Accepted {
    connection: ConnectionParts,
    opening: Opening,
    /// Given back when the connection ends.
    permit: OwnedSemaphorePermit,
}

/// What is behind a listener.
#[derive(Clone)]
pub struct Opening {
    /// Who answers.
    pub door: Door,
    /// Plain, TLS or both.
    pub acceptor: Acceptor,
    /// What is answered.
    pub serves: Serves,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("accepted connection")
    }
}

/// A connection between two runtimes belongs to neither.
enum ConnectionParts {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl ConnectionParts {
    fn from(connection: Connection) -> io::Result<ConnectionParts> {
        Ok(match connection {
            Connection::Tcp(stream) => ConnectionParts::Tcp(stream.into_std()?),
            Connection::Unix(stream) => ConnectionParts::Unix(stream.into_std()?),
        })
    }
}

impl Shards {
    /// Starts the threads. They take no more calls when `stop` turns true, and end when their connections are drained.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub fn start(options: &ServeOptions, stop: &watch::Receiver<bool>) -> io::Result<Shards> {
        let connections = Arc::new(Semaphore::new(options.connections_max));
        let mut shards = Shards { connections, queues: Vec::new(), threads: Vec::new() };
        for number in 0..options.threads.max(1) {
            let (sender, receiver) = mpsc::channel(ACCEPT_QUEUE);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (options, stop) = (options.clone(), stop.clone());
            let thread = std::thread::Builder::new()
                .name(format!("api-{number}"))
                .spawn(move || runtime.block_on(serve_queue(receiver, options, stop)))?;
            shards.queues.push(sender);
            shards.threads.push(thread);
        }
        Ok(shards)
    }

    /// Accepts connections on a listener until `stop` turns true, and hands them to the threads in turn.
    pub async fn accept(
        &self,
        listener: Listener,
        opening: Opening,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut next = 0;
        loop {
            // Whoever comes when all places are taken waits in the system's queue, as with etcd.
            let (permit, connection) = tokio::select! {
                accepted = self.accept_one(&listener) => accepted,
                () = stopped(&mut stop) => return,
            };
            let Ok(permit) = permit else { return };
            match connection.and_then(ConnectionParts::from) {
                Ok(connection) => {
                    next = (next + 1) % self.queues.len();
                    let accepted = Accepted { connection, opening: opening.clone(), permit };
                    if self.queues[next].send(accepted).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a client connection");
                    // Out of descriptors, most likely: give some time to free them.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn accept_one(
        &self,
        listener: &Listener,
    ) -> (Result<OwnedSemaphorePermit, tokio::sync::AcquireError>, io::Result<Connection>) {
        let permit = self.connections.clone().acquire_owned().await;
        (permit, listener.accept().await)
    }

    /// Waits until all threads have ended.
    pub fn join(self) {
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
    }
}

/// HTTP/1.1 and HTTP/2 within their limits.
fn protocols(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.concurrent_streams_max.min(STREAMS_MAX))
        .max_header_list_size(HEADER_LIST_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.head_time);
    builder
}

async fn serve_queue(
    mut queue: mpsc::Receiver<Accepted>,
    options: ServeOptions,
    mut stop: watch::Receiver<bool>,
) {
    let builder = protocols(&options);
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = queue.recv() => match accepted {
                Some(accepted) => {
                    let (builder, ping_min) = (builder.clone(), options.ping_min);
                    tasks.spawn(serve_one(builder, accepted, ping_min, stop.clone()));
                }
                None => break,
            },
            Some(_) = tasks.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn serve_one(
    builder: auto::Builder<TokioExecutor>,
    accepted: Accepted,
    ping_min: Duration,
    stop: watch::Receiver<bool>,
) {
    let Accepted { connection, opening, permit } = accepted;
    match connection {
        ConnectionParts::Tcp(stream) => {
            let remote = stream.peer_addr().ok();
            if let Ok(stream) = TcpStream::from_std(stream) {
                admit(builder, stream, remote, opening, ping_min, stop).await;
            }
        }
        ConnectionParts::Unix(stream) => {
            if let Ok(stream) = UnixStream::from_std(stream) {
                admit(builder, stream, None, opening, ping_min, stop).await;
            }
        }
    }
    drop(permit);
}

async fn admit<S: Peek + 'static>(
    builder: auto::Builder<TokioExecutor>,
    stream: S,
    remote: Option<SocketAddr>,
    opening: Opening,
    ping_min: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let Opening { door, acceptor, serves } = opening;
    let admitted = tokio::select! {
        admitted = acceptor.admit(stream, remote) => admitted,
        () = stopped(&mut stop) => return,
    };
    let builder = if serves == Serves::Grpc { builder.http2_only() } else { builder };
    match admitted {
        None => {}
        Some(Admitted::Plain(stream)) => {
            let io = TokioIo::new(RepairAuthority::new(Watched::new(stream, ping_min)));
            drive(&builder, io, door.on_connection(serves, false, None), stop).await;
        }
        Some(Admitted::Tls(stream, name)) => {
            let io = TokioIo::new(RepairAuthority::new(Watched::new(stream, ping_min)));
            let door = door.on_connection(serves, true, name.map(CertificateName));
            drive(&builder, io, door, stop).await;
        }
    }
}

async fn drive<I>(
    builder: &auto::Builder<TokioExecutor>,
    io: I,
    door: Door,
    mut stop: watch::Receiver<bool>,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let connection = builder.serve_connection_with_upgrades(io, door);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => log_end(result),
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            // Clients that hold streams open do not keep a stopping member up.
            if let Ok(result) = tokio::time::timeout(DRAIN_TIME, connection).await {
                log_end(result);
            }
        }
    }
}

/// Waits until `stop` turns true; a dropped sender counts as true.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
}

fn log_end(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "client connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A request whose head does not come to its end in time is cut; on a connection that has been served before, too.
    #[tokio::test]
    async fn slow_heads_are_cut() {
        let options = ServeOptions {
            threads: 1,
            concurrent_streams_max: 1,
            ping_min: Duration::ZERO,
            keepalive_interval: None,
            keepalive_timeout: Duration::from_secs(20),
            reuse_port: false,
            connections_max: 1,
            head_time: Duration::from_millis(50),
        };
        for served in ["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
            let (mut client, server) = tokio::io::duplex(4096);
            let service = service_fn(|_: Request<hyper::body::Incoming>| async {
                Ok::<_, std::convert::Infallible>(Response::new(String::from("served")))
            });
            let builder = protocols(&options);
            tokio::spawn(async move {
                // How a cut connection ends is not the point.
                let _ = builder.serve_connection(TokioIo::new(server), service).await;
            });
            client.write_all(served.as_bytes()).await.unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
            let mut said = String::new();
            let end = client.read_to_string(&mut said);
            tokio::time::timeout(Duration::from_secs(60), end).await.unwrap().unwrap();
            assert_eq!(said.matches("served").count(), usize::from(!served.is_empty()), "{said}");
        }
    }
}
