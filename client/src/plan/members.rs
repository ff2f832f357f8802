//! Changes of membership and leadership. What is weighed is the majority: before, during and after.

use super::defragment::{all_healthy, serving};
use super::{Action, Check, Plan, Step, Verdict};
use crate::model::{ClusterSnapshot, Health, MemberId, MemberSnapshot, Quorum, Role};

/// A learner may vote when it has this share of the leader's log (`etcd:server/etcdserver/server.go`, readyPercent).
const READY_SHARE: f64 = 0.9;

/// Adds a member, with a vote or as a learner.
pub fn add(cluster: &ClusterSnapshot, peer_urls: Vec<String>, is_learner: bool) -> Plan {
    let before = quorum(cluster);
    let down: Vec<String> = voters(cluster)
        .filter(|member| !member.health.answers() && member.health != Health::NotStarted)
        .map(MemberSnapshot::label)
        .collect();
    let found = match down.is_empty() {
        true => "none is".to_owned(),
        false => format!("{}: remove the dead member first, then add", down.join(", ")),
    };
    let taken = cluster
        .members
        .iter()
        .find(|member| member.peer_urls.iter().any(|url| peer_urls.contains(url)));
    let not_started: Vec<String> = cluster
        .members
        .iter()
        .filter(|member| member.health == Health::NotStarted)
        .map(|member| member.id.to_string())
        .collect();
    let mut checks = vec![
        serving(cluster),
        Check::new("no voter is down", found, down.is_empty(), Verdict::Blocks),
        Check::new(
            "the peer URLs are new",
            taken.map_or("they are".to_owned(), |member| {
                format!("{} has one of them", member.label())
            }),
            taken.is_none(),
            Verdict::Blocks,
        ),
        Check::new(
            "one change at a time",
            match not_started.is_empty() {
                true => "nobody has yet to start".to_owned(),
                false => format!("added and never started: {}", not_started.join(", ")),
            },
            not_started.is_empty(),
            Verdict::Blocks,
        ),
    ];
    if !is_learner {
        let found = "a learner catches up without a vote and is promoted afterwards";
        checks.push(Check::new("it comes as a learner", found, false, Verdict::Warns));
    }
    let after = Quorum { voters: before.voters + usize::from(!is_learner), up: before.up };
    if after.margin().is_none() {
        let found = format!(
            "{} of {} voters are up until the new one starts, {} needed: have it ready to start",
            after.up,
            after.voters,
            after.needed()
        );
        checks.push(Check::new("a majority while it starts", found, false, Verdict::Warns));
    }
    let flag = if is_learner { " --learner" } else { "" };
    let urls = peer_urls.join(",");
    let word = if is_learner { "learner" } else { "voter" };
    let step = Step {
        what: format!("add a {word} at {urls}"),
        command: format!("etcdctl member add NAME --peer-urls={urls}{flag}"),
        action: Action::AddMember { peer_urls, is_learner },
    };
    of_one(step, checks, &[&majorities(before, after)], "Remove the new member by its id.")
}

/// Removes a member for good.
pub fn remove(cluster: &ClusterSnapshot, id: MemberId) -> Plan {
    let before = quorum(cluster);
    let member = cluster.member(id);
    let is_voter = member.is_some_and(|member| !member.is_learner);
    let is_up = member.is_some_and(|member| member.health.answers());
    let after = Quorum {
        voters: before.voters.saturating_sub(usize::from(is_voter)),
        up: before.up.saturating_sub(usize::from(is_voter && is_up)),
    };
    let survives = after.voters > 0 && after.margin().is_some();
    let mut checks = vec![
        serving(cluster),
        known(member, id),
        Check::new(
            "a majority is left",
            format!(
                "{} of {} voters up afterwards, {} needed",
                after.up,
                after.voters,
                after.needed()
            ),
            survives,
            Verdict::Blocks,
        ),
    ];
    if before.voters == 2 && is_voter {
        let found = "it has two: from then on one member decides alone, and nothing is left when it is lost";
        checks.push(Check::new(
            "the cluster has more than two voters",
            found,
            false,
            Verdict::Warns,
        ));
    }
    if member.and_then(|member| member.role.last()) == Some(&Role::Leader) {
        let found = "it is: move the leader first to spare clients an election";
        checks.push(Check::new("it is not the leader", found, false, Verdict::Warns));
    }
    let label = member.map_or_else(|| id.to_string(), MemberSnapshot::label);
    let step = Step {
        what: format!("remove member {label} ({id})"),
        command: format!("etcdctl member remove {id}"),
        action: Action::RemoveMember { id },
    };
    let effects =
        [&majorities(before, after), "The id can never come back; the member's process stops."];
    of_one(step, checks, &effects, "Add a new member, with an empty data directory.")
}

/// Gives a learner its vote.
pub fn promote(cluster: &ClusterSnapshot, id: MemberId) -> Plan {
    let before = quorum(cluster);
    let after = Quorum { voters: before.voters + 1, up: before.up + 1 };
    let member = cluster.member(id);
    let is_learner = member.is_some_and(|member| member.is_learner);
    let share = ready_share(cluster, member);
    let label = member.map_or_else(|| id.to_string(), MemberSnapshot::label);
    let checks = vec![
        serving(cluster),
        known(member, id),
        Check::new(
            "it is a learner",
            if is_learner { "it is" } else { "it has a vote already" },
            is_learner,
            Verdict::Blocks,
        ),
        Check::new(
            "it answers",
            if member.is_some_and(|m| m.health.answers()) { "it does" } else { "it does not" },
            member.is_some_and(|member| member.health.answers()),
            Verdict::Blocks,
        ),
        Check::new(
            "it has caught up with the leader",
            share.map_or("its log is not known".to_owned(), |share| {
                format!("it has {:.0}% of the leader's log, 90% needed", share * 100.0)
            }),
            share.is_some_and(|share| share >= READY_SHARE),
            if share.is_some() { Verdict::Blocks } else { Verdict::Warns },
        ),
    ];
    let step = Step {
        what: format!("give learner {label} ({id}) its vote"),
        command: format!("etcdctl member promote {id}"),
        action: Action::PromoteMember { id },
    };
    let undo = "A vote cannot be taken back: remove the member, then add it as a learner.";
    of_one(step, checks, &[&majorities(before, after)], undo)
}

/// Hands the leadership to a voter.
pub fn move_leader(cluster: &ClusterSnapshot, to: MemberId) -> Plan {
    let leader = cluster.leader_member();
    let target = cluster.member(to);
    let endpoint = leader.and_then(|leader| leader.endpoint.clone()).unwrap_or_default();
    let can_lead = target.is_some_and(|target| !target.is_learner && target.health.answers());
    let is_other = leader.is_none_or(|leader| leader.id != to);
    let label = target.map_or_else(|| to.to_string(), MemberSnapshot::label);
    let checks = vec![
        serving(cluster),
        all_healthy(cluster),
        Check::new(
            "the leader is known",
            leader.map_or("it is not".to_owned(), MemberSnapshot::label),
            !endpoint.is_empty(),
            Verdict::Blocks,
        ),
        known(target, to),
        Check::new(
            "the target votes and answers",
            if can_lead { "it does" } else { "it does not" },
            can_lead,
            Verdict::Blocks,
        ),
        Check::new(
            "the target does not lead already",
            if is_other { "it does not" } else { "it does" },
            is_other,
            Verdict::Warns,
        ),
    ];
    let step = Step {
        what: format!("move the leadership to {label} ({to})"),
        command: format!("etcdctl --endpoints={endpoint} move-leader {to}"),
        action: Action::MoveLeader { endpoint, to },
    };
    let effect = "Writes wait for some milliseconds while the leadership moves.";
    of_one(step, checks, &[effect], "Move the leadership back.")
}

/// A plan of one step, by which it is called.
fn of_one(step: Step, checks: Vec<Check>, effects: &[&str], undo: &str) -> Plan {
    Plan {
        title: step.what.clone(),
        checks,
        steps: vec![step],
        effects: effects.iter().map(|effect| (*effect).to_owned()).collect(),
        undo: undo.to_owned(),
    }
}

fn voters(cluster: &ClusterSnapshot) -> impl Iterator<Item = &MemberSnapshot> {
    cluster.members.iter().filter(|member| !member.is_learner)
}

/// By the member list; the model's own count may be missing while the cluster has no leader.
fn quorum(cluster: &ClusterSnapshot) -> Quorum {
    let up = voters(cluster).filter(|member| member.health.answers()).count();
    Quorum { voters: voters(cluster).count(), up }
}

fn known(member: Option<&MemberSnapshot>, id: MemberId) -> Check {
    let found = member.map_or_else(|| format!("{id} is not in the list"), |_| "it is".to_owned());
    Check::new("the member is in the list", found, member.is_some(), Verdict::Blocks)
}

fn ready_share(cluster: &ClusterSnapshot, member: Option<&MemberSnapshot>) -> Option<f64> {
    let leader = *cluster.leader_member()?.commit_index.last()?;
    let own = *member?.commit_index.last()?;
    (leader > 0).then(|| own as f64 / leader as f64)
}

fn majorities(before: Quorum, after: Quorum) -> String {
    let spare = |quorum: Quorum| match quorum.margin() {
        Some(margin) => format!("{margin} more may be lost"),
        None => "no majority".to_owned(),
    };
    format!(
        "Majority: {} of {} voters now ({}), {} of {} afterwards ({}).",
        before.needed(),
        before.voters,
        spare(before),
        after.needed(),
        after.voters,
        spare(after),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Value, samples};
    use std::time::Duration;

    fn found(plan: &Plan, verdict: Verdict) -> Vec<&str> {
        let checks = plan.checks.iter().filter(|check| check.verdict == verdict);
        checks.map(|check| check.found.as_str()).collect()
    }

    /// With one of three down, adding a fourth would need three of four: the dead one has to go first.
    #[test]
    fn adding_beside_a_dead_member_is_blocked() {
        let mut cluster = samples::healthy();
        samples::take_down(&mut cluster.members[1], Duration::from_secs(9));
        let plan = add(&cluster, vec!["http://10.0.0.9:2380".to_owned()], true);
        assert_eq!(found(&plan, Verdict::Blocks), ["n2: remove the dead member first, then add"]);
        let dead = remove(&cluster, cluster.members[1].id);
        assert!(!dead.is_blocked(), "{dead:?}");
    }

    /// A learner changes no majority; a voter does, and is advised to come as a learner.
    #[test]
    fn learners_are_preferred() {
        let urls = || vec!["http://10.0.0.9:2380".to_owned()];
        let learner = add(&samples::healthy(), urls(), true);
        assert!(found(&learner, Verdict::Warns).is_empty());
        assert_eq!(
            learner.effects,
            [
                "Majority: 2 of 3 voters now (1 more may be lost), 2 of 3 afterwards (1 more may be lost)."
            ]
        );
        let voter = add(&samples::healthy(), urls(), false);
        assert_eq!(found(&voter, Verdict::Warns).len(), 1);
        assert!(voter.effects[0].ends_with("3 of 4 afterwards (0 more may be lost)."));
    }

    /// Taking a healthy member away from two that are left of three would end the majority.
    #[test]
    fn removing_the_majority_is_blocked() {
        let mut cluster = samples::healthy();
        samples::take_down(&mut cluster.members[2], Duration::from_secs(9));
        let plan = remove(&cluster, cluster.members[1].id);
        assert_eq!(found(&plan, Verdict::Blocks), ["1 of 2 voters up afterwards, 2 needed"]);
    }

    /// A learner is promoted when it has nine tenths of the leader's log, and not before.
    #[test]
    fn promotion_waits_for_the_log() {
        let mut cluster = samples::healthy();
        let leader = *cluster.members[0].commit_index.last().unwrap_or(&0);
        cluster.members[2].is_learner = true;
        cluster.members[2].commit_index = Value::Known(leader / 2);
        let id = cluster.members[2].id;
        let plan = promote(&cluster, id);
        assert_eq!(found(&plan, Verdict::Blocks), ["it has 50% of the leader's log, 90% needed"]);
        cluster.members[2].commit_index = Value::Known(leader - 1);
        assert!(!promote(&cluster, id).is_blocked());
    }

    /// Leadership goes to a voter that answers, and the call goes to the leader.
    #[test]
    fn leadership_moves_from_the_leader() {
        let cluster = samples::healthy();
        let plan = move_leader(&cluster, cluster.members[1].id);
        assert!(!plan.is_blocked());
        let endpoint = cluster.members[0].endpoint.clone().unwrap_or_default();
        let to = cluster.members[1].id;
        assert_eq!(plan.steps[0].action, Action::MoveLeader { endpoint, to });
        assert!(move_leader(&cluster, MemberId(7)).is_blocked());
    }
}
