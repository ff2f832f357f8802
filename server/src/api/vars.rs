//! `/debug/vars`: the process and its raft state as JSON, as far as etcd's page says anything that is true here.
//!
//! etcd's `memstats` describes the Go runtime and is left out.

use super::context::Context;
use super::pages::page;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

/// Answers with the variables as they are now.
pub fn answer(context: &Context) -> Response<Bytes> {
    let arguments: Vec<String> = std::env::args().collect();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let lines = [
        format!("\"cmdline\": {}", json!(arguments)),
        format!("\"file_descriptor_limit\": {}", limit.current.unwrap_or(u64::MAX)),
        format!("\"raft.status\": {}", raft_status(context)),
    ];
    let body = format!("{{\n{}\n}}\n", lines.join(",\n"));
    page(StatusCode::OK, "application/json; charset=utf-8", body)
}

/// In the form of etcd's raft library.
fn raft_status(context: &Context) -> Value {
    let hex = |id: u64| format!("{id:x}");
    let raft = &context.raft;
    let local = context.state.cluster.local_id();
    let leader = raft.leader();
    let is_leader = leader == Some(local);
    let state = match (is_leader, context.state.cluster.is_local_learner()) {
        (true, _) => "StateLeader",
        (false, _) if leader.is_none() => "StateCandidate",
        (false, _) => "StateFollower",
    };
    let mut progress = Map::new();
    if is_leader {
        let commit = raft.commit_index();
        let matched = raft.match_indexes();
        for member in context.state.cluster.members() {
            let index = matched.get(&member.id).copied().unwrap_or(0);
            let index = if member.id == local { index.max(commit) } else { index };
            let entry = json!({ "match": index, "next": index + 1, "state": "StateReplicate" });
            progress.insert(hex(member.id), entry);
        }
    }
    json!({
        "id": hex(local),
        "term": raft.term(),
        "vote": hex(raft.vote()),
        "commit": raft.commit_index(),
        "lead": hex(leader.unwrap_or_default()),
        "raftState": state,
        "applied": raft.applied_index(),
        "progress": progress,
        "leadtransferee": "0",
    })
}
