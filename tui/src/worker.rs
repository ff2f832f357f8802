//! Workers: they own the connections, do what effects ask for, and answer with messages.

use std::sync::Arc;
use std::time::Duration;

use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{Client, ClientError, prefix_end};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::app::{KeyPage, KeyRow, KeyValue, Message, PAGE_KEYS};

/// How long one attempt may take before another member is asked.
const READ_LIMIT: Duration = Duration::from_secs(3);

/// Reads pages and values for the key browser, one at a time: a new question drops the one before.
pub struct KeyReader {
    client: Arc<Client>,
    answers: mpsc::Sender<Message>,
    tasks: JoinSet<()>,
    current: Option<AbortHandle>,
}

impl KeyReader {
    /// A reader that answers into `answers`.
    pub fn new(client: Client, answers: mpsc::Sender<Message>) -> Self {
        Self { client: Arc::new(client), answers, tasks: JoinSet::new(), current: None }
    }

    /// Starts reading a page. Never waits.
    pub fn read_page(&mut self, ticket: u64, prefix: Vec<u8>, from: Vec<u8>) {
        let client = Arc::clone(&self.client);
        self.start(async move { Message::KeyPage(page(&client, ticket, &prefix, from).await) });
    }

    /// Starts reading a value. Never waits.
    pub fn read_value(&mut self, ticket: u64, key: Vec<u8>) {
        let client = Arc::clone(&self.client);
        self.start(async move { Message::KeyValue(value(&client, ticket, key).await) });
    }

    fn start(&mut self, read: impl Future<Output = Message> + Send + 'static) {
        if let Some(current) = self.current.take() {
            current.abort();
        }
        // Forget tasks that have ended.
        while self.tasks.try_join_next().is_some() {}
        let answers = self.answers.clone();
        self.current = Some(self.tasks.spawn(async move {
            let answer = read.await;
            let _ = answers.send(answer).await;
        }));
    }
}

async fn page(
    client: &Client,
    ticket: u64,
    prefix: &[u8],
    from: Vec<u8>,
) -> Result<KeyPage, String> {
    // An empty key is no key; the smallest one is a zero byte.
    let first = if from.is_empty() { vec![0] } else { from };
    let request = pb::RangeRequest {
        key: first.into(),
        range_end: prefix_end(prefix),
        limit: PAGE_KEYS as i64,
        keys_only: true,
        ..Default::default()
    };
    let (answer, is_serializable) = range(client, request).await?;
    let rows = answer
        .kvs
        .into_iter()
        .map(|kv| KeyRow {
            key: kv.key.to_vec(),
            version: kv.version,
            mod_revision: kv.mod_revision,
            lease: kv.lease,
        })
        .collect();
    Ok(KeyPage {
        ticket,
        rows,
        n_from_here: u64::try_from(answer.count).unwrap_or(0),
        revision: answer.header.map_or(0, |header| header.revision),
        is_serializable,
    })
}

async fn value(client: &Client, ticket: u64, key: Vec<u8>) -> Result<KeyValue, String> {
    let request = pb::RangeRequest { key: key.into(), ..Default::default() };
    let (answer, _) = range(client, request).await?;
    let kv = answer.kvs.into_iter().next().ok_or("the key has been deleted meanwhile")?;
    Ok(KeyValue {
        ticket,
        key: kv.key.to_vec(),
        value: kv.value.to_vec(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    })
}

/// Reads through the leader; without one, what any member has, and says so.
async fn range(
    client: &Client,
    mut request: pb::RangeRequest,
) -> Result<(pb::RangeResponse, bool), String> {
    let patient = client.with_timeout(Some(READ_LIMIT));
    match patient.kv().range(request.clone()).await {
        Ok(answer) => return Ok((answer, false)),
        Err(error) if is_for_want_of_a_leader(&error) => {}
        Err(error) => return Err(error.message()),
    }
    request.serializable = true;
    // One member may hang: ask each in turn.
    let mut failure = String::new();
    for endpoint in client.endpoints() {
        let member = client.at(&endpoint).map_err(|error| error.message())?;
        let member = member.with_timeout(Some(READ_LIMIT));
        match member.kv().range(request.clone()).await {
            Ok(answer) => return Ok((answer, true)),
            Err(error) => failure = error.message(),
        }
    }
    Err(failure)
}

fn is_for_want_of_a_leader(error: &ClientError) -> bool {
    error.is_unavailable() || matches!(error, ClientError::Timeout { .. })
}
