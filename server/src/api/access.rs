//! Who may ask over plain HTTP, and what browsers are told of it: host whitelist, CORS, paths of older clients.
//!
//! gRPC calls never come here. Source: `reference/etcd-api.md`, section 15.1.

use super::body::CallBody;
use super::context::HttpOptions;
use super::identity::CertificateName;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_TYPE, HOST, LOCATION, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};

const METHODS: HeaderValue = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type, authorization");

/// etcd's words to a client whose certificate names a user.
const NAME_IGNORED: &str = "CommonName of client sending a request against gateway will be ignored and not used as \
                            expected";

fn is_of_gateway(path: &str) -> bool {
    path.starts_with("/v3/") || path.starts_with("/v3beta/")
}

/// Values of a flag, of which `*` means all.
#[derive(Debug)]
enum Allowed {
    All,
    Only(Vec<String>),
}

impl Allowed {
    fn new(values: &[String]) -> Allowed {
        let is_all = values.is_empty() || values.iter().any(|value| value == "*");
        if is_all { Allowed::All } else { Allowed::Only(values.to_vec()) }
    }

    fn allows(&self, wanted: &str) -> bool {
        match self {
            Allowed::All => true,
            Allowed::Only(values) => values.iter().any(|value| value == wanted),
        }
    }
}

/// The rules of a member.
#[derive(Debug)]
pub struct Access {
    origins: Allowed,
    hosts: Allowed,
    has_gateway: bool,
}

/// What a browser is told of who may read the answer.
#[derive(Debug)]
pub struct Cors(Option<HeaderValue>);

impl Cors {
    /// Adds the headers to an answer.
    pub fn write(self, headers: &mut HeaderMap) {
        if let Some(origin) = self.0 {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        }
    }
}

impl Access {
    /// Rules by the flags.
    pub fn new(options: &HttpOptions) -> Access {
        Access {
            origins: Allowed::new(&options.cors),
            hosts: Allowed::new(&options.host_whitelist),
            has_gateway: options.has_gateway,
        }
    }

    /// Lets a request in, on the path it has today, or answers it at once. A TLS client knows whom it asks, so its host
    /// does not matter; with authentication on, a certificate that names a user would not be heeded by the gateway.
    ///
    /// # Errors
    /// The answer: the host is not one of ours, the client should ask elsewhere, or it asked only whether it may.
    pub fn admit(
        &self,
        request: &mut Request<CallBody>,
        is_tls: bool,
        has_auth: bool,
    ) -> Result<Cors, Box<Response<Bytes>>> {
        let host = host_name(request);
        if !is_tls && !self.hosts.allows(&host) {
            tracing::warn!(host, "rejecting HTTP request to prevent DNS rebinding attacks");
            return Err(Box::new(misdirected(&host)));
        }
        let is_gateway = self.has_gateway && is_of_gateway(request.uri().path());
        if is_gateway && has_auth && request.extensions().get::<CertificateName>().is_some() {
            return Err(Box::new(plain(StatusCode::BAD_REQUEST, NAME_IGNORED)));
        }
        let cors = self.cors(request.headers());
        if request.method() == Method::OPTIONS {
            let mut response = Response::new(Bytes::new());
            cors.write(response.headers_mut());
            return Err(Box::new(response));
        }
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/v3beta/") {
            let today = format!("/v3/{rest}");
            set_path(request.uri_mut(), &today);
        } else if let Some(clean) = cleaned(path) {
            let mut response = redirect(request.method(), &clean);
            cors.write(response.headers_mut());
            return Err(Box::new(response));
        }
        Ok(cors)
    }

    fn cors(&self, headers: &HeaderMap) -> Cors {
        if matches!(self.origins, Allowed::All) {
            return Cors(Some(HeaderValue::from_static("*")));
        }
        let origin = headers.get(ORIGIN);
        let text = origin.and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        Cors(origin.filter(|_| self.origins.allows(text)).cloned())
    }
}

/// The host that the client believes to speak to, without the port.
fn host_name(request: &Request<CallBody>) -> String {
    let of_uri = request.uri().authority().map(|authority| authority.as_str());
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = of_uri.or(header).unwrap_or_default();
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default().to_owned();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned()
}

fn set_path(uri: &mut Uri, path: &str) {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{path}{query}")).ok();
    if let Ok(new) = Uri::from_parts(parts) {
        *uri = new;
    }
}

/// The path without doubled slashes and dots, if that is another; `/v3` is the gateway's folder.
fn cleaned(path: &str) -> Option<String> {
    if path == "/v3" {
        return Some("/v3/".to_owned());
    }
    let is_clean = |part: &str| !part.is_empty() && part != "." && part != "..";
    let inner = path.strip_prefix('/').unwrap_or(path);
    let body = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() || body.split('/').all(is_clean) {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in body.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    Some(format!("/{}{slash}", parts.join("/")))
}

fn redirect(method: &Method, to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    if method == Method::GET {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        *response.body_mut() = format!("<a href=\"{to}\">Temporary Redirect</a>.\n\n").into();
    }
    response
}

/// etcd's words, with the name of the flag.
fn misdirected(host: &str) -> Response<Bytes> {
    let text = format!(
        "
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist {host:?}

This requirement has been added to help prevent \"DNS Rebinding\" attacks (CVE-2018-5702).
"
    );
    plain(StatusCode::MISDIRECTED_REQUEST, &text)
}

fn plain(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{text}\n")));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, host: &str) -> Request<CallBody> {
        let request = Request::builder().uri(uri).header(HOST, host);
        request.body(CallBody::full(Bytes::new())).unwrap()
    }

    fn access(cors: &[&str], hosts: &[&str]) -> Access {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Access::new(&HttpOptions {
            has_gateway: true,
            cors: owned(cors),
            host_whitelist: owned(hosts),
        })
    }

    /// A name that is not on the list is refused, whatever its port; a name on it is not.
    #[test]
    fn foreign_hosts_are_refused() {
        let access = access(&["*"], &["a.example", "::1"]);
        for (host, status) in
            [("a.example", 200), ("a.example:2379", 200), ("[::1]:2379", 200), ("evil", 421)]
        {
            let answer = access.admit(&mut request("/version", host), false, false);
            let found = answer.map_or_else(|answer| answer.status().as_u16(), |_| 200);
            assert_eq!(found, status, "{host}");
        }
        assert!(access.admit(&mut request("/version", "evil"), true, false).is_ok());
    }

    /// A certificate that names a user is refused on the gateway once there are users, and nowhere else.
    #[test]
    fn names_are_not_ignored_in_silence() {
        let access = access(&[], &[]);
        let named = |path: &str| {
            let mut request = request(path, "x");
            request.extensions_mut().insert(CertificateName("alice".into()));
            request
        };
        let refused = access.admit(&mut named("/v3/kv/put"), true, true).unwrap_err();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(access.admit(&mut named("/v3/kv/put"), true, false).is_ok());
        assert!(access.admit(&mut named("/version"), true, true).is_ok());
    }

    /// Only a listed origin is told that it may read.
    #[test]
    fn origins_are_told() {
        let access = access(&["http://a.example"], &["*"]);
        let told = |origin: &'static str| {
            let mut request = request("/version", "x");
            request.headers_mut().insert(ORIGIN, HeaderValue::from_static(origin));
            access.admit(&mut request, false, false).unwrap().0
        };
        assert_eq!(told("http://a.example").unwrap(), "http://a.example");
        assert!(told("http://b.example").is_none());
    }

    /// Old prefixes are served in place, untidy paths are sent to the tidy one.
    #[test]
    fn paths_are_tidied() {
        let access = access(&[], &[]);
        let mut old = request("/v3beta/kv/put?x=1", "x");
        access.admit(&mut old, false, false).unwrap();
        assert_eq!(old.uri(), "/v3/kv/put?x=1");
        for (path, clean) in
            [("//v3/kv", Some("/v3/kv")), ("/v3", Some("/v3/")), ("/a/../b/", Some("/b/"))]
        {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
        for path in ["/", "/v3/kv/put", "/v3/kv/put/", "/health"] {
            assert_eq!(cleaned(path), None, "{path}");
        }
    }
}
