//! Builds the S3 client: endpoint, region, credentials, TLS, timeouts. No object is named here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::location::S3Options;
use crate::error::{AgentError, Result};

/// One attempt at one request; a part of 16 MiB passes in this time even at 60 KiB/s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The SDK's own default of 3 is little for a job that runs once an hour.
const ATTEMPTS_MAX: u32 = 6;
const DEFAULT_REGION: &str = "us-east-1";
/// Names of the systemd credentials that hold the S3 keys.
const SYSTEMD_KEYS: (&str, &str) = ("s3-access-key-id", "s3-secret-access-key");

/// Builds a client.
///
/// Credentials come from, in this order: the key files named by flags; the systemd credentials `s3-access-key-id`
/// and `s3-secret-access-key`; the AWS chain (environment, profile files, web identity, container, instance).
pub async fn connect(options: &S3Options) -> Result<Client> {
    let http = http_client(options.ca_file.as_deref())?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        // It aborts uploads over slow links; the time limit per attempt does that job.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(keys) = key_files(options) {
        loader = loader.credentials_provider(read_keys(&keys)?);
    }
    let shared = loader.load().await;
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        // Many compatible stores reject the checksum headers that newer SDKs add unasked.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .force_path_style(options.path_style.unwrap_or(options.endpoint.is_some()));
    if shared.region().is_none() {
        config = config.region(Region::from_static(DEFAULT_REGION));
    }
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// HTTPS by rustls with ring, trusting the system's authorities or those of `ca_file`.
fn http_client(ca_file: Option<&Path>) -> Result<SharedHttpClient> {
    let builder =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let Some(path) = ca_file else { return Ok(builder.build_https()) };
    let pem = std::fs::read(path).map_err(AgentError::io("read", path))?;
    let trust = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
        AgentError::configuration(
            format!("certificate authorities in {} are not usable: {error}", path.display()),
            "Give a PEM file with at least one certificate.",
        )
    })?;
    Ok(builder.tls_context(context).build_https())
}

fn key_files(options: &S3Options) -> Option<(PathBuf, PathBuf)> {
    if let Some(files) = &options.key_files {
        return Some(files.clone());
    }
    let directory = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
    let files = (directory.join(SYSTEMD_KEYS.0), directory.join(SYSTEMD_KEYS.1));
    (files.0.exists() && files.1.exists()).then_some(files)
}

fn read_keys((id_file, secret_file): &(PathBuf, PathBuf)) -> Result<Credentials> {
    let id = first_line(id_file)?;
    let secret = first_line(secret_file)?;
    Ok(Credentials::new(id, secret, None, None, "quorate-key-files"))
}

fn first_line(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(AgentError::io("read", path))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(AgentError::configuration(
            format!("{} is empty", path.display()),
            "Put the key alone on the first line.",
        )),
    }
}

/// The causes of an error, the outermost left out: it only says that something failed.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (**error).source());
    let mut told: Vec<String> = causes.map(ToString::to_string).collect();
    told.dedup();
    if told.is_empty() { DisplayErrorContext(error).to_string() } else { told.join(": ") }
}

/// Turns an SDK error into ours, in the store's own words where it had any.
pub fn store_error<E>(store: &str, action: &str, error: &SdkError<E>) -> AgentError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (words, retryable) = match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or("no error code");
            let message = service.err().message().unwrap_or("no message");
            (format!("{code}: {message} (HTTP {status})"), status >= 500 || status == 429)
        }
        SdkError::TimeoutError(_) => ("no answer in time".to_owned(), true),
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => (causes(error), true),
        _ => (causes(error), false),
    };
    AgentError::Store { store: store.to_owned(), what: format!("{action}: {words}"), retryable }
}
