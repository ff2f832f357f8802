//! The two threads that move changes to watchers. Without them nothing is delivered.

use super::Hub;
use crate::mvcc::Store;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// Runs the hub of a store for as long as it lives; dropping it ends and joins the threads.
#[derive(Debug)]
#[must_use = "the threads end when this is dropped"]
pub struct WatchThreads {
    store: Arc<Store>,
    threads: Vec<JoinHandle<()>>,
}

impl WatchThreads {
    /// Starts the threads. Once for a store.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn spawn(store: &Arc<Store>) -> io::Result<WatchThreads> {
        let mut threads = WatchThreads { store: Arc::clone(store), threads: Vec::new() };
        threads.start("watch-fan-out", Hub::run_fan_out)?;
        threads.start("watch-catch-up", Hub::run_catch_up)?;
        Ok(threads)
    }

    fn start(&mut self, name: &str, run: fn(&Hub, &Store)) -> io::Result<()> {
        let store = Arc::clone(&self.store);
        let thread = Builder::new().name(name.into()).spawn(move || run(&store.hub, &store))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for WatchThreads {
    fn drop(&mut self) {
        self.store.hub.close();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}
