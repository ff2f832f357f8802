//! The pages over plain HTTP on the client port: health, version, metrics (`reference/etcd-api.md`, section 15.3).

use super::context::{Context, SharedContext};
use super::door::Serves;
use crate::types::ETCD_VERSION;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use quorate_proto::etcdserverpb::{AlarmType, RangeRequest};
use std::sync::atomic::{AtomicU64, Ordering};

/// Time a linearizable health check may take, as etcd's.
const CHECK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Answers a request that is no gRPC call.
pub async fn answer(context: &SharedContext, method: &Method, uri: &Uri) -> Response<Bytes> {
    let query = Query::parse(uri.query().unwrap_or_default());
    let is_get = method == Method::GET;
    match uri.path() {
        "/health" if is_get => health(context, &query).await,
        "/version" if is_get => version(context),
        "/metrics" if is_get => metrics(context),
        "/health" | "/version" | "/metrics" => not_allowed(),
        path if is_get => match Probe::from_path(path) {
            Some(probe) => probe.answer(context, &query).await,
            None => not_found(),
        },
        _ => not_found(),
    }
}

/// What is said to a request that belongs nowhere: one that calls a method over HTTP/2 and is no gRPC, or comes to a
/// listener that takes only gRPC, in grpc-go's words; a metrics listener knows no other pages.
pub fn refused_here<B>(
    request: &Request<B>,
    serves: Serves,
    is_method: bool,
) -> Option<Response<Bytes>> {
    let path = request.uri().path();
    let is_http2 = request.version() == http::Version::HTTP_2;
    let is_metrics = matches!(path, "/metrics" | "/health") || Probe::from_path(path).is_some();
    match serves {
        Serves::Metrics if !is_metrics => Some(not_found()),
        Serves::Grpc | Serves::All if serves == Serves::Grpc || (is_method && is_http2) => {
            let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let text = format!("invalid gRPC request content-type {:?}", kind.unwrap_or_default());
            Some(text_page(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
        _ => None,
    }
}

/// The parts of a query string that pages know.
#[derive(Debug, Default, PartialEq)]
struct Query {
    excluded: Vec<String>,
    is_serializable: bool,
    is_verbose: bool,
}

impl Query {
    fn parse(text: &str) -> Query {
        let mut query = Query::default();
        for part in text.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "exclude" => query.excluded.push(value.to_owned()),
                "serializable" => query.is_serializable = value == "true",
                "verbose" => query.is_verbose = true,
                _ => {}
            }
        }
        query
    }

    fn excludes(&self, name: &str) -> bool {
        self.excluded.iter().any(|excluded| excluded == name)
    }
}

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn text_page(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = page(status, "text/plain; charset=utf-8", body);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert("x-content-type-options", nosniff);
    response
}

fn not_found() -> Response<Bytes> {
    text_page(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn not_allowed() -> Response<Bytes> {
    let mut response = text_page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

/// A read of nothing in particular, as etcd's checks do it.
async fn check_read(context: &Context, is_serializable: bool) -> Result<(), String> {
    if !is_serializable {
        match tokio::time::timeout(CHECK_TIMEOUT, context.linearize()).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => return Err(status.message().to_owned()),
            Err(_) => return Err("context deadline exceeded".to_owned()),
        }
    }
    let request = RangeRequest {
        key: Bytes::from_static(b"health"),
        limit: 1,
        keys_only: true,
        ..Default::default()
    };
    context.state.store().range(&request).map(|_| ()).map_err(|error| error.to_string())
}

async fn health(context: &Context, query: &Query) -> Response<Bytes> {
    let reason = health_fault(context, query).await;
    let (status, is_healthy) = match reason {
        None => (StatusCode::OK, "true"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "false"),
    };
    let reason = reason.unwrap_or_default();
    if reason.is_empty() {
        context.metrics.health_success.inc();
    } else {
        context.metrics.health_failures.inc();
        tracing::warn!(output = reason, status_code = status.as_u16(), "/health error");
    }
    let body = serde_json::json!({ "health": is_healthy, "reason": reason }).to_string();
    page(status, "application/json", body)
}

async fn health_fault(context: &Context, query: &Query) -> Option<String> {
    for (kind, name) in [(AlarmType::Nospace, "NOSPACE"), (AlarmType::Corrupt, "CORRUPT")] {
        if !query.excludes(name) && context.state.alarms.is_raised(kind) {
            return Some(format!("ALARM {name}"));
        }
    }
    if !query.is_serializable && context.raft.leader().is_none() {
        return Some("RAFT NO LEADER".to_owned());
    }
    check_read(context, query.is_serializable)
        .await
        .err()
        .map(|error| format!("RANGE ERROR:{error}"))
}

fn version(context: &Context) -> Response<Bytes> {
    let cluster = context.state.cluster.version().unwrap_or_else(|| "not_decided".to_owned());
    let storage = context.state.storage_version();
    let body = format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{cluster}","storage":"{storage}"}}"#
    );
    page(StatusCode::OK, "application/json", body)
}

/// `/livez` and `/readyz`, whole or one check of them.
struct Probe {
    name: &'static str,
    checks: &'static [&'static str],
    only: Option<&'static str>,
}

const LIVE_CHECKS: &[&str] = &["serializable_read"];
const READY_CHECKS: &[&str] =
    &["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

impl Probe {
    fn from_path(path: &str) -> Option<Probe> {
        let mut parts = path.trim_start_matches('/').split('/');
        let (name, checks) = match parts.next()? {
            "livez" => ("livez", LIVE_CHECKS),
            "readyz" => ("readyz", READY_CHECKS),
            _ => return None,
        };
        let only = match parts.next() {
            None => None,
            Some(wanted) => Some(checks.iter().copied().find(|check| *check == wanted)?),
        };
        parts.next().is_none().then_some(Probe { name, checks, only })
    }

    async fn answer(&self, context: &Context, query: &Query) -> Response<Bytes> {
        let mut lines = String::new();
        let mut has_failed = false;
        for check in self.checks.iter().filter(|check| self.only.is_none_or(|only| only == **check))
        {
            if self.only.is_none() && query.excludes(check) {
                continue;
            }
            match run_check(context, check).await {
                Ok(()) => lines.push_str(&format!("[+]{check} ok\n")),
                Err(reason) => {
                    has_failed = true;
                    lines.push_str(&format!("[-]{check} failed: {reason}\n"));
                }
            }
        }
        if has_failed {
            return text_page(StatusCode::SERVICE_UNAVAILABLE, lines);
        }
        let verbose = if query.is_verbose { lines } else { String::new() };
        tracing::debug!(probe = self.name, "probe succeeded");
        text_page(StatusCode::OK, format!("{verbose}ok\n"))
    }
}

async fn run_check(context: &Context, check: &str) -> Result<(), String> {
    match check {
        "serializable_read" => check_read(context, true).await,
        "linearizable_read" => check_read(context, false).await,
        "data_corruption" if context.state.alarms.is_raised(AlarmType::Corrupt) => {
            Err("alarm activated: CORRUPT".to_owned())
        }
        "non_learner" if context.state.cluster.is_local_learner() => {
            Err("not supported for learner".to_owned())
        }
        _ => Ok(()),
    }
}

fn metrics(context: &Context) -> Response<Bytes> {
    refresh(context);
    match context.metrics.text() {
        Ok(text) => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => text_page(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Adds to a counter what has come since the last scrape.
fn catch_up(counter: &prometheus::IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// Scrapes may come from several clients at once; counters are caught up by one at a time.
static REFRESH: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
static FD_LIMIT: AtomicU64 = AtomicU64::new(0);

/// Writes what lives elsewhere into the metrics.
fn refresh(context: &Context) {
    let _one_at_a_time = REFRESH.lock();
    let m = &context.metrics;
    let local = context.state.cluster.local_id();
    let leader = context.raft.leader();
    m.has_leader.set(i64::from(leader.is_some()));
    m.is_leader.set(i64::from(leader == Some(local)));
    m.is_learner.set(i64::from(context.state.cluster.is_local_learner()));
    m.proposals_committed.set(context.raft.commit_index().cast_signed());
    m.proposals_applied.set(context.raft.applied_index().cast_signed());
    m.quota_bytes.set(context.limits.quota_bytes);
    m.server_id.with_label_values(&[&format!("{local:x}")]).set(1);
    m.server_version.with_label_values(&[ETCD_VERSION]).set(1);
    if let Some(version) = context.state.cluster.version() {
        let short = version.rsplit_once('.').map_or(version.as_str(), |(short, _)| short);
        m.cluster_version.with_label_values(&[short]).set(1);
    }
    m.auth_revision.set(context.state.auth.view().revision().cast_signed());
    let sizes = context.state.backend.sizes();
    m.db_total_bytes.set(sizes.total_bytes.cast_signed());
    m.db_in_use_bytes.set(sizes.in_use_bytes.cast_signed());
    refresh_store(context);
    refresh_peers(context, local);
    m.alarms.reset();
    for alarm in context.state.alarms.list(AlarmType::None) {
        let id = format!("{:x}", alarm.member_id);
        m.alarms.with_label_values(&[id.as_str(), alarm.alarm().as_str_name()]).set(1);
    }
    if FD_LIMIT.load(Ordering::Relaxed) == 0 {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        FD_LIMIT.store(limit.current.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    m.fd_limit.set(FD_LIMIT.load(Ordering::Relaxed).cast_signed());
    let n_open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    m.fd_used.set(n_open as i64);
}

fn refresh_store(context: &Context) {
    let m = &context.metrics;
    let store = context.state.store();
    let counters = store.counters();
    catch_up(&m.put_total, counters.puts.get());
    catch_up(&m.delete_total, counters.deletes.get());
    catch_up(&m.range_total, counters.ranges.get());
    catch_up(&m.txn_total, counters.txns.get());
    catch_up(&m.events_total, counters.events.get());
    m.keys_total.set(counters.keys.get());
    m.watcher_total.set(counters.watchers.get());
    m.slow_watcher_total.set(counters.slow_watchers.get());
    m.watch_stream_total.set(counters.watch_streams.get());
    m.pending_events.set(counters.pending_events.get());
    m.current_revision.set(store.revision());
    m.compact_revision.set(store.compact_revision());
}

fn refresh_peers(context: &Context, local: u64) {
    let m = &context.metrics;
    for member in context.state.cluster.members().iter().filter(|member| member.id != local) {
        let id = format!("{:x}", member.id);
        let stats = context.raft.peer_stats(member.id);
        catch_up(&m.peer_sent_bytes.with_label_values(&[&id]), stats.sent_bytes);
        catch_up(&m.peer_received_bytes.with_label_values(&[&id]), stats.received_bytes);
        catch_up(&m.peer_sent_failures.with_label_values(&[&id]), stats.failures);
        if let Some(time) = stats.round_trip {
            m.peer_round_trip.with_label_values(&[&id]).observe(time.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Query parts may repeat and come in any order.
    #[test]
    fn queries() {
        let query = Query::parse("exclude=NOSPACE&serializable=true&exclude=x&verbose");
        assert!(query.excludes("NOSPACE") && query.excludes("x") && !query.excludes("CORRUPT"));
        assert!(query.is_serializable && query.is_verbose);
        assert_eq!(Query::parse(""), Query::default());
    }

    /// Probes are known by path, whole or one check of them.
    #[test]
    fn probe_paths() {
        assert!(Probe::from_path("/livez").is_some());
        assert_eq!(Probe::from_path("/readyz/non_learner").unwrap().only, Some("non_learner"));
        assert!(Probe::from_path("/livez/non_learner").is_none());
        assert!(Probe::from_path("/readyz/non_learner/x").is_none());
        assert!(Probe::from_path("/").is_none());
    }
}
