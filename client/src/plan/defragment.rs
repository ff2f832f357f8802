//! Defragmentation: one member at a time, followers first, the leader last, no learners.

use super::{Action, Check, Plan, Step, Verdict};
use crate::model::{ClusterSnapshot, Health, MemberSnapshot, Role};

/// Less than this share of the file to win is not worth it.
const WORTH_IT: f64 = 0.1;

/// The plan for the members whose endpoints are in `endpoints`, or for all where it is `None`.
pub fn defragment(cluster: &ClusterSnapshot, endpoints: Option<&[String]>) -> Plan {
    let is_chosen = |member: &&MemberSnapshot| match (endpoints, &member.endpoint) {
        (None, _) => true,
        (Some(chosen), Some(own)) => chosen.iter().any(|url| bare(url) == bare(own)),
        (Some(_), None) => false,
    };
    let chosen: Vec<&MemberSnapshot> = cluster.members.iter().filter(is_chosen).collect();
    let is_learner = |member: &&&MemberSnapshot| member.is_learner;
    let n_learners = chosen.iter().filter(is_learner).count();
    let mut members: Vec<&MemberSnapshot> =
        chosen.into_iter().filter(|member| !member.is_learner).collect();
    // Stable: among equals the order of the names.
    members.sort_by_key(|member| member.role.last() == Some(&Role::Leader));
    let steps: Vec<Step> = members.iter().filter_map(|member| step(member)).collect();
    Plan {
        title: format!("defragment {} members, one after the other", steps.len()),
        checks: checks(cluster, &members, n_learners),
        effects: effects(&members),
        undo: "Nothing has to be undone: no key changes.".to_owned(),
        steps,
    }
}

/// Without scheme and slash, as `127.0.0.1:2379`.
fn bare(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/')
}

fn step(member: &MemberSnapshot) -> Option<Step> {
    let endpoint = member.endpoint.clone()?;
    let role = member.role.last().map_or("unknown role", |role| role.word());
    let mut what = format!("defragment {} ({role})", member.label());
    if let Some(free) = free_share(member) {
        what.push_str(&format!(", {:.0}% of its file is free", free * 100.0));
    }
    let command = format!("etcdctl --endpoints={endpoint} defrag");
    Some(Step { what, command, action: Action::Defragment { endpoint } })
}

fn free_share(member: &MemberSnapshot) -> Option<f64> {
    let (size, in_use) = (*member.db_size.last()?, *member.db_in_use.last()?);
    (size > 0).then(|| 1.0 - in_use as f64 / size as f64)
}

fn checks(cluster: &ClusterSnapshot, members: &[&MemberSnapshot], n_learners: usize) -> Vec<Check> {
    let mut checks = vec![
        serving(cluster),
        all_healthy(cluster),
        Check::new(
            "at least one member to defragment",
            format!("{} voting members chosen", members.len()),
            !members.is_empty(),
            Verdict::Blocks,
        ),
    ];
    if n_learners > 0 {
        let found = format!("{n_learners} learners are left out: they are copied from the leader");
        checks.push(Check::new("no learner among them", found, false, Verdict::Warns));
    }
    let is_worth_it = members.iter().any(|member| free_share(member).unwrap_or(1.0) >= WORTH_IT);
    let found = if is_worth_it { "there is" } else { "less than 10% of each file is free" };
    checks.push(Check::new("space to win", found, is_worth_it, Verdict::Warns));
    checks
}

/// Reads get through to a majority.
pub(super) fn serving(cluster: &ClusterSnapshot) -> Check {
    let serves = cluster.is_serving.known() == Some(&true);
    let found = if serves { "reads get through" } else { "no linearizable read gets through" };
    Check::new("the cluster serves", found, serves, Verdict::Blocks)
}

/// Every member that has been started is up.
pub(super) fn all_healthy(cluster: &ClusterSnapshot) -> Check {
    let is_ill =
        |member: &&MemberSnapshot| !matches!(member.health, Health::Up | Health::NotStarted);
    let ill: Vec<String> =
        cluster.members.iter().filter(is_ill).map(MemberSnapshot::label).collect();
    let found = match ill.is_empty() {
        true => "all are".to_owned(),
        false => format!("not healthy: {}", ill.join(", ")),
    };
    Check::new("every member is healthy", found, ill.is_empty(), Verdict::Blocks)
}

fn effects(members: &[&MemberSnapshot]) -> Vec<String> {
    let mut effects = vec![
        "A member of etcd answers nothing while it is defragmented; a member of Quorate goes on."
            .to_owned(),
    ];
    if members.iter().any(|member| member.role.last() == Some(&Role::Leader)) {
        effects.push(
            "The leader comes last. If it takes longer than the election timeout, another member leads afterwards."
                .to_owned(),
        );
    }
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Value, samples};
    use std::time::Duration;

    /// Followers in the order of their names, then the leader, whatever order they are listed in.
    #[test]
    fn the_leader_comes_last() {
        let plan = defragment(&samples::healthy(), None);
        assert!(!plan.is_blocked());
        let names: Vec<&str> =
            plan.steps.iter().filter_map(|step| step.what.split(' ').nth(1)).collect();
        assert_eq!(names, ["n2", "n3", "n1"]);
    }

    /// With a member down, taking another out of service is refused, and the plan cannot be confirmed.
    #[test]
    fn a_member_down_blocks() {
        let mut cluster = samples::healthy();
        samples::take_down(&mut cluster.members[2], Duration::from_secs(9));
        let plan = defragment(&cluster, None);
        assert!(plan.is_blocked());
        let error = plan.confirm().unwrap_err();
        assert!(error.changed_nothing());
        assert_eq!(error.to_string(), "not healthy: n3. Nothing was changed.");
    }

    /// Endpoints choose members, however they are written; learners are left out with a word about it.
    #[test]
    fn endpoints_choose_and_learners_stay_out() {
        let mut cluster = samples::healthy();
        let chosen = ["127.0.0.1:23800".to_owned(), "http://127.0.0.1:23810/".to_owned()];
        cluster.members[2].is_learner = true;
        cluster.members[2].role = Value::Known(Role::Learner);
        let plan = defragment(&cluster, Some(&chosen));
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.steps[0].command, "etcdctl --endpoints=http://127.0.0.1:23800 defrag");
        assert!(plan.checks.iter().any(|check| check.verdict == Verdict::Warns));
    }
}
