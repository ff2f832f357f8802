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
/// Reads that wait for a read index.
pub const READ_QUEUE: usize = 16_384;
/// Time an unanswered read index is asked for again after (etcd's readIndexRetryTime).
pub const READ_RETRY: Duration = Duration::from_millis(500);
/// Largest chunk of a snapshot on the wire, in bytes.
pub const SNAPSHOT_CHUNK: usize = 1 << 20;

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
