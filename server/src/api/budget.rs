//! How much memory large answers may take together: reads that would find too many others waiting for their clients
//! wait themselves, and are refused when that takes too long. Small answers are not counted.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::errors::EtcdError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Response, Status};

/// Answers below this many bytes are not counted.
const SMALL_BYTES: usize = 64 * 1024;
/// Bytes of one permit: a semaphore counts to less than the memory of large machines.
const UNIT_BYTES: usize = 1024;

/// What answers may take, and how many are being read.
#[derive(Clone, Debug)]
pub struct AnswerBudget {
    units: Arc<Semaphore>,
    n_units: usize,
    readers: Arc<Semaphore>,
    patience: Duration,
}

/// A part of the budget that goes with an answer until it is sent.
#[derive(Clone, Debug)]
pub struct Share {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The right to read one large answer.
pub struct Reading {
    budget: AnswerBudget,
    /// Kept until the answer has its share: so many answers at most are in nobody's count.
    _permit: OwnedSemaphorePermit,
}

impl AnswerBudget {
    /// A budget of `bytes` for all answers, with `readers` reads at a time. Who waits longer than `patience` is
    /// refused.
    pub fn new(bytes: usize, readers: usize, patience: Duration) -> AnswerBudget {
        let n_units = (bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        AnswerBudget {
            units: Arc::new(Semaphore::new(n_units)),
            n_units,
            readers: Arc::new(Semaphore::new(readers.max(1))),
            patience,
        }
    }

    /// True for an answer that is not counted.
    pub fn is_small(bytes: usize) -> bool {
        bytes < SMALL_BYTES
    }

    /// Waits for the right to read an answer that may be large.
    ///
    /// # Errors
    /// [`EtcdError::TooManyRequests`] after too long a wait.
    pub async fn read(&self) -> Result<Reading, Status> {
        let _permit = self.wait(self.readers.clone(), 1).await?;
        Ok(Reading { budget: self.clone(), _permit })
    }

    async fn wait(&self, of: Arc<Semaphore>, units: u32) -> Result<OwnedSemaphorePermit, Status> {
        let permit = tokio::time::timeout(self.patience, of.acquire_many_owned(units)).await;
        // The semaphores are never closed.
        permit.ok().and_then(Result::ok).ok_or_else(|| EtcdError::TooManyRequests.into())
    }
}

impl Reading {
    /// Waits for the room that an answer of so many bytes takes, and lets the next read begin. An answer larger than
    /// the whole budget takes all of it.
    ///
    /// # Errors
    /// [`EtcdError::TooManyRequests`] after too long a wait.
    pub async fn share(self, bytes: usize) -> Result<Option<Share>, Status> {
        if AnswerBudget::is_small(bytes) {
            return Ok(None);
        }
        let units = bytes.div_ceil(UNIT_BYTES).min(self.budget.n_units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = self.budget.wait(self.budget.units.clone(), units).await?;
        Ok(Some(Share { _permit: Arc::new(permit) }))
    }
}

/// Sends a share along with an answer.
pub fn attach<T>(mut response: Response<T>, share: Option<Share>) -> Response<T> {
    if let Some(share) = share {
        response.extensions_mut().insert(share);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer waits while others hold the budget, gets its part when they go, and is refused when they do not.
    #[tokio::test]
    async fn answers_share_the_budget() {
        let budget = AnswerBudget::new(1 << 20, 2, Duration::from_millis(50));
        let first = budget.read().await.unwrap().share(900 << 10).await.unwrap();
        assert!(budget.read().await.unwrap().share(1024).await.unwrap().is_none());
        let refused = budget.read().await.unwrap().share(200 << 10).await.unwrap_err();
        assert_eq!(refused.message(), EtcdError::TooManyRequests.text());
        drop(first);
        let whole = budget.read().await.unwrap().share(10 << 20).await.unwrap();
        assert!(whole.is_some() && budget.units.available_permits() == 0);
        drop(whole);
        assert_eq!(budget.units.available_permits(), 1024);
    }
}
