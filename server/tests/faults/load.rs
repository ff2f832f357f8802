//! Clients that put, get, compare-and-put, delete and write pairs at random, each call to a random member, and write
//! down what they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use quorate_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::response_op::Response;
use quorate_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest,
    request_op,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::ask;
use super::history::{Act, History};

const CLIENTS: usize = 6;
/// Keys that all clients share. Every epoch has new ones, so that their histories stay short.
const KEYS: usize = 5;
/// How long a client waits for an answer.
const ANSWER_MAX: Duration = Duration::from_millis(1500);
const REST: Duration = Duration::from_millis(4);
const REST_AFTER_ERROR: Duration = Duration::from_millis(60);

/// Clients at work.
pub struct Load {
    pub history: Arc<History>,
    epoch: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub fn start(urls: &[String], dice: &mut StdRng) -> Load {
        let mut load = Load {
            history: Arc::default(),
            epoch: Arc::default(),
            is_over: Arc::default(),
            clients: JoinSet::new(),
        };
        for name in 0..CLIENTS {
            let client = Client {
                name,
                dice: StdRng::seed_from_u64(dice.random()),
                members: urls.iter().map(|url| ask::kv(url, ANSWER_MAX)).collect(),
                history: load.history.clone(),
                last_seen: None,
            };
            load.clients.spawn(client.work(load.epoch.clone(), load.is_over.clone()));
        }
        load
    }

    /// From now on the clients use new keys.
    pub fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until more writes have been acknowledged.
    pub async fn more_writes(&self, n: usize) {
        let before = self.history.acknowledged();
        let wanted = async || (self.history.acknowledged() >= before + n).then_some(());
        ask::until("acknowledged writes", Duration::from_secs(60), wanted).await;
    }

    /// Lets every client finish its call.
    pub async fn stop(mut self) -> Arc<History> {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.history
    }
}

struct Client {
    name: usize,
    dice: StdRng,
    members: Vec<KvClient<Channel>>,
    history: Arc<History>,
    /// A value of the register that it worked on last, to swap.
    last_seen: Option<(String, Option<u64>)>,
}

/// Whether there was an answer.
type Answer<T> = Result<T, tonic::Status>;

impl Client {
    async fn work(mut self, epoch: Arc<AtomicUsize>, is_over: Arc<AtomicBool>) {
        while !is_over.load(Ordering::Relaxed) {
            let epoch = epoch.load(Ordering::Relaxed);
            let key = format!("register/{epoch}/{}", self.dice.random_range(0..KEYS));
            let began = self.history.now();
            let is_answered = match self.dice.random_range(0..100) {
                0..35 => self.put(&key, began).await,
                35..65 => self.get(&key, began).await,
                65..85 => self.swap(key, began).await,
                85..93 => self.delete(&key, began).await,
                _ => self.pair(epoch).await,
            };
            if is_answered.is_err() {
                self.history.lose();
            }
            // A dead member refuses at once; clients that only collect refusals judge nothing.
            tokio::time::sleep(if is_answered.is_err() { REST_AFTER_ERROR } else { REST }).await;
        }
    }

    fn member(&mut self) -> KvClient<Channel> {
        let n = self.dice.random_range(0..self.members.len());
        self.members[n].clone()
    }

    async fn put(&mut self, key: &str, began: Duration) -> Answer<()> {
        let value = self.history.new_value();
        let answer = self.member().put(put_request(key, value)).await;
        self.history.record(key, Act::Put(value), began, answer.is_ok());
        let revision = revision(answer?.into_inner().header.as_ref());
        self.history.acknowledge(key, Some(value), revision);
        Ok(())
    }

    async fn get(&mut self, key: &str, began: Duration) -> Answer<()> {
        let range = RangeRequest { key: key.to_owned().into(), ..RangeRequest::default() };
        let answer = self.member().range(range).await?.into_inner();
        let found = answer.kvs.first().map(|kv| number(&kv.value));
        self.history.record(key, Act::Get(found), began, true);
        self.last_seen = Some((key.to_owned(), found));
        Ok(())
    }

    /// Swaps the value that this client saw last.
    async fn swap(&mut self, key: String, began: Duration) -> Answer<()> {
        let (key, from) = self.last_seen.take().unwrap_or((key, None));
        let to = self.history.new_value();
        let (target, union) = match from {
            Some(value) => (CompareTarget::Value, TargetUnion::Value(value.to_string().into())),
            None => (CompareTarget::Create, TargetUnion::CreateRevision(0)),
        };
        let is_so = Compare {
            result: CompareResult::Equal as i32,
            target: target as i32,
            key: key.clone().into(),
            target_union: Some(union),
            ..Compare::default()
        };
        let txn = TxnRequest {
            compare: vec![is_so],
            success: vec![put_op(&key, to)],
            failure: Vec::new(),
        };
        let answer = self.member().txn(txn).await;
        let was_so = answer.as_ref().is_ok_and(|answer| answer.get_ref().succeeded);
        self.history.record(&key, Act::Swap { from, to, was_so }, began, answer.is_ok());
        let answer = answer?.into_inner();
        if was_so {
            self.history.acknowledge(&key, Some(to), revision(answer.header.as_ref()));
            self.last_seen = Some((key, Some(to)));
        }
        Ok(())
    }

    async fn delete(&mut self, key: &str, began: Duration) -> Answer<()> {
        let delete =
            DeleteRangeRequest { key: key.to_owned().into(), ..DeleteRangeRequest::default() };
        let answer = self.member().delete_range(delete).await;
        let existed = answer.as_ref().is_ok_and(|answer| answer.get_ref().deleted == 1);
        self.history.record(key, Act::Delete { existed }, began, answer.is_ok());
        let answer = answer?.into_inner();
        if existed {
            self.history.acknowledge(key, None, revision(answer.header.as_ref()));
        }
        Ok(())
    }

    /// Two keys in one transaction, which reads them back too.
    async fn pair(&mut self, epoch: usize) -> Answer<()> {
        let value = self.history.new_value();
        let keys = ["a", "b"].map(|side| format!("pair/{epoch}/{}/{side}", self.name));
        let read = RangeRequest { key: keys[0].clone().into(), ..RangeRequest::default() };
        let read = RequestOp { request: Some(request_op::Request::RequestRange(read)) };
        let success = vec![put_op(&keys[0], value), put_op(&keys[1], value), read];
        let txn = TxnRequest { success, ..TxnRequest::default() };
        let answer = self.member().txn(txn).await?.into_inner();
        let Some(Response::ResponseRange(range)) = answer.responses[2].response.clone() else {
            panic!("a range is answered by a range: {answer:?}")
        };
        assert_eq!(number(&range.kvs[0].value), value, "a transaction sees its own put");
        let revision = revision(answer.header.as_ref());
        for key in keys {
            self.history.acknowledge(&key, Some(value), revision);
        }
        Ok(())
    }
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.expect("every answer has a header").revision
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().expect("values are numbers")
}

fn put_request(key: &str, value: u64) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_string().into(),
        ..PutRequest::default()
    }
}

fn put_op(key: &str, value: u64) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestPut(put_request(key, value))) }
}
