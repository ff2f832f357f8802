//! Bootstrap through a discovery service (`--discovery-endpoints`): members register under a token in another etcd
//! cluster, and the first so many of them are the initial cluster.
//!
//! Source: `etcd:server/etcdserver/api/v3discovery/discovery.go`. Where etcd watches, this looks twice a second.

use super::error::{Context as _, Result};
use crate::config::DiscoveryService;
use crate::tls::{DialError, Pair, UnverifiedDialer};
use hyper_util::rt::TokioIo;
use quorate_etcd_files::datadir::{InitialCluster, InitialUrls};
use quorate_proto::etcdserverpb::auth_client::AuthClient;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::{AuthenticateRequest, PutRequest, RangeRequest};
use std::sync::Arc;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Request, Status};

/// Time between two looks at the registry.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Longest pause after a failed call.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why the registry is of no use, in etcd's words.
fn refusal(reason: &str, hint: &str) -> super::error::NodeError {
    super::error::NodeError::Refused(format!("discovery: {reason}. {hint}"))
}

/// The registry of one token.
struct Registry<'a> {
    service: &'a DiscoveryService,
    channel: Channel,
    /// Proof of who this is, where the service asks for it.
    token: Option<MetadataValue<Ascii>>,
}

/// Registers this member and waits until the cluster is complete.
///
/// # Errors
/// The service refuses, the registry is broken, or the cluster is full without this member. A service that does not
/// answer is asked again and again.
pub(super) async fn initial_cluster(
    service: &DiscoveryService,
    member_id: u64,
    name: &str,
    advertised: &[String],
) -> Result<InitialUrls> {
    let mut registry = Registry { service, channel: connect(service)?, token: None };
    let own: Vec<String> = advertised.iter().map(|url| format!("{name}={url}")).collect();
    let (key, own) = (registry.key(&format!("members/{member_id:x}")), own.join(","));
    if !service.user.is_empty() {
        registry.retried("authenticate", async |registry| registry.authenticate().await).await?;
    }
    let size = registry.size().await?;
    tracing::info!(size, "found the discovery registry");
    registry.check_place(&key, size).await?;
    registry.retried("register", async |registry| registry.register(&key, &own).await).await?;
    registry.check_place(&key, size).await?;
    let mut n_seen = 0;
    loop {
        let members = registry.members().await?;
        if members.len() != n_seen {
            n_seen = members.len();
            tracing::info!(registered = n_seen, size, "waiting for peers to register");
        }
        if members.len() >= size {
            let list: Vec<String> =
                members.into_iter().take(size).map(|(_, value)| value).collect();
            return InitialCluster::parse(&list.join(",")).map_err(|error| {
                let hint = "A registered value is no name=url; take a fresh token.";
                refusal(&error.to_string(), hint)
            });
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn connect(service: &DiscoveryService) -> Result<Channel> {
    let is_tls = |url: &str| url.starts_with("https://") || !service.is_insecure_transport;
    if service.skips_tls_verify && service.endpoints.iter().any(|url| is_tls(url)) {
        return connect_unverified(service);
    }
    let mut endpoints = Vec::new();
    for url in &service.endpoints {
        let endpoint = endpoint(service, url)?;
        endpoints.push(if is_tls(url) {
            endpoint.tls_config(tls(service)?).context("TLS of the discovery service")?
        } else {
            endpoint
        });
    }
    Ok(Channel::balance_list(endpoints.into_iter()))
}

fn endpoint(service: &DiscoveryService, url: &str) -> Result<Endpoint> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let endpoint = Endpoint::from_shared(url.clone())
        .with_context(|| format!("--discovery-endpoints {url}"))?
        .connect_timeout(service.dial_timeout)
        .timeout(service.request_timeout)
        .http2_keep_alive_interval(service.keepalive_time)
        .keep_alive_timeout(service.keepalive_timeout);
    Ok(endpoint)
}

/// A channel to the first endpoint that answers, whoever it is.
fn connect_unverified(service: &DiscoveryService) -> Result<Channel> {
    tracing::warn!("--discovery-insecure-skip-tls-verify: the discovery service is not verified");
    let pair = match (&service.cert, &service.key) {
        (Some(cert), Some(key)) => Some(Pair { cert: cert.clone(), key: key.clone() }),
        _ => None,
    };
    let dialer = UnverifiedDialer::new(pair.as_ref()).context("TLS of the discovery service")?;
    let address = |url: &String| url.split_once("://").map_or(url.as_str(), |it| it.1).to_owned();
    let addresses: Arc<[String]> = service.endpoints.iter().map(address).collect();
    let limit = service.dial_timeout;
    let connect = tower::service_fn(move |_: Uri| {
        let (dialer, addresses) = (dialer.clone(), Arc::clone(&addresses));
        async move {
            let mut refused = DialError::Late(limit);
            for address in addresses.iter() {
                match dialer.dial(address, limit).await {
                    Ok(socket) => return Ok(TokioIo::new(socket)),
                    Err(error) => refused = error,
                }
            }
            Err(refused)
        }
    });
    // TLS is spoken below.
    Ok(endpoint(service, "http://discovery")?.connect_with_connector_lazy(connect))
}

fn tls(service: &DiscoveryService) -> Result<ClientTlsConfig> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &service.cacert {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    if let (Some(cert), Some(key)) = (&service.cert, &service.key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(tls)
}

impl Registry<'_> {
    fn key(&self, rest: &str) -> String {
        format!("/_etcd/registry/{}/{rest}", self.service.token)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    /// Asks until the service answers; what it refuses is final.
    async fn retried<T>(
        &mut self,
        what: &str,
        call: impl AsyncFn(&mut Self) -> std::result::Result<T, Status>,
    ) -> Result<T> {
        let mut pause = LOOK_INTERVAL;
        loop {
            match call(self).await {
                Ok(answer) => return Ok(answer),
                Err(status) if is_passing(&status) => {
                    let reason = status.message();
                    tracing::warn!(
                        what,
                        reason,
                        "the discovery service does not answer; asking again"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_PAUSE_MAX);
                }
                Err(status) => {
                    let hint = "Check --discovery-token, --discovery-user and the service.";
                    return Err(refusal(status.message(), hint));
                }
            }
        }
    }

    async fn authenticate(&mut self) -> std::result::Result<(), Status> {
        let (name, password) = (self.service.user.clone(), self.service.password.clone());
        let request = AuthenticateRequest { name, password };
        let answer = AuthClient::new(self.channel.clone()).authenticate(request).await?;
        self.token = answer.into_inner().token.parse().ok();
        Ok(())
    }

    async fn range(
        &mut self,
        key: String,
        range_end: String,
    ) -> Result<Vec<(i64, String, String)>> {
        self.retried("read the registry", async |registry| {
            let request = RangeRequest {
                key: key.clone().into(),
                range_end: range_end.clone().into(),
                ..RangeRequest::default()
            };
            let mut kv = KvClient::new(registry.channel.clone());
            let answer = kv.range(registry.request(request)).await?.into_inner();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(answer
                .kvs
                .iter()
                .map(|kv| (kv.create_revision, text(&kv.key), text(&kv.value)))
                .collect())
        })
        .await
    }

    async fn size(&mut self) -> Result<usize> {
        let found = self.range(self.key("_config/size"), String::new()).await?;
        let hint = "Put the cluster's size there, as a number above 0.";
        let Some((_, key, size)) = found.into_iter().next() else {
            return Err(refusal("size key not found", hint));
        };
        let size = size.parse::<usize>().ok().filter(|size| *size > 0);
        size.ok_or_else(|| refusal("size key is bad", &format!("{key}: {hint}")))
    }

    /// Registered members in the order in which they came: key and value.
    async fn members(&mut self) -> Result<Vec<(String, String)>> {
        let prefix = self.key("members/");
        // The byte after the slash.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let mut found = self.range(prefix, end).await?;
        found.sort();
        Ok(found.into_iter().map(|(_, key, value)| (key, value)).collect())
    }

    /// The cluster must have room for this member, or have it already.
    async fn check_place(&mut self, own_key: &str, size: usize) -> Result<()> {
        let members = self.members().await?;
        let place = members.iter().position(|(key, _)| key == own_key);
        if place.unwrap_or(members.len()) >= size {
            let hint =
                "Join the running cluster with `member add` and --initial-cluster-state=existing.";
            return Err(refusal("cluster is full", hint));
        }
        Ok(())
    }

    async fn register(&self, key: &str, value: &str) -> std::result::Result<(), Status> {
        let (key, value) = (key.to_owned().into(), value.to_owned().into());
        let request = PutRequest { key, value, ..PutRequest::default() };
        KvClient::new(self.channel.clone()).put(self.request(request)).await.map(drop)
    }
}

/// A service that is not there, or has no leader, may be back soon.
fn is_passing(status: &Status) -> bool {
    use tonic::Code;
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}
