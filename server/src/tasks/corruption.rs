//! Whether all members hold the same data: hashes are compared at the start, from time to time, and after compactions.
//! The minority gets the CORRUPT alarm, under which the cluster takes no more writes.
//!
//! Follows `etcd:server/etcdserver/corrupt.go`, with one difference: etcd blames whoever differs from the leader, and
//! refuses the start of a healthy member beside a damaged one; here the majority is right.

use crate::apply::{Outcome, State};
use crate::raft::{ForwardError, Raft};
use crate::types::MemberId;
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use quorate_etcd_files::hash::KvHash;
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, HashKvRequest, HashKvResponse, InternalRaftRequest,
    ResponseHeader,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The number under which members ask each other for hashes.
pub const HASH_QUESTION: u32 = 16;
/// Time that a member has for its hash; a large state takes seconds.
const ANSWER_TIME: Duration = Duration::from_secs(7);

/// Other members hold other data at the same revision.
#[derive(Debug, thiserror::Error)]
#[error(
    "found data inconsistency with peers: this member's hash at revision {revision} differs from that of {differing} of \
     {asked} members that answered. Remove this member, delete its data directory and add it again; the others go on."
)]
pub struct Inconsistent {
    revision: i64,
    differing: usize,
    asked: usize,
}

/// Answers another member's question.
///
/// # Errors
/// The revision is compacted or lies in the future; the text says which.
pub async fn answer_hash_question(state: Arc<State>, body: Bytes) -> Result<Bytes, String> {
    let request = HashKvRequest::decode(body).map_err(|error| error.to_string())?;
    let hash = hash(&state, request.revision).await?;
    Ok(response(&state, &hash).encode_to_vec().into())
}

fn response(state: &State, hash: &KvHash) -> HashKvResponse {
    let (member_id, revision) = (state.cluster.local_id(), state.revision());
    HashKvResponse {
        header: Some(ResponseHeader { member_id, revision, ..ResponseHeader::default() }),
        hash: hash.hash,
        compact_revision: hash.compact_revision,
        hash_revision: hash.hash_revision,
    }
}

async fn hash(state: &State, revision: i64) -> Result<KvHash, String> {
    let store = state.store();
    let hash = tokio::task::spawn_blocking(move || store.hash_kv(revision)).await;
    hash.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Compares this member's data with that of the others.
pub struct CorruptionCheck {
    /// To reach the others, and to propose alarms.
    pub raft: Raft<Outcome>,
    /// What is hashed.
    pub state: Arc<State>,
}

impl CorruptionCheck {
    /// Compares before this member serves. `is_strict` refuses for any difference, as etcd does; else a majority of
    /// those that answer must be against this member.
    ///
    /// # Errors
    /// The data differs.
    pub async fn at_start(&self, is_strict: bool) -> Result<(), Inconsistent> {
        let revision = self.state.revision();
        // A fresh store is the same everywhere.
        if revision <= 1 || self.others().is_empty() {
            return Ok(());
        }
        let Ok(own) = hash(&self.state, revision).await else { return Ok(()) };
        let answers = self.ask(revision).await;
        let comparable = answers.iter().filter(|(_, hash)| is_comparable(&own, hash));
        let asked = comparable.clone().count();
        let differing = comparable.filter(|(_, hash)| hash.hash != own.hash).count();
        let agreeing = 1 + asked - differing;
        if differing == 0 {
            tracing::info!(revision, asked, "no data inconsistency with peers");
            return Ok(());
        }
        tracing::error!(revision, asked, differing, "found data inconsistency with peers");
        if is_strict || differing > agreeing {
            return Err(Inconsistent { revision, differing, asked });
        }
        Ok(())
    }

    /// Compares whole hashes at this interval while this member leads.
    pub async fn every(self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            if self.raft.is_leader()
                && let Err(reason) = self.compare_whole().await
            {
                tracing::warn!(reason, "failed to check hash KV");
            }
        }
    }

    async fn compare_whole(&self) -> Result<(), String> {
        let first = hash(&self.state, 0).await?;
        let answers = self.ask(first.hash_revision).await;
        self.raft.read_index().await.map_err(|error| error.to_string())?;
        let second = hash(&self.state, 0).await?;
        let is_same = first.hash_revision == second.hash_revision
            && first.compact_revision == second.compact_revision;
        if is_same && first.hash != second.hash {
            tracing::warn!(revision = first.hash_revision, "found hash mismatch with itself");
            self.raise(self.state.cluster.local_id()).await;
        }
        for (id, answer) in &answers {
            let revision = answer.header.as_ref().map_or(0, |header| header.revision);
            // Nobody is ahead of a leader that was proven to lead afterwards.
            if revision > second.hash_revision || answer.compact_revision > second.compact_revision
            {
                tracing::warn!(member = format_args!("{id:x}"), "member is ahead of the leader");
                self.raise(*id).await;
            }
        }
        self.judge(&first, &answers).await;
        Ok(())
    }

    /// Compares the hashes that compactions have left at this interval while this member leads.
    pub async fn of_compactions_every(self, interval: Duration) {
        let mut checked = 0;
        loop {
            tokio::time::sleep(interval).await;
            if self.raft.is_leader() {
                checked = self.compare_compactions(checked).await;
            }
        }
    }

    /// Returns the newest revision at which all members were found alike.
    async fn compare_compactions(&self, checked: i64) -> i64 {
        let mut hashes = self.state.store().compact_hashes();
        hashes.retain(|hash| hash.hash_revision > checked);
        let (mut n_checked, mut alike) = (0, None);
        for own in hashes.iter().rev() {
            n_checked += 1;
            let answers = self.ask(own.hash_revision).await;
            let is_same = self.judge(own, &answers).await;
            let n_comparable = answers.iter().filter(|(_, hash)| is_comparable(own, hash)).count();
            if is_same && n_comparable == self.others().len() {
                alike = Some(own.hash_revision);
            }
            // A member that was down, or stopped within a compaction, has no hash of it: an older one may tell.
            if !is_same || alike.is_some() {
                break;
            }
        }
        if n_checked > 0 {
            tracing::info!(
                number_of_hashes_checked = n_checked,
                revision = alike,
                "finished compaction hash check"
            );
        }
        alike.unwrap_or(checked)
    }

    /// Raises alarms for those that are in the minority; false where there was a difference.
    async fn judge(&self, own: &KvHash, answers: &[(MemberId, HashKvResponse)]) -> bool {
        let comparable = answers.iter().filter(|(_, hash)| is_comparable(own, hash));
        let mut votes = vec![(self.state.cluster.local_id(), own.hash)];
        votes.extend(comparable.map(|(id, hash)| (*id, hash.hash)));
        let guilty = minority(&votes, 1 + self.others().len());
        for id in &guilty {
            tracing::error!(
                revision = own.hash_revision,
                member = format_args!("{id:x}"),
                "found data inconsistency with peers"
            );
            self.raise(*id).await;
        }
        guilty.is_empty()
    }

    fn others(&self) -> Vec<MemberId> {
        let members = self.state.cluster.members();
        let local = self.state.cluster.local_id();
        members.iter().map(|member| member.id).filter(|id| *id != local).collect()
    }

    /// Asks all others at once; those that do not know are left out.
    async fn ask(&self, revision: i64) -> Vec<(MemberId, HashKvResponse)> {
        let body: Bytes = HashKvRequest { revision }.encode_to_vec().into();
        let ask = |id: MemberId| {
            let body = body.clone();
            async move {
                match self.raft.forward(id, HASH_QUESTION, body, ANSWER_TIME).await {
                    Ok(answer) => Some((id, HashKvResponse::decode(answer).ok()?)),
                    Err(ForwardError::Refused(reason)) => {
                        let reason = String::from_utf8_lossy(&reason).into_owned();
                        tracing::debug!(reason, "a member has no hash to compare with");
                        None
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a member was not asked for its hash");
                        None
                    }
                }
            }
        };
        join_all(self.others().into_iter().map(ask)).await.into_iter().flatten().collect()
    }

    async fn raise(&self, member_id: MemberId) {
        let alarm = AlarmMember { member_id, alarm: AlarmType::Corrupt as i32 };
        if self.state.alarms.list(AlarmType::Corrupt).contains(&alarm) {
            return;
        }
        let (action, alarm) = (AlarmAction::Activate as i32, alarm.alarm);
        let alarm = Some(AlarmRequest { action, member_id, alarm });
        let request = InternalRaftRequest { alarm, ..InternalRaftRequest::default() };
        if let Err(error) = self.raft.propose(request).await {
            tracing::warn!(%error, "failed to raise the CORRUPT alarm; the next check tries again");
        }
    }
}

/// Hashes of different compactions say nothing about each other.
fn is_comparable(own: &KvHash, other: &HashKvResponse) -> bool {
    own.compact_revision == other.compact_revision && own.hash_revision == other.hash_revision
}

/// Who has another hash than the majority of all members; member 0, which stands for the whole cluster, where no hash
/// has one.
fn minority(votes: &[(MemberId, u32)], n_members: usize) -> Vec<MemberId> {
    let mut holders: BTreeMap<u32, Vec<MemberId>> = BTreeMap::new();
    for (id, hash) in votes {
        holders.entry(*hash).or_default().push(*id);
    }
    if holders.len() < 2 {
        return Vec::new();
    }
    let quorum = n_members / 2 + 1;
    let right = holders.iter().find(|(_, ids)| ids.len() >= quorum).map(|(hash, _)| *hash);
    match right {
        None => vec![0],
        Some(right) => holders
            .into_iter()
            .filter(|(hash, _)| *hash != right)
            .flat_map(|(_, ids)| ids)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The majority is right, even against the leader; without one the whole cluster is suspect.
    #[test]
    fn the_majority_is_right() {
        assert!(minority(&[(1, 7), (2, 7), (3, 7)], 3).is_empty());
        assert_eq!(minority(&[(1, 7), (2, 7), (3, 8)], 3), [3]);
        assert_eq!(minority(&[(1, 8), (2, 7), (3, 7)], 3), [1]);
        assert_eq!(minority(&[(1, 7), (2, 8)], 3), [0]);
        assert_eq!(minority(&[(1, 7), (2, 8)], 2), [0]);
        assert!(minority(&[(1, 7)], 3).is_empty());
    }
}
