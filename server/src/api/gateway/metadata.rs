//! HTTP headers to gRPC metadata and back, and codes to HTTP statuses, as grpc-gateway v2.29 does by default.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use tonic::{Code, Status};

/// Headers that are passed on under their own name.
const METADATA_PREFIX: &str = "grpc-metadata-";
/// What is put before the names of well-known HTTP headers that are passed on.
const PERMANENT_PREFIX: &str = "grpcgateway-";
/// Well-known headers that are passed on (IANA's permanent ones, as grpc-gateway lists them).
const PERMANENT: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
];
/// Says to the services that the caller came through the gateway, where a client certificate names nobody.
const FROM_GATEWAY: &str = "grpcgateway-accept";
/// Metadata that the gateway writes itself: a client may not overwrite it.
const OWN: [&str; 5] = ["content-type", "te", "grpc-timeout", "grpc-encoding", "host"];

/// The metadata of a call.
pub fn to_metadata(headers: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::with_capacity(headers.len() + 3);
    for (name, value) in headers {
        let own_name = name.as_str();
        if name == AUTHORIZATION {
            metadata.append(AUTHORIZATION, value.clone());
        }
        let passed = if PERMANENT.contains(&own_name) {
            Some(format!("{PERMANENT_PREFIX}{own_name}"))
        } else {
            own_name.strip_prefix(METADATA_PREFIX).map(str::to_owned)
        };
        let Some(passed) = passed.filter(|passed| !OWN.contains(&passed.as_str())) else {
            continue;
        };
        let is_text = value.as_bytes().iter().all(|c| (0x20..=0x7e).contains(c));
        if let (true, Ok(passed)) = (is_text, HeaderName::from_bytes(passed.as_bytes())) {
            metadata.append(passed, value.clone());
        }
    }
    let from_gateway = HeaderName::from_static(FROM_GATEWAY);
    metadata.entry(from_gateway).or_insert(HeaderValue::from_static("*/*"));
    metadata.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    metadata.insert(http::header::TE, HeaderValue::from_static("trailers"));
    metadata
}

/// The time that the client gives the call, if it names one.
///
/// # Errors
/// The header is no time.
pub fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let invalid = || Status::invalid_argument(format!("invalid grpc-timeout: {text}"));
    let unit = text.chars().next_back().ok_or_else(invalid)?;
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| invalid())?;
    Ok(Some(match unit {
        'H' => Duration::from_secs(count.saturating_mul(3600)),
        'M' => Duration::from_secs(count.saturating_mul(60)),
        'S' => Duration::from_secs(count),
        'm' => Duration::from_millis(count),
        'u' => Duration::from_micros(count),
        'n' => Duration::from_nanos(count),
        _ => return Err(invalid()),
    }))
}

/// The HTTP headers that the headers of a gRPC answer become.
pub fn to_headers(metadata: &HeaderMap) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
    metadata.iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(format!("{METADATA_PREFIX}{name}").as_bytes()).ok()?;
        Some((name, value.clone()))
    })
}

/// The HTTP status of a gRPC code.
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // nginx's "client closed request", which has no name in the standard.
        Code::Cancelled => StatusCode::from_u16(499).expect("499 is a status"),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
