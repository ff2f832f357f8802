//! The present view for everyone: read without a lock, replaced by the apply thread.

use super::change::{Change, Refusal};
use super::rows::{Loader, REVISION_ROW};
use super::simple_tokens::SimpleTokens;
use super::view::{AuthView, Caller};
use crate::clock::SharedClock;
use crate::storage::{Batch, Keyspace};
use arc_swap::ArcSwap;
use quorate_proto::errors::EtcdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Users, roles and tokens of a member. Only `apply` changes it.
#[derive(Debug)]
pub struct AuthStore {
    view: ArcSwap<AuthView>,
    /// A copy of the view's switch: while it is off, a request pays for this one load and nothing else.
    is_enabled: AtomicBool,
    /// Counts views; streams that judge again and again compare it first.
    generation: AtomicU64,
    changed: watch::Sender<u64>,
    tokens: SimpleTokens,
}

impl AuthStore {
    /// A store without users. Simple tokens live for `token_ttl` after their last use.
    pub fn new(clock: SharedClock, token_ttl: Duration) -> AuthStore {
        AuthStore {
            view: ArcSwap::from_pointee(AuthView::default()),
            is_enabled: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            tokens: SimpleTokens::new(clock, token_ttl),
        }
    }

    /// True when callers are judged.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Acquire)
    }

    /// What is true now.
    pub fn view(&self) -> Arc<AuthView> {
        self.view.load_full()
    }

    /// Changes with every view.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Follows [`AuthStore::generation`].
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The tokens in force.
    pub fn tokens(&self) -> &SimpleTokens {
        &self.tokens
    }

    /// Who holds a simple token; its revision is that of now.
    pub fn holder(&self, token: &str) -> Option<Caller> {
        let name = self.tokens.renew(token)?;
        Some(Caller { name, revision: self.view.load().revision() })
    }

    /// Replaces everything by what was loaded; tokens of another state are worth nothing. Returns the rows that a state
    /// from before the first change lacks.
    pub fn restore(&self, loaded: Loader) -> Option<Batch> {
        let is_complete = loaded.has_revision();
        let view = loaded.into_view();
        let revision = view.revision().to_be_bytes().to_vec();
        self.tokens.clear();
        self.publish(view);
        if is_complete {
            return None;
        }
        let mut batch = Batch::housekeeping();
        batch.put(Keyspace::Auth, REVISION_ROW, revision);
        Some(batch)
    }

    /// Makes one change: its rows go into the batch, and who asks from now on is judged by what it brought about.
    ///
    /// # Errors
    /// Those of `change`; then nothing has changed.
    pub fn change(
        &self,
        batch: &mut Batch,
        change: impl FnOnce(&mut Change<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let view = AuthView::clone(&self.view.load());
        let was_enabled = view.is_enabled();
        let mut next = Change { view, batch, ended: None };
        change(&mut next)?;
        let Change { view, ended, .. } = next;
        if was_enabled && !view.is_enabled() {
            self.tokens.clear();
        }
        self.publish(view);
        // After the view: a token that is looked up in between finds no user.
        if let Some(user) = ended {
            self.tokens.end_user(&user);
        }
        Ok(())
    }

    /// A login whose password was checked: assigns the token, if there is one.
    ///
    /// # Errors
    /// Authentication is off, or the user cannot log in (any more).
    pub fn log_in(&self, user: &str, token: Option<String>) -> Result<(), EtcdError> {
        let view = self.view.load();
        if !view.is_enabled() {
            return Err(EtcdError::AuthenticationIsNotEnabled);
        }
        if view.user(user).is_none_or(|user| user.has_no_password()) {
            return Err(EtcdError::AuthFailed);
        }
        if let Some(token) = token {
            self.tokens.assign(token, user);
        }
        Ok(())
    }

    fn publish(&self, view: AuthView) {
        let is_enabled = view.is_enabled();
        self.view.store(Arc::new(view));
        self.is_enabled.store(is_enabled, Ordering::Release);
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.send_replace(generation);
    }
}
