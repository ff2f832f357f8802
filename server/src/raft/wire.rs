//! openraft's messages as `quoratepb`'s, and back.

use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use quorate_proto::quoratepb as pb;

use super::core::{EntryData, LeaderId, LogId, TypeConfig, Vote};
use super::log::codec::{from_wire, to_wire};

pub(super) fn log_id_to(log_id: &LogId) -> pb::LogId {
    pb::LogId {
        term: log_id.leader_id.term,
        leader_member_id: log_id.leader_id.node_id,
        index: log_id.index,
    }
}

pub(super) fn log_id_from(log_id: pb::LogId) -> LogId {
    let leader_id = LeaderId { term: log_id.term, node_id: log_id.leader_member_id };
    LogId { leader_id, index: log_id.index }
}

pub(super) fn ballot_to(vote: &Vote) -> pb::Ballot {
    let LeaderId { term, node_id } = vote.leader_id;
    pb::Ballot { term, member_id: node_id, committed: vote.committed }
}

/// A message without a ballot counts as one of term 0, which loses against all.
pub(super) fn ballot_from(ballot: Option<pb::Ballot>) -> Vote {
    let pb::Ballot { term, member_id, committed } = ballot.unwrap_or_default();
    Vote { leader_id: LeaderId { term, node_id: member_id }, committed }
}

pub(super) fn append_to(
    request: &AppendEntriesRequest<TypeConfig>,
    acknowledged: Option<LogId>,
) -> pb::AppendRequest {
    pb::AppendRequest {
        ballot: Some(ballot_to(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to),
        entries: request.entries.iter().map(to_wire).collect(),
        leader_commit: request.leader_commit.as_ref().map(log_id_to),
        acknowledged: acknowledged.as_ref().map(log_id_to),
    }
}

/// Decodes a request, the commands in it included, so that the apply thread finds them decoded.
pub(super) fn append_from(
    request: pb::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, String> {
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let entry = from_wire(entry, None)?;
        if let EntryData::Command(command) = &entry.payload {
            command.prepare().map_err(|error| format!("entry {}: {error}", entry.log_id.index))?;
        }
        entries.push(entry);
    }
    Ok(AppendEntriesRequest {
        vote: ballot_from(request.ballot),
        prev_log_id: request.previous.map(log_id_from),
        entries,
        leader_commit: request.leader_commit.map(log_id_from),
    })
}

pub(super) fn appended_to(result: &StreamAppendResult<TypeConfig>) -> pb::AppendResponse {
    match result {
        Ok(stored) => {
            pb::AppendResponse { stored: stored.as_ref().map(log_id_to), ..Default::default() }
        }
        Err(StreamAppendError::Conflict(log_id)) => {
            pb::AppendResponse { conflict: Some(log_id_to(log_id)), ..Default::default() }
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            pb::AppendResponse { higher: Some(ballot_to(vote)), ..Default::default() }
        }
    }
}

pub(super) fn appended_from(response: pb::AppendResponse) -> StreamAppendResult<TypeConfig> {
    if let Some(ballot) = response.higher {
        return Err(StreamAppendError::HigherVote(ballot_from(Some(ballot))));
    }
    match response.conflict {
        Some(log_id) => Err(StreamAppendError::Conflict(log_id_from(log_id))),
        None => Ok(response.stored.map(log_id_from)),
    }
}

pub(super) fn vote_to(request: &VoteRequest<TypeConfig>, is_pre_vote: bool) -> pb::VoteRequest {
    pb::VoteRequest {
        ballot: Some(ballot_to(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_to),
        is_transfer: request.leadership_transfer,
        is_pre_vote,
    }
}

pub(super) fn vote_from(request: pb::VoteRequest) -> VoteRequest<TypeConfig> {
    VoteRequest {
        vote: ballot_from(request.ballot),
        last_log_id: request.last.map(log_id_from),
        leadership_transfer: request.is_transfer,
    }
}

pub(super) fn voted_to(response: &VoteResponse<TypeConfig>) -> pb::VoteResponse {
    pb::VoteResponse {
        ballot: Some(ballot_to(&response.vote)),
        last: response.last_log_id.as_ref().map(log_id_to),
        granted: response.vote_granted,
    }
}

pub(super) fn voted_from(response: pb::VoteResponse) -> VoteResponse<TypeConfig> {
    VoteResponse {
        vote: ballot_from(response.ballot),
        vote_granted: response.granted,
        last_log_id: response.last.map(log_id_from),
    }
}

pub(super) fn transfer_to(
    request: &TransferLeaderRequest<TypeConfig>,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        from: Some(ballot_to(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_to),
    }
}

pub(super) fn transfer_from(
    request: pb::TransferLeaderRequest,
) -> TransferLeaderRequest<TypeConfig> {
    let last = request.last.map(log_id_from);
    TransferLeaderRequest::new(ballot_from(request.from), request.to, last)
}
