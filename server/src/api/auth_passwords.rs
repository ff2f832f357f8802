//! bcrypt away from the threads that serve: a few at a time, and not too many that wait.

use super::password::{self, PasswordError};
use super::status;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use tonic::Status;

/// Logins and new passwords that wait for their turn; who comes later is told to come back.
const PASSWORDS_WAITING_MAX: usize = 1024;

/// Hashes and checks passwords.
#[derive(Debug)]
pub struct Passwords {
    cost: u32,
    /// Work under way: as much as there are cores, less one where there are several.
    turns: Arc<Semaphore>,
    /// Work under way or waiting.
    places: Arc<Semaphore>,
    /// A hash that nobody has; made when it is needed first.
    nobodys: Arc<OnceLock<String>>,
}

impl Passwords {
    /// Hashes with this cost (`--bcrypt-cost`), on so many threads at a time.
    pub fn new(cost: u32, threads: usize) -> Passwords {
        let turns = Arc::new(Semaphore::new(threads.max(1)));
        let places = Arc::new(Semaphore::new(threads.max(1) + PASSWORDS_WAITING_MAX));
        Passwords { cost, turns, places, nobodys: Arc::default() }
    }

    /// Hashes a password into bcrypt text.
    ///
    /// # Errors
    /// The password is too long, or too many wait.
    pub async fn hash(&self, password: String) -> Result<String, Status> {
        let cost = self.cost;
        let hashed: Result<String, PasswordError> =
            self.take_turn(move || password::hash(password.as_bytes(), cost)).await?;
        hashed.map_err(|error| Status::unknown(error.to_string()))
    }

    /// True when the password is the hashed one.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn verify(&self, password: String, hash: bytes::Bytes) -> Result<bool, Status> {
        self.take_turn(move || password::verify(password.as_bytes(), &hash)).await
    }

    /// Takes as long as [`Passwords::verify`] does, so that the time of an answer does not tell which users there are.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn verify_nobody(&self, password: String) -> Result<(), Status> {
        let (cost, nobodys) = (self.cost, self.nobodys.clone());
        self.take_turn(move || {
            let hash = nobodys.get_or_init(|| password::hash(b"", cost).unwrap_or_default());
            password::verify(password.as_bytes(), hash.as_bytes());
        })
        .await
    }

    async fn take_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(status::too_many_requests());
        };
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|closed| Status::internal(closed.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held by the work and not by its caller, who may be gone before it ends.
            drop((turn, place));
            done
        });
        done.await.map_err(|error| Status::internal(error.to_string()))
    }
}
