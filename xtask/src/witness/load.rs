//! Writers that put one key after the other, rest in between, and go to another member when one does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use quorate_proto::etcdserverpb::PutRequest;
use quorate_proto::etcdserverpb::kv_client::KvClient;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::ledger::Ledger;

/// Where the writers' keys lie.
pub const PREFIX: &str = "witness/";
/// Keys of each writer, written in turn.
const KEYS_PER_WRITER: u64 = 100;
/// How long an answer may take before the outcome counts as unknown.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// How many write, and how long each rests between two puts.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub writers: usize,
    pub rest: Duration,
    /// Counters begin above this; whoever starts a second load on a ledger goes on above the first.
    pub first: u64,
}

/// Writers at work.
pub struct Load {
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Starts the writers; what they get acknowledged goes into the ledger.
    pub fn start(urls: &[String], ledger: &Arc<Ledger>, pace: Pace) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for n in 0..pace.writers {
            let mut clients = Vec::new();
            for url in urls {
                let endpoint = Endpoint::from_shared(url.clone())?.timeout(ANSWER_MAX);
                clients.push(KvClient::new(endpoint.connect_lazy()));
            }
            clients.rotate_left(n % urls.len().max(1));
            tasks.spawn(write(n, clients, ledger.clone(), pace, is_over.clone()));
        }
        Ok(Self { is_over, tasks })
    }

    /// Lets every writer finish its put.
    pub async fn stop(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn write(
    n: usize,
    mut clients: Vec<KvClient<Channel>>,
    ledger: Arc<Ledger>,
    pace: Pace,
    is_over: Arc<AtomicBool>,
) {
    let mut counter = pace.first;
    while !is_over.load(Ordering::Relaxed) {
        counter += 1;
        let key = format!("{PREFIX}{n}/{:03}", counter % KEYS_PER_WRITER);
        let put = PutRequest {
            key: key.clone().into(),
            value: counter.to_string().into(),
            ..PutRequest::default()
        };
        match clients[0].put(put).await {
            Ok(_) => ledger.acknowledge(&key, counter),
            Err(_) => {
                ledger.lose();
                clients.rotate_left(1);
            }
        }
        tokio::time::sleep(pace.rest).await;
    }
}
