//! How much the hub keeps and does at a time. Tests make the numbers small to reach the edges.

/// Named limits; the defaults are what production uses.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Messages with events that may wait for one connection. etcd has 128; a message here is a few words, the events
    /// are shared.
    pub queue_deliveries_max: usize,
    /// Bytes of events that may wait for one connection, but for one message more.
    pub queue_bytes_max: usize,
    /// Bytes of events that may wait for all connections together: above it, a connection that has some waiting gets no
    /// more. Events that several wait for count for each, and what a connection has taken counts until it has
    /// handed it on.
    pub all_queues_bytes_max: usize,
    /// Messages above that for connections that ask while others have it all, so that those who do not read cannot starve
    /// those who do.
    pub extra_messages_max: usize,
    /// Newest revisions kept in memory, for live watchers and for those who are only a little behind.
    pub recent_revisions_max: usize,
    /// Memory for them, in bytes, but for the newest revision, which is always kept.
    pub recent_bytes_max: usize,
    /// Revisions shown to synced watchers under one hold of the hub's lock.
    pub serve_revisions_max: usize,
    /// Revisions of history read at a time for one watcher, etcd's number.
    pub stretch_revisions_max: usize,
    /// Rows looked at in one go for one watcher, but for the rest of a revision.
    pub stretch_rows_max: usize,
    /// Bytes of pairs read in one go for one watcher, but for the rest of a revision.
    pub stretch_bytes_max: usize,
    /// Bytes of events in one message of history, but for a single larger revision: well below what clients accept.
    pub message_bytes_max: usize,
    /// A watcher that is at most so many revisions behind is brought up under the hub's lock, so that a fast writer
    /// cannot stay ahead of it for ever.
    pub sprint_revisions_max: usize,
}

impl Default for WatchLimits {
    fn default() -> WatchLimits {
        WatchLimits {
            queue_deliveries_max: 1024,
            queue_bytes_max: 8 << 20,
            all_queues_bytes_max: 512 << 20,
            extra_messages_max: 64,
            recent_revisions_max: 10_000,
            recent_bytes_max: 16 << 20,
            serve_revisions_max: 64,
            stretch_revisions_max: 1000,
            stretch_rows_max: 10_000,
            stretch_bytes_max: 4 << 20,
            message_bytes_max: 1 << 20,
            sprint_revisions_max: 64,
        }
    }
}
