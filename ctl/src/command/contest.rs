//! Locks and elections as etcd's Go client holds them (`etcd:client/v3/concurrency`): under a prefix, the oldest key
//! wins; every contestant's key hangs on its own lease. Built from reads, writes and watches only, so it works with
//! every server that has those.

use crate::connect::Session;
use crate::failure::{Failure, Outcome, exit};
use bytes::Bytes;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use quorate_client::{Client, WatchOptions, prefix_end};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One contestant: a lease kept alive, and a key under the contested prefix.
pub struct Contestant {
    client: Client,
    lease: i64,
    key: Bytes,
    create_revision: i64,
    keeper: JoinHandle<()>,
    kept: watch::Receiver<()>,
}

impl Contestant {
    /// Grants a lease of `ttl` seconds and puts the key `<name>/<lease>` with `value`. The turn is ours once no older key
    /// is left under `<name>/`.
    pub async fn join(
        session: &Session,
        name: &[u8],
        value: Bytes,
        ttl: i64,
    ) -> Outcome<Contestant> {
        let client = session.client.clone();
        let lease = client.lease().grant(ttl, 0).await?.id;
        let mut renewals = client.lease().keep_alive(lease);
        let (keeps, kept) = watch::channel(());
        let keeper = tokio::spawn(async move {
            while let Ok(Some(_)) = renewals.next().await {}
            drop(keeps);
        });
        let key: Bytes = [name, format!("/{lease:x}").as_bytes()].concat().into();
        let put = pb::PutRequest { key: key.clone(), value, lease, ..Default::default() };
        let response = client.kv().put(put).await?;
        let create_revision = response.header.unwrap_or_default().revision;
        Ok(Contestant { client, lease, key, create_revision, keeper, kept })
    }

    /// Waits for our turn. Who gives up before it, by a signal or an error, takes the key away again: it would hold up
    /// the others for as long as its lease lives.
    pub async fn win(self, name: &[u8]) -> Outcome<Contestant> {
        let prefix = prefix(name);
        let outcome = tokio::select! {
            turn = self.wait_for_older(&prefix) => turn,
            () = interrupted() => Err(cancelled()),
            () = self.lost() => Err(Failure::new(exit::ERROR, "mutex: session is expired")),
        };
        match outcome {
            Ok(()) => Ok(self),
            Err(failure) => {
                // Why it gave up is what counts; the lease ends by itself.
                let _ = self.leave().await;
                Err(failure)
            }
        }
    }

    /// The key that was put.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The revision the key was put at.
    pub fn revision(&self) -> i64 {
        self.create_revision
    }

    /// Ends when the lease is gone, or may be: the key does not protect anything any more.
    pub async fn lost(&self) {
        let mut kept = self.kept.clone();
        // Nothing is ever sent: the channel ends with the keeper.
        let _ = kept.changed().await;
    }

    /// Takes the key away and gives the lease back.
    pub async fn leave(self) -> Outcome {
        self.keeper.abort();
        let request = pb::DeleteRangeRequest { key: self.key.clone(), ..Default::default() };
        self.client.kv().delete(request).await?;
        self.client.lease().revoke(self.lease).await?;
        Ok(())
    }

    async fn wait_for_older(&self, prefix: &Bytes) -> Outcome {
        loop {
            let request = pb::RangeRequest {
                key: prefix.clone(),
                range_end: prefix_end(prefix),
                limit: 1,
                sort_order: SortOrder::Descend as i32,
                sort_target: SortTarget::Create as i32,
                max_create_revision: self.create_revision - 1,
                ..Default::default()
            };
            let response = self.client.kv().range(request).await?;
            let Some(older) = response.kvs.into_iter().next() else { return Ok(()) };
            let start_revision = response.header.unwrap_or_default().revision + 1;
            wait_for_delete(&self.client, older.key, start_revision).await?;
        }
    }
}

/// Ends when the user or the system asks the program to end: a contestant gives its key back first.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// How a contest that was left by a signal ends, in Go's words.
pub fn cancelled() -> Failure {
    Failure::new(exit::ERROR, "context canceled")
}

/// `<name>/`, under which the contestants' keys are.
pub fn prefix(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// Waits until a key is deleted.
pub async fn wait_for_delete(client: &Client, key: Bytes, start_revision: i64) -> Outcome {
    let options = WatchOptions { key, start_revision, ..Default::default() };
    let mut watcher = client.watch().start(options);
    while let Some(message) = watcher.next().await {
        let events = message?.events;
        let delete = quorate_client::proto::mvccpb::event::EventType::Delete as i32;
        if events.iter().any(|event| event.r#type == delete) {
            return Ok(());
        }
    }
    Ok(())
}

/// The request for the oldest key under `<name>/`, which is the winner's.
pub fn winner(name: &[u8]) -> pb::RangeRequest {
    let prefix = prefix(name);
    pb::RangeRequest {
        range_end: prefix_end(&prefix),
        key: prefix,
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..Default::default()
    }
}
