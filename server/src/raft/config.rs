//! What raft is told at start, and the limits that are not configurable.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::MemberId;

/// Most entries that are handed to the machine at once.
pub const APPLY_MAX: usize = 200;
/// Proposals are refused when the log is this many entries ahead of the machine (etcd's maxGapBetweenApplyAndCommitIndex).
pub const APPLY_GAP_MAX: u64 = 5000;
/// Proposals that wait to be handed to the leader.
pub const PROPOSE_QUEUE: usize = 8192;
/// Proposals of this member without an outcome, after which more are refused.
pub const PROPOSALS_MAX: usize = 65_536;
/// Pause before a proposal that a leader refused is offered again, unless the leader changes earlier.
pub const REJECTED_PAUSE: Duration = Duration::from_millis(25);
/// Reads that wait for a read index.
pub const READ_QUEUE: usize = 16_384;
/// Time an unanswered read index is asked for again after (etcd's readIndexRetryTime).
pub const READ_RETRY: Duration = Duration::from_millis(500);
/// Largest chunk of a snapshot on the wire, in bytes.
pub const SNAPSHOT_CHUNK: usize = 1 << 20;

/// Hears what raft measures; `metrics` turns it into etcd's series. All methods return at once.
pub trait Observer: Send + Sync + 'static {
    /// The log was synced (`etcd_disk_wal_fsync_duration_seconds`).
    fn wal_synced(&self, _took: Duration) {}
    /// A proposal was handed in (`etcd_server_proposals_pending` goes up).
    fn proposal_started(&self) {}
    /// A proposal has its outcome, or failed (`pending` goes down, `etcd_server_proposals_failed_total` up).
    fn proposal_ended(&self, _failed: bool) {}
    /// A read index was not confirmed in time (`etcd_server_slow_read_indexes_total`).
    fn read_index_slow(&self) {}
    /// No read index at all (`etcd_server_read_indexes_failed_total`).
    fn read_index_failed(&self) {}
    /// Log records were handed to the operating system (`etcd_disk_wal_write_*`).
    fn wal_written(&self, _bytes: usize, _took: Duration) {}
    /// A heartbeat goes to a peer, so long after the last one.
    fn heartbeat_sent(&self, _since_last: Duration) {}
    /// A snapshot begins to go to a peer.
    fn snapshot_sending(&self, _to: MemberId) {}
    /// A snapshot was sent to a peer, or could not be.
    fn snapshot_sent(&self, _to: MemberId, _took: Duration, _failed: bool) {}
    /// A snapshot begins to come from a peer.
    fn snapshot_receiving(&self, _from: MemberId) {}
    /// A snapshot that was received is whole on the disk; its last sync took so long.
    fn snapshot_saved(&self, _took: Duration, _sync: Duration) {}
    /// A snapshot was received from a peer, or broke off.
    fn snapshot_received(&self, _from: MemberId, _took: Duration, _failed: bool) {}
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}

/// Settings of one member.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// This member.
    pub member_id: MemberId,
    /// The cluster; peers of another one are refused.
    pub cluster_id: u64,
    /// `--heartbeat-interval`.
    pub heartbeat: Duration,
    /// `--election-timeout`.
    pub election: Duration,
    /// `--initial-election-tick-advance`: a starting member may campaign after one heartbeat less than the timeout.
    pub initial_election_tick_advance: bool,
    /// `--pre-vote`.
    pub pre_vote: bool,
    /// `--snapshot-count`: applied entries between two attempts to purge the log.
    pub snapshot_count: u64,
    /// `--snapshot-catchup-entries`: entries kept below the durable mark for followers that lag.
    pub snapshot_catchup_entries: u64,
    /// `--max-wals`: log segments kept although they are purged; 0 keeps all.
    pub max_wals: usize,
    /// `member/wal`. Must hold a bootstrapped log (`quorate_etcd_files`) or one that has been running.
    pub wal_dir: PathBuf,
    /// `member/snap`: received snapshots are written here as `tmp*`.
    pub snap_dir: PathBuf,
    /// Largest encoded request, in bytes (`--max-request-bytes`).
    pub max_request_bytes: usize,
    /// `--unsafe-no-fsync`.
    pub unsafe_no_fsync: bool,
}

impl RaftConfig {
    /// How long a proposal may take: 5 s for the disk plus two elections (etcd's ReqTimeout).
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }
}
