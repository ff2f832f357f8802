//! Joins what every endpoint said into one picture of the cluster. Pure: memories and a moment in, a snapshot out.
//!
//! Which member an endpoint belongs to is told by its own answers; a silent endpoint is matched by its URL.

use std::collections::BTreeMap;

use super::join::member_snapshot;
use super::memory::{EndpointMemory, Moment};
use super::observation::{ListedMember, MemberListAnswer, ProbeErrorKind, StatusAnswer};
use super::{
    Alarm, ClusterId, ClusterSnapshot, Health, LeaderChanges, MemberId, Quorum, StrangerEndpoint,
    StrangerState, Value,
};

/// Facts that all rows are made against.
pub(super) struct Frame<'a> {
    pub moment: Moment,
    pub leader_commit_index: Option<u64>,
    pub alarms: &'a Value<Vec<Alarm>>,
}

/// Makes the snapshot.
pub(super) fn assemble(
    endpoints: &[EndpointMemory],
    moment: Moment,
    round: u64,
    note_leader: impl FnOnce(&Value<u64>, &Value<Option<MemberId>>) -> LeaderChanges,
) -> ClusterSnapshot {
    let Some(cluster_id) = main_cluster(endpoints) else {
        let mut snapshot = ClusterSnapshot::empty();
        snapshot.round = round;
        snapshot.strangers = endpoints.iter().filter_map(|e| silent(e, moment)).collect();
        return snapshot;
    };
    let ours: Vec<_> = endpoints.iter().filter(|e| belongs(e, cluster_id)).collect();
    let statuses: Vec<_> = ours.iter().map(|e| e.status.value(moment)).collect();
    let statuses: Vec<Value<&StatusAnswer>> =
        statuses.into_iter().map(|value| value.map(|(answer, _)| answer)).collect();

    let (term, leader) = term_and_leader(&statuses);
    let leader_changes = note_leader(&term, &leader);
    let alarms = alarms(&statuses);
    let list = member_list(&ours, moment);
    let frame = Frame {
        moment,
        leader_commit_index: leader_commit_index(&statuses, &leader),
        alarms: &alarms,
    };
    let listed: &[ListedMember] = list.last().map_or(&[], |list| &list.members);
    let owners = owners(listed, endpoints, cluster_id, moment);
    let members: Vec<_> = listed
        .iter()
        .map(|entry| {
            member_snapshot(entry, owners.get(&entry.id).map(|&at| &endpoints[at]), &frame)
        })
        .collect();
    let quorum = list.as_ref().map(|_| Quorum {
        voters: members.iter().filter(|m| !m.is_learner).count(),
        up: members.iter().filter(|m| !m.is_learner && m.health.answers()).count(),
    });
    let leading = leader.last().copied().flatten();
    let leading = leading.and_then(|id| owners.get(&id)).map(|&at| &endpoints[at]);
    ClusterSnapshot {
        round,
        cluster_id: newest(&statuses).map(|_| cluster_id),
        revision: best(&statuses, |status| status.revision),
        is_serving: is_serving(&ours, moment),
        puts_per_second: rate(leading, moment, |e| {
            (!e.metrics.never_answered()).then(|| e.puts.per_second())
        }),
        revisions_per_second: rate(leading, moment, |e| Some(e.revisions.per_second())),
        strangers: strangers(endpoints, &owners, listed, cluster_id, moment),
        dissenting_member_lists: dissenting(&ours, list.last().copied(), moment),
        term,
        leader,
        quorum,
        alarms,
        leader_changes,
        members,
    }
}

/// The cluster most endpoints answer for; of two with as many, the one named first.
fn main_cluster(endpoints: &[EndpointMemory]) -> Option<ClusterId> {
    let ids: Vec<_> = endpoints.iter().filter_map(cluster_of).collect();
    let count = |id: &ClusterId| ids.iter().filter(|other| *other == id).count();
    let most = ids.iter().map(count).max()?;
    ids.iter().find(|id| count(id) == most).copied()
}

fn cluster_of(endpoint: &EndpointMemory) -> Option<ClusterId> {
    endpoint
        .last_status()
        .map(|status| status.cluster_id)
        .or_else(|| endpoint.last_members().map(|list| list.cluster_id))
}

fn belongs(endpoint: &EndpointMemory, cluster_id: ClusterId) -> bool {
    cluster_of(endpoint) == Some(cluster_id)
}

/// The best of one figure over all members: among fresh ones if there are any.
fn best<T: Ord + Copy>(
    statuses: &[Value<&StatusAnswer>],
    figure: impl Fn(&StatusAnswer) -> T,
) -> Value<T> {
    let fresh =
        statuses.iter().filter_map(|value| value.known()).map(|status| figure(status)).max();
    match fresh {
        Some(best) => Value::Known(best),
        None => newest(statuses).map(figure),
    }
}

/// The freshest Status of all, else the reason of the first that has none.
fn newest<'a>(statuses: &[Value<&'a StatusAnswer>]) -> Value<&'a StatusAnswer> {
    let age = |value: &Value<&StatusAnswer>| match value {
        Value::Known(_) => Some(std::time::Duration::ZERO),
        Value::Stale { age, .. } => Some(*age),
        Value::Unknown(_) => None,
    };
    let newest = statuses.iter().filter(|v| age(v).is_some()).min_by_key(|v| age(v));
    newest.or(statuses.first()).cloned().unwrap_or_else(|| Value::unknown("no answer yet"))
}

/// The highest term, and the leader named by most members of it.
fn term_and_leader(statuses: &[Value<&StatusAnswer>]) -> (Value<u64>, Value<Option<MemberId>>) {
    let term = best(statuses, |status| status.term);
    let Some(highest) = term.known() else {
        return (term, newest(statuses).map(|status| status.leader));
    };
    let named: Vec<MemberId> = statuses
        .iter()
        .filter_map(|value| value.known())
        .filter(|status| status.term == *highest)
        .filter_map(|status| status.leader)
        .collect();
    let votes = |id: &MemberId| named.iter().filter(|other| *other == id).count();
    let leader = named.iter().max_by_key(|id| votes(id)).copied();
    (term, Value::Known(leader))
}

fn leader_commit_index(
    statuses: &[Value<&StatusAnswer>],
    leader: &Value<Option<MemberId>>,
) -> Option<u64> {
    let leader = leader.known().copied().flatten();
    let fresh = || statuses.iter().filter_map(|value| value.known());
    fresh()
        .find(|status| Some(status.member_id) == leader)
        .map(|status| status.commit_index)
        .or_else(|| fresh().map(|status| status.commit_index).max())
}

/// All alarms: every member knows the alarms of all.
fn alarms(statuses: &[Value<&StatusAnswer>]) -> Value<Vec<Alarm>> {
    let fresh: Vec<_> = statuses.iter().filter_map(|value| value.known()).collect();
    if fresh.is_empty() {
        return newest(statuses).map(|status| status.alarms.clone());
    }
    let mut all: Vec<Alarm> = Vec::new();
    for alarm in fresh.iter().flat_map(|status| &status.alarms) {
        if !all.contains(alarm) {
            all.push(alarm.clone());
        }
    }
    all.sort_by(|a, b| (a.member, a.kind.word()).cmp(&(b.member, b.kind.word())));
    Value::Known(all)
}

/// The list of the member that has applied most; a fresh list before any stale one.
fn member_list<'a>(ours: &[&'a EndpointMemory], moment: Moment) -> Value<&'a MemberListAnswer> {
    let applied = |e: &EndpointMemory| e.last_status().and_then(|status| status.applied_index);
    let mut known: Vec<_> = ours.iter().filter(|e| e.last_members().is_some()).collect();
    known.sort_by_key(|e| (e.members.value(moment).is_stale(), std::cmp::Reverse(applied(e))));
    match known.first().or(ours.first().as_ref()) {
        Some(endpoint) => endpoint.members.value(moment),
        None => Value::unknown("no answer yet"),
    }
}

/// Endpoints whose fresh list names other members, roles or URLs than the one shown.
fn dissenting(
    ours: &[&EndpointMemory],
    shown: Option<&MemberListAnswer>,
    moment: Moment,
) -> Vec<String> {
    ours.iter()
        .filter(|e| {
            let list = e.members.value(moment);
            matches!((list.known(), shown), (Some(list), Some(shown)) if *list != shown)
        })
        .map(|e| e.endpoint.clone())
        .collect()
}

fn is_serving(ours: &[&EndpointMemory], moment: Moment) -> Value<bool> {
    let reads: Vec<_> = ours.iter().map(|e| e.read.value(moment)).collect();
    if reads.iter().any(|read| read.known().is_some()) {
        return Value::Known(true);
    }
    // A denial or a learner's refusal says nothing about the majority.
    let votes = |e: &EndpointMemory| e.last_status().is_none_or(|status| !status.is_learner);
    let failures = ours.iter().filter(|e| votes(e)).filter_map(|e| e.read.failure(moment.now));
    let mut reason = None;
    for (error, _) in failures {
        if error.kind != ProbeErrorKind::Denied {
            return Value::Known(false);
        }
        reason = Some(error.reason.clone());
    }
    Value::Unknown(reason.unwrap_or_else(|| "no linearizable read tried yet".into()))
}

fn rate(
    leading: Option<&EndpointMemory>,
    moment: Moment,
    per_second: impl Fn(&EndpointMemory) -> Option<Result<f64, String>>,
) -> Value<f64> {
    let Some(endpoint) = leading else {
        return Value::unknown("the leader is not known");
    };
    if endpoint.status.value(moment).known().is_none() {
        return Value::unknown("the leader does not answer");
    }
    match per_second(endpoint) {
        Some(Ok(rate)) => Value::Known(rate),
        Some(Err(reason)) => Value::unknown(reason),
        None => Value::unknown("the leader's metrics are not readable"),
    }
}

/// Which endpoint speaks for which member: by its own answer if it ever answered, else by its URL.
fn owners(
    listed: &[ListedMember],
    endpoints: &[EndpointMemory],
    cluster_id: ClusterId,
    moment: Moment,
) -> BTreeMap<MemberId, usize> {
    let rank = |endpoint: &EndpointMemory, member: &ListedMember| match endpoint.last_status() {
        Some(status) if status.cluster_id != cluster_id || status.member_id != member.id => None,
        Some(_) if endpoint.status.value(moment).known().is_some() => Some(0),
        Some(_) => Some(1),
        None => serves(&endpoint.endpoint, member).then_some(2),
    };
    listed
        .iter()
        .filter_map(|member| {
            let ranked = endpoints.iter().enumerate();
            let ranked = ranked.filter_map(|(at, endpoint)| Some((rank(endpoint, member)?, at)));
            ranked.min().map(|(_, at)| (member.id, at))
        })
        .collect()
}

/// Whether the member advertises this URL.
pub(super) fn serves(endpoint: &str, member: &ListedMember) -> bool {
    let wanted = bare(endpoint);
    member.client_urls.iter().any(|url| bare(url) == wanted)
}

/// Host and port alone, the three spellings of loopback made one.
fn bare(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    for loopback in ["localhost:", "[::1]:"] {
        if let Some(port) = rest.strip_prefix(loopback) {
            return format!("127.0.0.1:{port}");
        }
    }
    rest.to_ascii_lowercase()
}

fn strangers(
    endpoints: &[EndpointMemory],
    owners: &BTreeMap<MemberId, usize>,
    listed: &[ListedMember],
    cluster_id: ClusterId,
    moment: Moment,
) -> Vec<StrangerEndpoint> {
    let unused =
        endpoints.iter().enumerate().filter(|(at, _)| !owners.values().any(|used| used == at));
    unused
        .filter_map(|(_, endpoint)| match endpoint.last_status() {
            None if listed.iter().any(|member| serves(&endpoint.endpoint, member)) => None,
            None => silent(endpoint, moment),
            Some(status) if status.cluster_id != cluster_id => Some(StrangerEndpoint {
                endpoint: endpoint.endpoint.clone(),
                state: StrangerState::OtherCluster { cluster_id: status.cluster_id },
            }),
            // A second URL of a member that has its row.
            Some(status) if listed.iter().any(|member| member.id == status.member_id) => None,
            Some(_) if listed.is_empty() => None,
            Some(status) => Some(StrangerEndpoint {
                endpoint: endpoint.endpoint.clone(),
                state: StrangerState::NotListed { member_id: status.member_id },
            }),
        })
        .collect()
}

fn silent(endpoint: &EndpointMemory, moment: Moment) -> Option<StrangerEndpoint> {
    let (error, _) = endpoint.status.failure(moment.now)?;
    let reason = error.reason.clone();
    let state = match error.kind {
        ProbeErrorKind::Unreachable => StrangerState::Silent { reason },
        ProbeErrorKind::Denied | ProbeErrorKind::Refused => StrangerState::Refused { reason },
    };
    Some(StrangerEndpoint { endpoint: endpoint.endpoint.clone(), state })
}

/// Whether the row's member counts as answering.
pub(super) fn health(
    entry: &ListedMember,
    endpoint: Option<&EndpointMemory>,
    frame: &Frame<'_>,
) -> Health {
    let Some(endpoint) = endpoint else {
        let never_started = entry.name.is_empty() && entry.client_urls.is_empty();
        return if never_started { Health::NotStarted } else { Health::Checking };
    };
    if let Some((error, since)) = endpoint.status.failure(frame.moment.now) {
        let reason = error.reason.clone();
        return match error.kind {
            ProbeErrorKind::Unreachable => Health::Down { reason, since },
            ProbeErrorKind::Denied | ProbeErrorKind::Refused => Health::Impaired { reason },
        };
    }
    let status = endpoint.status.value(frame.moment);
    let Some((status, _)) = status.last() else { return Health::Checking };
    let impaired = |reason: String| Health::Impaired { reason };
    if status.leader.is_none() {
        return impaired("has no leader".into());
    }
    if let Some(alarm) = status.alarms.iter().find(|alarm| alarm.member == entry.id) {
        return impaired(format!("alarm {}", alarm.kind.word()));
    }
    match endpoint.read.failure(frame.moment.now) {
        Some((error, _)) if !entry.is_learner && error.kind != ProbeErrorKind::Denied => {
            impaired(format!("linearizable read: {}", error.reason))
        }
        Some(_) | None => Health::Up,
    }
}
