//! What one endpoint answered to one question, in the model's own words.
//!
//! The wire's habits (0 for "absent", ids as numbers, alarms as text in `errors`) end here.

use std::time::{Duration, Instant};

use quorate_proto::etcdserverpb as pb;

use super::{Alarm, AlarmKind, ClusterId, MemberId, Scrape};

/// The questions every endpoint is asked once a round.
///
/// All are local to the member and write nothing, except that [`Question::Read`] needs a majority. The alarm list is
/// not asked for: etcd sends `Alarm` through the log even to read it, and Status carries the alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Maintenance.Status.
    Status,
    /// The member list as this member has it (`linearizable = false`), so that it answers without quorum.
    Members,
    /// `GET /metrics`.
    Metrics,
    /// A linearizable read of one absent key, as `etcdctl endpoint health` does it.
    Read,
}

impl Question {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Status, Self::Members, Self::Metrics, Self::Read];
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// Status, and how long the call took.
    Status(StatusAnswer, Duration),
    /// The member list.
    Members(MemberListAnswer),
    /// The metrics page.
    Metrics(Scrape),
    /// How long the linearizable read took.
    Read(Duration),
}

/// One answer or failure of one endpoint.
#[derive(Debug)]
pub(super) struct Observation {
    /// Which endpoint, by the collector's own key.
    pub endpoint: String,
    /// The round that asked.
    pub round: u64,
    /// The question.
    pub question: Question,
    /// When the answer came.
    pub at: Instant,
    /// The answer.
    pub result: Result<Answer, ProbeError>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProbeError {
    /// What kind of failure.
    pub kind: ProbeErrorKind,
    /// A lower-case fragment for people.
    pub reason: String,
}

/// Kinds of failure that the model treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeErrorKind {
    /// No connection, or no answer in time: the member may be down.
    Unreachable,
    /// The member answers, but not to us: credentials are missing or lack a permission.
    Denied,
    /// The member answers with an error, or does not know the call.
    Refused,
}

impl ProbeError {
    /// No answer within the limit.
    pub(super) fn timeout(limit: Duration) -> Self {
        let reason = format!("no answer within {:.1} s", limit.as_secs_f64());
        Self { kind: ProbeErrorKind::Unreachable, reason }
    }
}

/// The answer to Status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatusAnswer {
    pub cluster_id: ClusterId,
    pub member_id: MemberId,
    pub revision: i64,
    pub version: String,
    pub storage_version: Option<String>,
    pub leader: Option<MemberId>,
    pub term: u64,
    pub commit_index: u64,
    pub applied_index: Option<u64>,
    pub db_size: u64,
    pub db_in_use: Option<u64>,
    pub db_quota: Option<u64>,
    pub is_learner: bool,
    pub alarms: Vec<Alarm>,
}

impl From<pb::StatusResponse> for StatusAnswer {
    fn from(wire: pb::StatusResponse) -> Self {
        let header = wire.header.unwrap_or_default();
        Self {
            cluster_id: ClusterId(header.cluster_id),
            member_id: MemberId(header.member_id),
            revision: header.revision,
            version: wire.version,
            storage_version: Some(wire.storage_version).filter(|version| !version.is_empty()),
            leader: present(wire.leader).map(MemberId),
            term: wire.raft_term,
            commit_index: wire.raft_index,
            // Absent before etcd 3.4.
            applied_index: present(wire.raft_applied_index),
            db_size: bytes(wire.db_size).unwrap_or_default(),
            // Absent before etcd 3.4.
            db_in_use: bytes(wire.db_size_in_use),
            // Absent before etcd 3.6.
            db_quota: bytes(wire.db_size_quota),
            is_learner: wire.is_learner,
            alarms: wire.errors.iter().filter_map(|text| alarm(text)).collect(),
        }
    }
}

fn present(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

fn bytes(number: i64) -> Option<u64> {
    u64::try_from(number).ok().and_then(present)
}

/// Reads `memberID:<decimal> alarm:NOSPACE`; the spaces vary, since Go's text form varies them on purpose.
fn alarm(text: &str) -> Option<Alarm> {
    let field = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name));
    let kind = match field("alarm:")? {
        "NOSPACE" => AlarmKind::Nospace,
        "CORRUPT" => AlarmKind::Corrupt,
        other => AlarmKind::Other(other.to_owned()),
    };
    // A zero id is left out of the text.
    let member = field("memberID:").and_then(|id| id.parse().ok()).unwrap_or_default();
    Some(Alarm { member: MemberId(member), kind })
}

/// The member list as one member has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberListAnswer {
    pub cluster_id: ClusterId,
    pub members: Vec<ListedMember>,
}

/// One entry of a member list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedMember {
    pub id: MemberId,
    pub name: String,
    pub is_learner: bool,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
}

impl From<pb::MemberListResponse> for MemberListAnswer {
    fn from(wire: pb::MemberListResponse) -> Self {
        let mut members: Vec<_> = wire
            .members
            .into_iter()
            .map(|member| ListedMember {
                id: MemberId(member.id),
                name: member.name,
                is_learner: member.is_learner,
                peer_urls: member.peer_ur_ls,
                client_urls: member.client_ur_ls,
            })
            .collect();
        // By name, those that never started last.
        members.sort_by(|a, b| {
            (a.name.is_empty(), &a.name, a.id).cmp(&(b.name.is_empty(), &b.name, b.id))
        });
        Self { cluster_id: ClusterId(wire.header.unwrap_or_default().cluster_id), members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alarms are read from Status in both spacings of Go's text form; other errors are not alarms.
    #[test]
    fn alarms_are_read_from_the_errors_of_status() {
        let nospace = Alarm { member: MemberId(255), kind: AlarmKind::Nospace };
        assert_eq!(alarm("memberID:255 alarm:NOSPACE "), Some(nospace.clone()));
        assert_eq!(alarm("memberID:255  alarm:NOSPACE"), Some(nospace));
        let corrupt = Alarm { member: MemberId(0), kind: AlarmKind::Corrupt };
        assert_eq!(alarm("alarm:CORRUPT"), Some(corrupt));
        assert_eq!(alarm("etcdserver: no leader"), None);
    }

    /// A field that an older server does not send is absent, not 0.
    #[test]
    fn old_servers_leave_fields_absent() {
        let wire = pb::StatusResponse { db_size: 20480, ..Default::default() };
        let answer = StatusAnswer::from(wire);
        assert_eq!((answer.db_size, answer.db_in_use, answer.db_quota), (20480, None, None));
        assert_eq!((answer.leader, answer.storage_version), (None, None));
    }
}
