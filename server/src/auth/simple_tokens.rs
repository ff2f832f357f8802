//! Simple tokens: who holds which, and until when.
//!
//! Every member has the same table, because each login is an entry of the log. How long a token lives is the member's own
//! affair and counted by its own clock, as in etcd (`etcd:server/auth/simple_token.go`): a use renews it where it
//! was used.

use crate::clock::SharedClock;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Time between two searches for tokens that nobody used any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

struct Token {
    user: Arc<str>,
    deadline: Duration,
}

#[derive(Default)]
struct Table {
    tokens: HashMap<String, Token>,
    next_sweep: Duration,
}

/// All tokens in force.
pub struct SimpleTokens {
    clock: SharedClock,
    ttl: Duration,
    table: Mutex<Table>,
}

impl SimpleTokens {
    /// An empty table; tokens live for `ttl` after their last use.
    pub fn new(clock: SharedClock, ttl: Duration) -> SimpleTokens {
        SimpleTokens { clock, ttl, table: Mutex::default() }
    }

    /// Gives a token to a user.
    pub fn assign(&self, token: String, user: &str) {
        let now = self.clock.now();
        let mut table = self.table.lock();
        if table.next_sweep <= now {
            table.tokens.retain(|_, token| token.deadline > now);
            table.next_sweep = now + SWEEP_INTERVAL;
        }
        table.tokens.insert(token, Token { user: user.into(), deadline: now + self.ttl });
    }

    /// The holder of a token, which lives on from now; `None` for one that is unknown or has expired.
    pub fn renew(&self, token: &str) -> Option<Arc<str>> {
        let now = self.clock.now();
        let mut table = self.table.lock();
        let known = table.tokens.get_mut(token).filter(|token| token.deadline > now)?;
        known.deadline = now + self.ttl;
        Some(known.user.clone())
    }

    /// Ends all tokens of a user.
    pub fn end_user(&self, user: &str) {
        self.table.lock().tokens.retain(|_, token| token.user.as_ref() != user);
    }

    /// Ends all tokens.
    pub fn clear(&self) {
        self.table.lock().tokens.clear();
    }
}

// Tokens are as good as passwords.
impl fmt::Debug for SimpleTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.table.lock().tokens.len())
    }
}

/// The log index in a simple token, `<letters>.<index>`: a member that has not applied it yet cannot know the token.
pub fn token_index(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.bytes().all(|byte| byte.is_ascii_digit()).then(|| index.parse().ok())?
}
