//! What other members may ask this one for: the client's calls that only a leader can answer, and hashes. Each question
//! is answered by its own room; here they are told apart.

use crate::api::Forwarded;
use crate::apply::State;
use crate::raft::ForwardHandler;
use crate::tasks::{HASH_QUESTION, answer_hash_question};
use crate::types::MemberId;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::sync::Arc;

/// Answers everything.
pub(super) struct Forwarding {
    /// The calls.
    pub(super) calls: Forwarded,
    /// What is hashed.
    pub(super) state: Arc<State>,
}

impl ForwardHandler for Forwarding {
    fn handle(
        &self,
        from: MemberId,
        kind: u32,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Bytes>> {
        if kind != HASH_QUESTION {
            return self.calls.handle(from, kind, body);
        }
        let answer = answer_hash_question(self.state.clone(), body);
        Box::pin(async move { answer.await.map_err(Bytes::from) })
    }
}
