//! The pages over plain HTTP on the client port: health, version, metrics (`reference/etcd-api.md`, section 15.3).

use super::context::{Context, SharedContext};
use super::door::Serves;
use super::{scrape, vars};
use crate::types::ETCD_VERSION;
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use quorate_proto::etcdserverpb::{AlarmType, RangeRequest};

/// Content type of what Go takes for text.
const PLAIN: &str = "text/plain; charset=utf-8";

/// Answers a request that is no gRPC call.
pub async fn answer(context: &SharedContext, method: &Method, uri: &Uri) -> Response<Bytes> {
    let query = Query::parse(uri.query().unwrap_or_default());
    let is_get = method == Method::GET;
    match uri.path() {
        "/health" if is_get => health(context, &query).await,
        "/version" if is_get => version(context),
        "/metrics" => scrape::answer(context),
        "/debug/vars" if is_get => vars::answer(context),
        "/health" | "/version" | "/debug/vars" => not_allowed(),
        path => match Probe::from_path(path) {
            Some(probe) if is_get => probe.answer(context, &query).await,
            Some(_) => not_allowed(),
            None => not_found(),
        },
    }
}

/// What Go's server says to a request that does not name one host, as HTTP/1.1 demands; the connection ends with it.
pub fn without_host<B>(request: &Request<B>) -> Option<Response<Bytes>> {
    let hosts = request.headers().get_all(HOST).iter().count();
    let text = match hosts {
        _ if request.version() != http::Version::HTTP_11 => return None,
        0 => "400 Bad Request: missing required Host header",
        1 => return None,
        _ => "400 Bad Request",
    };
    let mut response = page(StatusCode::BAD_REQUEST, PLAIN, text);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
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
                "exclude" if value.is_empty() => {}
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

pub(super) fn page(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn text_page(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = page(status, PLAIN, body);
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

/// A read of nothing in particular, as etcd's checks do it: it may take as long as any other.
async fn check_read(context: &Context, is_serializable: bool) -> Result<(), String> {
    if !is_serializable {
        context.linearize().await.map_err(|status| status.message().to_owned())?;
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
    let Some(reason) = health_fault(context, query).await else {
        context.metrics.door.health_successes.inc();
        return page(StatusCode::OK, PLAIN, r#"{"health":"true","reason":""}"#);
    };
    context.metrics.door.health_failures.inc();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = serde_json::json!({ "health": "false", "reason": reason }).to_string();
    tracing::warn!(output = body, status_code = status.as_u16(), "/health error");
    // What goes through Go's http.Error ends in a new line.
    text_page(status, format!("{body}\n"))
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
        if self.only.is_none() {
            self.note_unknown(query);
        }
        for check in self.checks.iter().filter(|check| self.only.is_none_or(|only| only == **check))
        {
            if self.only.is_none() && query.excludes(check) {
                continue;
            }
            let result = run_check(context, check).await;
            self.count(context, check, result.is_ok());
            match result {
                Ok(()) => lines.push_str(&format!("[+]{check} ok\n")),
                Err(reason) => {
                    has_failed = true;
                    lines.push_str(&format!("[-]{check} failed: {reason}\n"));
                }
            }
        }
        if has_failed {
            tracing::error!(path = self.name, reason = lines, "Health check error");
            return text_page(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}\n"));
        }
        let verbose = if query.is_verbose { lines } else { String::new() };
        tracing::debug!(probe = self.name, "probe succeeded");
        text_page(StatusCode::OK, format!("{verbose}ok\n"))
    }
}

impl Probe {
    /// A check of another release cannot be left out of this one; that is no failure.
    fn note_unknown(&self, query: &Query) {
        let is_known = |name: &&String| self.checks.iter().any(|check| check == name);
        let unknown: Vec<&String> = query.excluded.iter().filter(|name| !is_known(name)).collect();
        if !unknown.is_empty() {
            tracing::warn!(missing_health_checks = ?unknown, "some health checks cannot be excluded");
        }
    }

    fn count(&self, context: &Context, check: &str, is_good: bool) {
        let (door, status) = (&context.metrics.door, if is_good { "success" } else { "error" });
        door.check.with_label_values(&[self.name, check]).set(i64::from(is_good));
        door.checks.with_label_values(&[self.name, check, status]).inc();
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
