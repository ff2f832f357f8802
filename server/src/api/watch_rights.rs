//! By whose rights a watch stream runs. etcd asks once, when a watch is created; here a watch ends when its user loses
//! the right to it, so that nobody goes on seeing what was closed to them.

use super::auth_caller::Credentials;
use super::context::SharedContext;
use super::status::grpc_text;
use crate::auth::{Access, Caller};
use crate::mvcc::watch::WatchStream;
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::WatchCreateRequest;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The user of a stream, once one was needed.
struct Owner {
    name: Arc<str>,
    /// A user whose password was changed has to log in anew, and so has one that was made anew under the old name.
    password_hash: Option<Bytes>,
}

/// Rights of one stream.
pub struct WatchRights {
    context: SharedContext,
    credentials: Credentials,
    owner: Option<Owner>,
    /// The generation of users and roles by which all watches were judged last.
    judged: u64,
    changed: watch::Receiver<u64>,
    /// Watches that are being ended, and why.
    ended: HashMap<i64, EtcdError>,
}

impl WatchRights {
    /// Rights of a stream that brought these credentials.
    pub fn new(context: SharedContext, credentials: Credentials) -> WatchRights {
        let changed = context.state.auth.changed();
        let judged = context.state.auth.generation();
        WatchRights { context, credentials, owner: None, judged, changed, ended: HashMap::new() }
    }

    /// Judges a request for a watch, on the interval as it was sent.
    ///
    /// # Errors
    /// An invalid token or a missing right.
    pub async fn judge(&mut self, create: &WatchCreateRequest) -> Result<(), EtcdError> {
        let auth = self.context.state.auth.clone();
        if !auth.is_enabled() {
            return Ok(());
        }
        let caller = self.context.caller(&self.credentials).await?;
        let view = auth.view();
        let key: &[u8] = if create.key.is_empty() { &[0] } else { &create.key };
        let judged = view.check(&caller, Access::Read, key, &create.range_end);
        // etcd has no other texts for a watch.
        judged.map_err(|error| match error {
            EtcdError::RevisionOfAuthStoreIsOld | EtcdError::UserNameIsEmpty => error,
            _ => EtcdError::PermissionDenied,
        })?;
        self.note_owner(caller);
        Ok(())
    }

    fn note_owner(&mut self, caller: Caller) {
        if caller.is_nobody() || self.owner.is_some() {
            return;
        }
        let view = self.context.state.auth.view();
        let by_token = self.credentials.has_token();
        let hash = view.user(&caller.name).map(|user| user.password_hash().clone());
        let password_hash = hash.filter(|_| by_token);
        self.owner = Some(Owner { name: caller.name, password_hash });
    }

    /// Waits until users or roles change.
    pub async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Judges all watches of the stream again, if users or roles have changed since they were judged. To be called
    /// before anything that was received from the stream is passed on.
    pub async fn refresh(&mut self, stream: &WatchStream) {
        let auth = self.context.state.auth.clone();
        let generation = auth.generation();
        if generation == self.judged {
            return;
        }
        self.judged = generation;
        if !auth.is_enabled() {
            return;
        }
        let ranges = stream.ranges();
        if ranges.is_empty() {
            return;
        }
        let caller = self.present_caller().await;
        let view = auth.view();
        for (id, range) in ranges {
            let judged = caller.as_ref().map_err(|error| *error).and_then(|caller| {
                view.check(caller, Access::Read, range.start(), range.wire_end())
            });
            if let Err(error) = judged
                && stream.cancel(id)
            {
                self.ended.insert(id, error);
            }
        }
    }

    /// The stream's user with a proof of now, if it is still the same user.
    async fn present_caller(&mut self) -> Result<Caller, EtcdError> {
        let Some(owner) = &self.owner else {
            // Created while authentication was off.
            let caller = self.context.caller(&self.credentials).await?;
            self.note_owner(caller.clone());
            return Ok(caller);
        };
        let view = self.context.state.auth.view();
        let user = view.user(&owner.name);
        if let Some(hash) = &owner.password_hash
            && user.is_none_or(|user| user.password_hash() != hash)
        {
            return Err(EtcdError::InvalidAuthToken);
        }
        Ok(Caller { name: owner.name.clone(), revision: view.revision() })
    }

    /// True for a watch of which nothing may be shown any more.
    pub fn is_ended(&self, watch_id: i64) -> bool {
        !self.ended.is_empty() && self.ended.contains_key(&watch_id)
    }

    /// Why a watch that is told to be cancelled was ended here; empty when its client wished it.
    pub fn take_reason(&mut self, watch_id: i64) -> String {
        self.ended.remove(&watch_id).map(grpc_text).unwrap_or_default()
    }
}
