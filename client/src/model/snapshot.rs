//! The cluster at one moment, as plain data: what the dashboard draws, the findings judge and JSON shows.
//!
//! No network and no clock here; [`super::assemble`] makes these values.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{ClusterId, MemberId, Value};

/// Everything known about a cluster at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClusterSnapshot {
    /// Rounds of questions begun so far; 0 before the first.
    pub round: u64,
    /// The id in the answers' headers.
    pub cluster_id: Value<ClusterId>,
    /// The leader by the members of the highest term; `Known(None)` when they say there is none.
    pub leader: Value<Option<MemberId>>,
    /// The highest term.
    pub term: Value<u64>,
    /// The highest revision.
    pub revision: Value<i64>,
    /// Voters, and how many of them answer.
    pub quorum: Value<Quorum>,
    /// Whether a linearizable read got through on any member in the newest round.
    pub is_serving: Value<bool>,
    /// Alarms of all members.
    pub alarms: Value<Vec<Alarm>>,
    /// Puts applied per second, by the leader's metrics.
    pub puts_per_second: Value<f64>,
    /// Revisions per second, by the answers' headers: known without metrics.
    pub revisions_per_second: Value<f64>,
    /// Leader changes seen by this program.
    pub leader_changes: LeaderChanges,
    /// The cluster's members, by name.
    pub members: Vec<MemberSnapshot>,
    /// Endpoints that answer for no member of this cluster: unreachable, or of another cluster.
    pub strangers: Vec<StrangerEndpoint>,
    /// Endpoints whose member list differs from the one shown.
    pub dissenting_member_lists: Vec<String>,
}

impl ClusterSnapshot {
    /// The snapshot before any answer.
    pub fn empty() -> Self {
        fn waiting<T>() -> Value<T> {
            Value::unknown("no answer yet")
        }
        Self {
            round: 0,
            cluster_id: waiting(),
            leader: waiting(),
            term: waiting(),
            revision: waiting(),
            quorum: waiting(),
            is_serving: waiting(),
            alarms: waiting(),
            puts_per_second: waiting(),
            revisions_per_second: waiting(),
            leader_changes: LeaderChanges::default(),
            members: Vec::new(),
            strangers: Vec::new(),
            dissenting_member_lists: Vec::new(),
        }
    }

    /// The member with this id.
    pub fn member(&self, id: MemberId) -> Option<&MemberSnapshot> {
        self.members.iter().find(|member| member.id == id)
    }

    /// The leader's row, if the leader is known and listed.
    pub fn leader_member(&self) -> Option<&MemberSnapshot> {
        self.leader.last().copied().flatten().and_then(|id| self.member(id))
    }
}

/// Voters and how many of them answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// Voting members.
    pub voters: usize,
    /// Voting members that answer this program.
    pub up: usize,
}

impl Quorum {
    /// How many voters have to be up: more than half.
    pub fn needed(self) -> usize {
        self.voters / 2 + 1
    }

    /// How many more voters may go down; `None` when there are already too few.
    pub fn margin(self) -> Option<usize> {
        self.up.checked_sub(self.needed())
    }
}

/// Leader changes seen while watching.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeaderChanges {
    /// Changes inside the window.
    pub count: u32,
    /// How far back this program has looked, at most [`super::LEADER_CHANGE_WINDOW`].
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub window: Duration,
}

/// One member: its entry in the member list joined with its own answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberSnapshot {
    /// Member id.
    pub id: MemberId,
    /// Empty until the member has started for the first time.
    pub name: String,
    /// Whether the member has no vote, by the member list.
    pub is_learner: bool,
    /// URLs for the other members.
    pub peer_urls: Vec<String>,
    /// URLs it advertises to clients.
    pub client_urls: Vec<String>,
    /// The URL this program asks; `None` when there is none to ask.
    pub endpoint: Option<String>,
    /// The verdict over all its answers.
    pub health: Health,
    /// Raft role.
    pub role: Value<Role>,
    /// The leader this member follows; `Known(None)` when it has none.
    pub leader: Value<Option<MemberId>>,
    /// Server version, as in `3.7.1`.
    pub version: Value<String>,
    /// Storage version, etcd 3.6 and newer.
    pub storage_version: Value<String>,
    /// Its term.
    pub term: Value<u64>,
    /// Its commit index (`raftIndex` of Status).
    pub commit_index: Value<u64>,
    /// Its applied index.
    pub applied_index: Value<u64>,
    /// Entries behind the leader. Approximate: the answers are not of one instant.
    pub lag: Value<u64>,
    /// Its revision.
    pub revision: Value<i64>,
    /// Bytes of the database file.
    pub db_size: Value<u64>,
    /// Bytes of it that hold data.
    pub db_in_use: Value<u64>,
    /// Bytes the database may grow to.
    pub db_quota: Value<u64>,
    /// Its own alarms.
    pub alarms: Value<Vec<AlarmKind>>,
    /// 99th percentile of the log's fsync over the last minute.
    #[serde(rename = "fsync_p99_ms", serialize_with = "value_ms")]
    pub fsync_p99: Value<Duration>,
    /// 99th percentile of the engine's commit over the last minute.
    #[serde(rename = "commit_p99_ms", serialize_with = "value_ms")]
    pub commit_p99: Value<Duration>,
    /// Puts applied per second.
    pub puts_per_second: Value<f64>,
    /// Resident memory in bytes.
    pub memory: Value<u64>,
    /// Duration of the Status call.
    #[serde(rename = "round_trip_ms", serialize_with = "value_ms")]
    pub round_trip: Value<Duration>,
    /// Duration of a linearizable read: reaches the leader and a majority.
    #[serde(rename = "linearizable_read_ms", serialize_with = "value_ms")]
    pub linearizable_read: Value<Duration>,
}

impl MemberSnapshot {
    /// The name, or the id of a member that has none yet.
    pub fn label(&self) -> String {
        if self.name.is_empty() { self.id.to_string() } else { self.name.clone() }
    }
}

/// The verdict on one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    /// Asked, not answered yet.
    Checking,
    /// Answers, has a leader, reads get through.
    Up,
    /// Answers, but something is wrong.
    Impaired {
        /// What is wrong, a lower-case fragment.
        reason: String,
    },
    /// Does not answer.
    Down {
        /// The error, a lower-case fragment.
        reason: String,
        /// The time since the first failed attempt.
        #[serde(rename = "seconds", serialize_with = "seconds")]
        since: Duration,
    },
    /// In the member list, never started: no name and no client URL.
    NotStarted,
}

impl Health {
    /// Whether the member's process answers.
    pub fn answers(&self) -> bool {
        matches!(self, Self::Up | Self::Impaired { .. })
    }
}

/// Raft role as far as Status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads.
    Leader,
    /// Votes and follows a leader.
    Follower,
    /// Follows without a vote.
    Learner,
    /// A voter that knows no leader: waiting for an election or campaigning.
    Leaderless,
}

impl Role {
    /// The word shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Leaderless => "no leader",
        }
    }
}

/// One alarm of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// The member; 0 when the servers could not say which.
    pub member: MemberId,
    /// Which alarm.
    pub kind: AlarmKind,
}

/// Which alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmKind {
    /// The quota is exceeded; writes are refused.
    Nospace,
    /// The members' data differ.
    Corrupt,
    /// One that this program does not know.
    #[serde(untagged)]
    Other(String),
}

impl AlarmKind {
    /// The word on the wire.
    pub fn word(&self) -> &str {
        match self {
            Self::Nospace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
            Self::Other(word) => word,
        }
    }
}

/// An endpoint that answers for no member of the cluster shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StrangerEndpoint {
    /// Its URL.
    pub endpoint: String,
    /// Why it belongs to no row.
    pub state: StrangerState,
}

/// Why an endpoint belongs to no member row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StrangerState {
    /// No answer, so its member is not known.
    Silent {
        /// The error, a lower-case fragment.
        reason: String,
    },
    /// It answers, but not to us: credentials are missing, wrong or not sufficient.
    Refused {
        /// The error, a lower-case fragment.
        reason: String,
    },
    /// It answers for another cluster.
    OtherCluster {
        /// The other cluster's id.
        cluster_id: ClusterId,
    },
    /// It answers for this cluster but is not in its member list.
    NotListed {
        /// The id it answers with.
        member_id: MemberId,
    },
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 10.0).round() / 10.0)
}

fn value_ms<S: Serializer>(value: &Value<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Microseconds are as fine as a network measurement gets.
    value.as_ref().map(|d| (d.as_secs_f64() * 1e6).round() / 1e3).serialize(serializer)
}
