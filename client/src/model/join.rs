//! One member's row: its entry in the member list joined with what its endpoint answered.

use super::assemble::{Frame, health};
use super::memory::EndpointMemory;
use super::observation::{ListedMember, StatusAnswer};
use super::{MemberSnapshot, Role, Value};

/// Makes the row; `endpoint` is the one that speaks for the member, if there is one.
pub(super) fn member_snapshot(
    entry: &ListedMember,
    endpoint: Option<&EndpointMemory>,
    frame: &Frame<'_>,
) -> MemberSnapshot {
    let silent = EndpointMemory::default();
    let asked = endpoint.unwrap_or(&silent);
    let full = asked.status.value(frame.moment);
    let status = full.clone().map(|(answer, _)| answer);
    let metrics = asked.metrics.value(frame.moment);
    let measured = |result| metrics.clone().try_map(|_| result);
    MemberSnapshot {
        id: entry.id,
        name: entry.name.clone(),
        is_learner: entry.is_learner,
        peer_urls: entry.peer_urls.clone(),
        client_urls: entry.client_urls.clone(),
        endpoint: endpoint.map(|e| e.endpoint.clone()),
        health: health(entry, endpoint, frame),
        role: status.clone().map(|status| role(status, entry)),
        leader: status.clone().map(|status| status.leader),
        version: status.clone().map(|status| status.version.clone()),
        storage_version: status.clone().try_map(|status| {
            let version = status.storage_version.clone();
            version.ok_or_else(|| not_reported("storage version", "3.6", status))
        }),
        term: status.clone().map(|status| status.term),
        commit_index: status.clone().map(|status| status.commit_index),
        applied_index: status.clone().try_map(|status| {
            status.applied_index.ok_or_else(|| not_reported("applied index", "3.4", status))
        }),
        lag: lag(&status, frame),
        revision: status.clone().map(|status| status.revision),
        db_size: status.clone().map(|status| status.db_size),
        db_in_use: status.clone().try_map(|status| {
            status.db_in_use.ok_or_else(|| not_reported("size in use", "3.4", status))
        }),
        db_quota: quota(asked, &status, frame),
        alarms: frame.alarms.as_ref().map(|alarms| {
            let own = alarms.iter().filter(|alarm| alarm.member == entry.id);
            own.map(|alarm| alarm.kind.clone()).collect()
        }),
        fsync_p99: measured(asked.fsync.quantile(0.99)),
        commit_p99: measured(asked.commit.quantile(0.99)),
        puts_per_second: metrics.clone().try_map(|_| asked.puts.per_second()),
        memory: metrics.clone().try_map(|scrape| {
            scrape.memory.map(|bytes| bytes as u64).ok_or_else(|| "not in its metrics".into())
        }),
        round_trip: full.map(|(_, took)| *took),
        linearizable_read: asked.read.value(frame.moment).map(|took| *took),
    }
}

fn role(status: &StatusAnswer, entry: &ListedMember) -> Role {
    match status.leader {
        _ if entry.is_learner => Role::Learner,
        Some(leader) if leader == entry.id => Role::Leader,
        Some(_) => Role::Follower,
        None => Role::Leaderless,
    }
}

/// How far the applied entries are behind what the leader has committed.
fn lag(status: &Value<&StatusAnswer>, frame: &Frame<'_>) -> Value<u64> {
    let (Some(status), Some(leader)) = (status.known(), frame.leader_commit_index) else {
        return match status.reason() {
            Some(reason) => Value::unknown(reason),
            None => Value::unknown("the member does not answer"),
        };
    };
    Value::Known(leader.saturating_sub(status.applied_index.unwrap_or(status.commit_index)))
}

/// The quota by Status (etcd 3.6 and newer), else by the metrics.
fn quota(
    endpoint: &EndpointMemory,
    status: &Value<&StatusAnswer>,
    frame: &Frame<'_>,
) -> Value<u64> {
    let by_status = status
        .clone()
        .try_map(|status| status.db_quota.ok_or_else(|| not_reported("quota", "3.6", status)));
    by_status.or(|| {
        let by_metrics =
            endpoint.metrics.value(frame.moment).try_map(|scrape| match scrape.quota {
                Some(bytes) if bytes > 0.0 => Ok(bytes as u64),
                Some(_) => Err("the member has no quota".into()),
                None => Err("neither Status nor the metrics tell".to_owned()),
            });
        match (status.last(), by_metrics) {
            (Some(status), Value::Unknown(reason)) => Value::unknown(format!(
                "{}; metrics: {reason}",
                not_reported("quota", "3.6", status)
            )),
            (_, by_metrics) => by_metrics,
        }
    })
}

fn not_reported(what: &str, since: &str, status: &StatusAnswer) -> String {
    format!("etcd reports the {what} since {since}, this is {}", status.version)
}
