//! Clients that put keys of their own and write down at which revision each put was acknowledged. They never stop for a
//! restart, nor for another program behind the addresses; where they have a login, they log in again by themselves.

use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use quorate_proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::task::JoinSet;

use super::accounts::client;
use super::ask;

const WRITERS: usize = 8;
const ANSWER_MAX: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_millis(2);
const REST_AFTER_ERROR: Duration = Duration::from_millis(50);

/// A put that was acknowledged.
#[derive(Clone, Debug)]
pub struct Put {
    pub key: String,
    pub value: String,
    pub revision: i64,
}

/// Writers at work.
pub struct Load {
    puts: Arc<Mutex<Vec<Put>>>,
    is_over: Arc<AtomicBool>,
    writers: JoinSet<()>,
}

impl Load {
    /// `mark` keeps the keys of several loads apart; `user` is whom the clients are, nobody by default.
    pub async fn start(urls: &[String], mark: &str, user: Option<&str>) -> Load {
        let mut load =
            Load { puts: Arc::default(), is_over: Arc::default(), writers: JoinSet::new() };
        // One login for each member: passwords are slow to check, on purpose.
        let mut members = Vec::new();
        for url in urls {
            members.push(client(from_ref(url), user, ANSWER_MAX).await.kv());
        }
        for writer in 0..WRITERS {
            let members = members.clone();
            let (puts, is_over) = (load.puts.clone(), load.is_over.clone());
            let mark = mark.to_owned();
            load.writers.spawn(async move {
                for n in 0_usize.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    // A key is put only once, so its revision tells whether that very put is there.
                    let (key, value) = (format!("{mark}/{writer}/{n}"), format!("value {n}"));
                    let put = PutRequest {
                        key: key.clone().into(),
                        value: value.clone().into(),
                        ..PutRequest::default()
                    };
                    match members[(writer + n) % members.len()].put(put).await {
                        Ok(answer) => {
                            let revision = answer.header.unwrap().revision;
                            puts.lock().push(Put { key, value, revision });
                            tokio::time::sleep(REST).await;
                        }
                        Err(_) => tokio::time::sleep(REST_AFTER_ERROR).await,
                    }
                }
            });
        }
        load
    }

    /// Waits until more puts have been acknowledged.
    pub async fn more(&self, n: usize) {
        let before = self.puts.lock().len();
        let is_enough = async || (self.puts.lock().len() >= before + n).then_some(());
        ask::until("acknowledged puts", Duration::from_secs(90), is_enough).await;
    }

    /// Lets every writer finish its call; all that was acknowledged.
    pub async fn stop(mut self) -> Vec<Put> {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(writer) = self.writers.join_next().await {
            writer.unwrap();
        }
        std::mem::take(&mut self.puts.lock())
    }
}

/// Every put is there with its value and its revision, by the local state of this member.
pub async fn all_there(url: &str, puts: &[Put]) {
    let mut kv = ask::kv(url, Duration::from_secs(30));
    let everything = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let answer = kv.range(everything).await.unwrap().into_inner();
    let found: std::collections::HashMap<_, _> =
        answer.kvs.iter().map(|kv| (&kv.key[..], kv)).collect();
    for put in puts {
        let kv = found.get(put.key.as_bytes()).unwrap_or_else(|| panic!("{url} lost {put:?}"));
        assert_eq!((&kv.value[..], kv.mod_revision), (put.value.as_bytes(), put.revision));
        assert_eq!((kv.create_revision, kv.version), (put.revision, 1), "{url}: {put:?}");
    }
}
