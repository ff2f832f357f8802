//! Asks one endpoint the questions of a round. The only file of the model that touches the network.
//!
//! Every endpoint has a client, a connection and a token of its own, so that none waits for another.

use std::time::{Duration, Instant};

use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb as pb;
use tonic::Code;

use super::Scrape;
use super::observation::{Answer, ProbeError, ProbeErrorKind, Question};
use crate::{Client, ClientError, Config, http_get};

/// The key read to see whether reads get through; etcdctl reads the same one.
const HEALTH_KEY: &[u8] = b"health";

/// One endpoint, ready to be asked.
pub(super) struct Probe {
    endpoint: String,
    timeout: Duration,
    client: Result<Client, ProbeError>,
}

impl Probe {
    /// Prepares; dials nothing. A configuration that cannot be used is the answer to every question.
    pub(super) async fn new(config: &Config, endpoint: &str, timeout: Duration) -> Self {
        let config = Config {
            endpoints: vec![endpoint.to_owned()],
            dial_timeout: timeout,
            // The asker's own limit covers the call; two clocks would only blur the message.
            request_timeout: None,
            ..config.clone()
        };
        let client = Client::connect(config).await.map_err(|error| probe_error(&error));
        Self { endpoint: endpoint.to_owned(), timeout, client }
    }

    /// Asks. Dropping the future ends the call.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, ProbeError> {
        let client = self.client.as_ref().map_err(ProbeError::clone)?;
        let answer = match question {
            Question::Status => {
                let start = Instant::now();
                let status = client.maintenance().status().await;
                status.map(|status| Answer::Status(status.into(), start.elapsed()))
            }
            Question::Members => {
                let list = client.cluster().member_list_local().await;
                list.map(|list| Answer::Members(list.into()))
            }
            Question::Metrics => return self.scrape(client).await,
            Question::Read => read(client).await,
        };
        answer.map_err(|error| probe_error(&error))
    }

    async fn scrape(&self, client: &Client) -> Result<Answer, ProbeError> {
        let page = http_get(client.config(), &self.endpoint, "/metrics", self.timeout).await;
        let page = page.map_err(|error| probe_error(&error))?;
        if page.status != 200 {
            let reason = format!("GET /metrics answers {}", page.status);
            return Err(ProbeError { kind: ProbeErrorKind::Refused, reason });
        }
        Ok(Answer::Metrics(Scrape::parse(&page.text())))
    }
}

/// A linearizable read. A denial comes after the read point was agreed on, so it proves as much as an answer.
async fn read(client: &Client) -> Result<Answer, ClientError> {
    let request = pb::RangeRequest {
        key: HEALTH_KEY.into(),
        limit: 1,
        keys_only: true,
        ..Default::default()
    };
    let start = Instant::now();
    match client.kv().range(request).await {
        Ok(_) => Ok(Answer::Read(start.elapsed())),
        Err(error) if error.etcd() == Some(EtcdError::PermissionDenied) => {
            Ok(Answer::Read(start.elapsed()))
        }
        Err(error) => Err(error),
    }
}

fn probe_error(error: &ClientError) -> ProbeError {
    let kind = match (error.code(), error.etcd()) {
        (Code::PermissionDenied | Code::Unauthenticated, _)
        | (_, Some(EtcdError::UserNameIsEmpty | EtcdError::AuthFailed)) => ProbeErrorKind::Denied,
        (Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled, None) => {
            ProbeErrorKind::Unreachable
        }
        _ => ProbeErrorKind::Refused,
    };
    ProbeError { kind, reason: reason(error) }
}

/// The cause alone: whoever shows it has named the endpoint already.
fn reason(error: &ClientError) -> String {
    let text = match error {
        ClientError::Connect { cause, .. } | ClientError::Http { cause, .. } => cause.clone(),
        other => other.message(),
    };
    // "Connection refused (os error 111)" and the like: the number says nothing more.
    let text = text.split(" (os error").next().unwrap_or(&text);
    let text = text.strip_prefix("etcdserver: ").unwrap_or(text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
