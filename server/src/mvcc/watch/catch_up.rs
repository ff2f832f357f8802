//! Bringing watchers that are behind back to the present: one bounded stretch of history each in turn, read without any
//! lock, until a watcher has everything that the synced ones have.

use super::events::EncodedEvents;
use super::history::{self, Stretch};
use super::hub::{Hub, State};
use super::watcher::{Interest, WatcherKey};
use crate::mvcc::{MvccError, Store};
use std::sync::Arc;

/// What to read for a watcher.
struct Task {
    interest: Interest,
    from: i64,
    to: i64,
}

/// Events of whole revisions that go into one message.
struct Message {
    first_revision: i64,
    events: Arc<EncodedEvents>,
}

impl Hub {
    /// Reads one stretch of history for the watcher whose turn it is. Returns false when nobody is behind.
    pub(super) fn catch_up_one(&self, store: &Store) -> bool {
        let Some(key) = self.behind.lock().pop_front() else { return false };
        let Some(task) = self.plan(key, store) else { return true };
        let messages = self.read(&task, store);
        let mut state = self.state.lock();
        self.conclude(&mut state, key, messages, store);
        true
    }

    /// Decides what to read, or does without: the watcher may be gone, compacted, or waiting for room in its queue.
    fn plan(&self, key: WatcherKey, store: &Store) -> Option<Task> {
        let mut state = self.state.lock();
        let watcher = state.watchers.get(&key).filter(|watcher| !watcher.is_synced)?;
        let compact = store.compact_revision();
        if watcher.next < compact {
            self.end_compacted(&mut state, key, compact);
            return None;
        }
        if !watcher.queue.has_room_for(key) {
            return None;
        }
        Some(Task { interest: watcher.interest.clone(), from: watcher.next, to: state.served })
    }

    /// Reads and encodes; also returns the last revision that was looked at.
    fn read(&self, task: &Task, store: &Store) -> Result<(Vec<Message>, i64), MvccError> {
        if task.from > task.to {
            return Ok((Vec::new(), task.from - 1));
        }
        let n_max = usize::try_from(task.to - task.from + 1).unwrap_or(usize::MAX);
        let n_max = n_max.min(self.limits.stretch_revisions_max);
        let recent = self.recent.lock().since(task.from, n_max);
        let stretch = match recent {
            Some(events) => Stretch::recent(events, task.from),
            None => history::read(store, &task.interest.range, task.from, task.to, &self.limits)?,
        };
        let mut messages: Vec<(i64, EncodedEvents)> = Vec::new();
        for events in &stretch.events {
            let Some(encoded) = task.interest.select(events, store) else { continue };
            match messages.last_mut() {
                Some((_, last))
                    if last.encoded_len() + encoded.encoded_len()
                        <= self.limits.message_bytes_max =>
                {
                    last.append(&encoded);
                }
                _ => messages.push((events.revision(), EncodedEvents::clone(&encoded))),
            }
        }
        let messages = messages
            .into_iter()
            .map(|(first_revision, events)| Message { first_revision, events: Arc::new(events) });
        Ok((messages.collect(), stretch.reached))
    }

    /// Sends what was read and decides whether the watcher is synced now.
    fn conclude(
        &self,
        state: &mut State,
        key: WatcherKey,
        outcome: Result<(Vec<Message>, i64), MvccError>,
        store: &Store,
    ) {
        let Some(watcher) = state.watchers.get_mut(&key) else { return };
        let compact = store.compact_revision();
        if watcher.next < compact {
            // Rows may have gone while they were read.
            return self.end_compacted(state, key, compact);
        }
        let (messages, reached) = match outcome {
            Ok(read) => read,
            Err(error) => {
                if store.is_retired() {
                    return;
                }
                // The state is damaged or gone; whoever applies the next entry stops the member for it.
                tracing::error!(%error, watch_id = watcher.id, "cannot read history for a watcher");
                return;
            }
        };
        for message in messages {
            if !watcher.send(key, message.events, state.served) {
                watcher.next = message.first_revision;
                return;
            }
        }
        watcher.next = reached + 1;
        let sprint_max = self.limits.sprint_revisions_max;
        if state.served - reached > sprint_max as i64 {
            return self.enqueue_behind([key]);
        }
        let rest = self.recent.lock().since(reached + 1, sprint_max);
        let Some(rest) = rest else { return self.enqueue_behind([key]) };
        // What was published but is not served yet comes to the watcher like to all synced ones.
        for events in rest.iter().take_while(|events| events.revision() <= state.served) {
            if let Some(encoded) = watcher.interest.select(events, store)
                && !watcher.send(key, encoded, events.revision())
            {
                watcher.next = events.revision();
                return;
            }
        }
        self.enter_synced(state, key);
    }
}
