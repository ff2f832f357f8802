//! Which ports there are, what is served behind each, and the TLS of both sides; nothing is accepted here.

use super::error::{Context as _, Result, refuse};
use crate::api::{Bound, Door, Listener, Opening, ServeOptions, Serves};
use crate::config::{Config, DoorSecurity, ListenUrl, Security, TlsVersion};
use crate::metrics::Metrics;
use crate::tls::{
    Acceptor, Allowed, Pair, TlsDialer, TlsKeeper, TlsOptions, Version, make_self_signed,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Descriptors that are not for clients, as in etcd.
const RESERVED_DESCRIPTORS: u64 = 150;

/// Time for the head of an HTTP/1.1 request: etcd's `ReadHeaderTimeout`.
const HEAD_TIME: Duration = Duration::from_secs(300);
/// Shortest time between a client's pings where the flag is 0: grpc-go's own default, as with etcd.
const PING_MIN_DEFAULT: Duration = Duration::from_secs(300);
/// TLS of this member.
pub(super) struct Tls {
    pub(super) client: Option<Arc<TlsKeeper>>,
    pub(super) peer: Option<Arc<TlsKeeper>>,
    /// The address that peers are called from, where it is not the system's choice.
    source: Option<IpAddr>,
}

impl Tls {
    /// Reads the files, and makes those of `--auto-tls`.
    ///
    /// # Errors
    /// A file that cannot be used; its text names it.
    pub(super) fn open(config: &Config, metrics: &Metrics) -> Result<Tls> {
        let security = &config.security;
        let fixtures = config.data_dir.join("fixtures");
        let client_urls =
            || config.listen_client_urls.iter().chain(&config.listen_client_http_urls);
        let serves_tls = client_urls().chain(&config.listen_metrics_urls).any(ListenUrl::is_tls);
        let mut client = None;
        if serves_tls {
            let hosts = hosts(client_urls());
            let folder = fixtures.join("client");
            let pair = pair(&security.client, &folder, &hosts, security.self_signed_years)?;
            client = Some(keeper("client", &security.client, security, pair, metrics)?);
        }
        let mut peer = None;
        // Calls to peers need it even where the peer URLs are plain.
        if !security.peer.is_empty() {
            let hosts = hosts(config.listen_peer_urls.iter());
            let folder = fixtures.join("peer");
            let pair = pair(&security.peer, &folder, &hosts, security.self_signed_years)?;
            peer = Some(keeper("peer", &security.peer, security, pair, metrics)?);
        }
        Ok(Tls { client, peer, source: source(config) })
    }

    /// How peers are called.
    pub(super) fn dialer(&self) -> TlsDialer {
        TlsDialer::new(self.peer.clone()).calling_from(self.source)
    }
}

/// The address that peers are called from: the first advertised one that others can see, with the gate
/// `SetMemberLocalAddr`; else the system's choice. A member whose certificate names one address of several needs it.
fn source(config: &Config) -> Option<IpAddr> {
    if !config.feature_gates.is_on("SetMemberLocalAddr") {
        return None;
    }
    let urls = &config.initial_advertise_peer_urls;
    let hosts = urls.iter().filter_map(ListenUrl::host_and_port).map(|(host, _)| host);
    let mut addresses = hosts.filter_map(|host| host.parse::<IpAddr>().ok());
    let source = addresses.find(|it| !it.is_loopback() && !it.is_unspecified());
    match source {
        Some(address) => tracing::info!(%address, "setting member local address"),
        None => tracing::warn!(
            "unable to set a member local address due to lack of suitable local addresses"
        ),
    }
    source
}

fn hosts<'a>(urls: impl Iterator<Item = &'a ListenUrl>) -> Vec<String> {
    let mut hosts: Vec<String> =
        urls.filter_map(|url| url.host_and_port()).map(|(host, _)| host.to_owned()).collect();
    hosts.sort();
    hosts.dedup();
    hosts.retain(|host| !host.is_empty());
    hosts
}

fn pair(door: &DoorSecurity, folder: &Path, hosts: &[String], years: u32) -> Result<Pair> {
    match (&door.cert_file, &door.key_file) {
        (Some(cert), Some(key)) => {
            if door.auto_tls {
                tracing::warn!("ignoring auto TLS since certs given");
            }
            Ok(Pair { cert: cert.clone(), key: key.clone() })
        }
        _ => make_self_signed(folder, hosts, years).context("auto TLS"),
    }
}

fn keeper(
    name: &'static str,
    door: &DoorSecurity,
    security: &Security,
    pair: Pair,
    metrics: &Metrics,
) -> Result<Arc<TlsKeeper>> {
    let version = |version| match version {
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    };
    let is_self_signed = door.cert_file.is_none();
    let allowed = match (&door.allowed_cns[..], &door.allowed_hostnames[..]) {
        ([], []) => Allowed::Any,
        ([], hosts) => Allowed::Hosts(hosts.to_vec()),
        (names, _) => Allowed::CommonNames(names.to_vec()),
    };
    // Members that made their own certificates cannot check each other's: etcd drops these flags without a word.
    let is_blind = name == "peer" && is_self_signed;
    if is_blind && (door.client_cert_auth || door.trusted_ca_file.is_some()) {
        tracing::warn!(
            "--peer-auto-tls: members cannot verify each other, so --peer-client-cert-auth and --peer-trusted-ca-file have no effect; give the members certificates"
        );
    }
    let options = TlsOptions {
        door: name,
        pair,
        calling_pair: match (&door.client_cert_file, &door.client_key_file) {
            (Some(cert), Some(key)) => Some(Pair { cert: cert.clone(), key: key.clone() }),
            _ => None,
        },
        trusted_ca: door.trusted_ca_file.clone().filter(|_| !is_blind),
        client_cert_auth: door.client_cert_auth && !is_blind,
        crl: door.crl_file.clone().filter(|_| !is_blind),
        allowed: if is_blind { Allowed::Any } else { allowed },
        cipher_suites: security.cipher_suites.clone(),
        min_version: version(security.min_version),
        max_version: version(security.max_version),
        is_self_signed,
        checks_address: !door.skip_client_san_verification && !is_blind,
        server_name: None,
    };
    tracing::info!(
        cert = %options.pair.cert.display(),
        key = %options.pair.key.display(),
        trusted_ca = %shown(&options.trusted_ca),
        client_cert_auth = options.client_cert_auth,
        crl_file = %shown(&options.crl),
        "starting with {name} TLS"
    );
    TlsKeeper::open(options, metrics.clone()).with_context(|| format!("{name} TLS"))
}

/// A path for the log; empty where none is given, as etcd writes it.
fn shown(path: &Option<PathBuf>) -> std::path::Display<'_> {
    path.as_deref().unwrap_or(Path::new("")).display()
}

/// A port for clients. It listens, so that who calls a member that is starting waits for it, as with etcd.
pub(super) struct ClientPort {
    address: String,
    serves: Serves,
    acceptor: Acceptor,
    listener: Listener,
}

impl ClientPort {
    /// True for a port that a member serves before it is ready: whoever looks after it wants to know why it is not.
    pub(super) fn opens_early(&self) -> bool {
        self.serves == Serves::Metrics
    }

    /// What is to be served, said in etcd's words.
    pub(super) fn open(self, door: &Door) -> (Listener, Opening) {
        let ClientPort { address, serves, acceptor, listener } = self;
        let traffic = serves.traffic();
        if acceptor.takes_plain() {
            tracing::info!(
                traffic,
                address,
                "serving client traffic insecurely; this is strongly discouraged!"
            );
        }
        if acceptor.is_secure() {
            tracing::info!(traffic, address, "serving client traffic securely");
        }
        (listener, Opening { door: door.clone(), acceptor, serves })
    }
}

/// Takes the ports for clients and metrics. One address under `http` and `https` is one port that speaks both.
///
/// # Errors
/// A port is in use.
pub(super) fn bind_client_ports(config: &Config, tls: &Tls) -> Result<Vec<ClientPort>> {
    let is_split = !config.listen_client_http_urls.is_empty();
    let calls = if is_split { Serves::Grpc } else { Serves::All };
    let calls = config.listen_client_urls.iter().map(|url| (url, calls));
    let pages = config.listen_client_http_urls.iter().map(|url| (url, Serves::Http));
    let metrics = config.listen_metrics_urls.iter().map(|url| (url, Serves::Metrics));
    let mut groups: Vec<(&ListenUrl, Serves, bool, bool)> = Vec::new();
    for (url, serves) in calls.chain(pages).chain(metrics) {
        warn_of_plain(url, &config.security.client, "client");
        let known =
            groups.iter_mut().find(|group| group.0.address == url.address && group.1 == serves);
        let group = match known {
            Some(group) => group,
            None => groups.push_mut((url, serves, false, false)),
        };
        group.2 |= url.is_tls();
        group.3 |= !url.is_tls();
    }
    let open = |(url, serves, is_secure, is_plain): (&ListenUrl, _, _, _)| {
        let acceptor = match (&tls.client, is_secure) {
            (Some(keeper), true) => Acceptor::with_tls(keeper.clone(), is_plain),
            _ => Acceptor::plain(),
        };
        let socket =
            Listener::bind(url, config.socket_reuse_port).context("failed to take a port")?;
        let listener = socket.listen().context("failed to listen")?;
        Ok(ClientPort { address: url.address.clone(), serves, acceptor, listener })
    };
    groups.into_iter().map(open).collect()
}

/// etcd's warnings about a plain URL beside certificates.
fn warn_of_plain(url: &ListenUrl, door: &DoorSecurity, kind: &str) {
    if url.is_tls() {
        return;
    }
    if !door.is_empty() {
        tracing::warn!(
            url = %url,
            "scheme is http or unix while key and cert files are present; ignoring key and cert files for this {kind} url"
        );
    }
    if door.client_cert_auth {
        tracing::warn!(
            url = %url,
            "scheme is http or unix while client cert auth is enabled; ignoring client cert auth for this {kind} url"
        );
    }
}

/// Takes the ports for peers.
///
/// # Errors
/// A port is in use.
pub(super) fn bind_peer_ports(config: &Config, tls: &Tls) -> Result<Vec<(Bound, Acceptor)>> {
    let open = |url: &ListenUrl| {
        warn_of_plain(url, &config.security.peer, "peer");
        let acceptor = match &tls.peer {
            Some(keeper) if url.is_tls() => Acceptor::with_tls(keeper.clone(), false),
            _ => Acceptor::plain(),
        };
        let socket =
            Listener::bind(url, config.socket_reuse_port).context("failed to take a port")?;
        Ok((socket, acceptor))
    };
    config.listen_peer_urls.iter().map(open).collect()
}

/// Raises the limit of open descriptors as far as the system lets, and says how many connections clients may have.
///
/// # Errors
/// The limit leaves nothing for clients.
pub(super) fn connections_max() -> Result<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Go's runtime does the same at its start; where it is not allowed the old limit holds.
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let limit = limit.unwrap_or(u64::MAX);
    if limit <= RESERVED_DESCRIPTORS {
        refuse!(
            "file descriptor limit of etcd process is too low; please set higher: it is {limit} and must be above \
             {RESERVED_DESCRIPTORS}"
        );
    }
    // A semaphore takes no more than that, and no machine has more.
    Ok(usize::try_from(limit - RESERVED_DESCRIPTORS).unwrap_or(usize::MAX).min(1 << 30))
}

/// One serving thread per two cores: see `api::serve`.
fn api_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (cores / 2).clamp(1, 8)
}

/// Begins to listen on ports that were taken.
///
/// # Errors
/// Another process was faster.
pub(super) fn listen_all(bound: Vec<(Bound, Acceptor)>) -> Result<Vec<(Listener, Acceptor)>> {
    let listen = |(bound, acceptor): (Bound, Acceptor)| {
        Ok((bound.listen().context("failed to listen")?, acceptor))
    };
    bound.into_iter().map(listen).collect()
}

/// How client connections are served.
pub(super) fn serve_options(config: &Config, connections_max: usize) -> ServeOptions {
    let interval = config.grpc_keepalive_interval;
    ServeOptions {
        threads: api_threads(),
        concurrent_streams_max: config.concurrent_streams_max,
        ping_min: match config.grpc_keepalive_min_time {
            Duration::ZERO => PING_MIN_DEFAULT,
            time => time,
        },
        keepalive_interval: (!interval.is_zero()).then_some(interval),
        keepalive_timeout: config.grpc_keepalive_timeout,
        reuse_port: config.socket_reuse_port,
        connections_max,
        head_time: HEAD_TIME,
    }
}
