//! Proves a snapshot: the other members are asked for HashKV at its revision. No other etcd tool makes this check.
//!
//! Hashes are compared only for the same revision and the same compact revision. A member that has compacted
//! further since is compared with the hash the file would have after that compaction.

use std::time::Duration;

use futures::future::join_all;
use quorate_client::Client;
use quorate_client::proto::etcdserverpb as pb;

use super::survey::{MemberState, Survey};
use crate::error::Result;
use crate::manifest::{HashAnswer, HashOutcome, Proof, SnapshotFacts, Verdict};

/// Longest wait for one member's hash: it reads its whole key space.
const HASH_TIMEOUT: Duration = Duration::from_secs(60);
/// A member that has not applied the revision yet is asked again this often, with this pause.
const CATCH_UP_TRIES: u32 = 20;
const CATCH_UP_PAUSE: Duration = Duration::from_millis(150);

/// Computes HashKV of the snapshot as it would be after a compaction at the given revision.
pub type HashAfterCompaction<'a> = &'a (dyn Fn(i64) -> Result<u32> + Send + Sync);

/// Asks every member but `source_id` and sums up.
pub async fn prove(
    client: &Client,
    survey: &Survey,
    source_id: u64,
    snapshot: &SnapshotFacts,
    hash_after: HashAfterCompaction<'_>,
) -> Proof {
    let others = survey.states.iter().filter(|state| state.member_id != source_id);
    let asked = others.map(|state| async move {
        let answer = ask(client, &state.endpoint, snapshot.revision).await;
        compare(state, snapshot, answer, hash_after)
    });
    let mut answers = join_all(asked).await;
    answers.extend(survey.silent.iter().map(|(endpoint, reason)| HashAnswer {
        endpoint: endpoint.clone(),
        member_id: String::new(),
        outcome: HashOutcome::NotComparable,
        hash: None,
        compact_revision: None,
        detail: Some(reason.clone()),
    }));
    Proof { verdict: sum_up(&answers), answers }
}

async fn ask(
    client: &Client,
    endpoint: &str,
    revision: i64,
) -> quorate_client::Result<pb::HashKvResponse> {
    let maintenance = client.at(endpoint)?.with_timeout(Some(HASH_TIMEOUT)).maintenance();
    let mut n_tries = 1;
    loop {
        match maintenance.hash_kv(revision).await {
            Err(error)
                if error.etcd() == Some(quorate_client::EtcdError::FutureRevision)
                    && n_tries < CATCH_UP_TRIES =>
            {
                n_tries += 1;
                tokio::time::sleep(CATCH_UP_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn compare(
    state: &MemberState,
    snapshot: &SnapshotFacts,
    answer: quorate_client::Result<pb::HashKvResponse>,
    hash_after: HashAfterCompaction<'_>,
) -> HashAnswer {
    let mut result = HashAnswer {
        endpoint: state.endpoint.clone(),
        member_id: format!("{:x}", state.member_id),
        outcome: HashOutcome::NotComparable,
        hash: None,
        compact_revision: None,
        detail: None,
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            result.detail = Some(error.to_string());
            return result;
        }
    };
    result.hash = Some(answer.hash);
    result.compact_revision = Some(answer.compact_revision);
    let ours = match answer.compact_revision {
        theirs if theirs == snapshot.compact_revision => Ok(snapshot.hash_kv),
        theirs if theirs > snapshot.compact_revision && theirs <= snapshot.revision => {
            hash_after(theirs).map_err(|error| error.to_string())
        }
        theirs => Err(format!(
            "it is compacted at {theirs}, the snapshot at {}",
            snapshot.compact_revision
        )),
    };
    match ours {
        Ok(ours) if ours == answer.hash => result.outcome = HashOutcome::Equal,
        Ok(ours) => {
            result.outcome = HashOutcome::Different;
            result.detail = Some(format!("the snapshot has {ours}"));
        }
        Err(reason) => result.detail = Some(reason),
    }
    result
}

fn sum_up(answers: &[HashAnswer]) -> Verdict {
    let any = |outcome| answers.iter().any(|answer| answer.outcome == outcome);
    if any(HashOutcome::Different) {
        return Verdict::Disputed;
    }
    if any(HashOutcome::Equal) { Verdict::Confirmed } else { Verdict::Unconfirmed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::sample;

    fn answer(hash: u32, compact_revision: i64) -> pb::HashKvResponse {
        pb::HashKvResponse { hash, compact_revision, ..Default::default() }
    }

    fn outcome(hash: u32, compact_revision: i64) -> HashOutcome {
        let state = MemberState {
            endpoint: "e".into(),
            cluster_id: 1,
            member_id: 2,
            is_leader: false,
            has_leader: true,
            is_learner: false,
            is_corrupt: false,
            revision: 7,
            applied_index: 9,
            size_bytes: 0,
            version: String::new(),
            storage_version: String::new(),
        };
        // The sample has revision 7, compact revision -1 and hash 2.
        let snapshot = sample("20261121T085857Z-7-0123abcd").snapshot;
        let after = |compact: i64| Ok(100 + u32::try_from(compact).expect("positive"));
        compare(&state, &snapshot, Ok(answer(hash, compact_revision)), &after).outcome
    }

    /// Same compact revision: equal or different. A later one: compared with the file after that compaction. One the
    /// file cannot be brought to: not comparable.
    #[test]
    fn compares_only_what_is_comparable() {
        assert_eq!(outcome(2, -1), HashOutcome::Equal);
        assert_eq!(outcome(3, -1), HashOutcome::Different);
        assert_eq!(outcome(105, 5), HashOutcome::Equal);
        assert_eq!(outcome(2, 5), HashOutcome::Different);
        assert_eq!(outcome(2, 8), HashOutcome::NotComparable);
    }

    /// One contradiction outweighs any number of confirmations.
    #[test]
    fn one_contradiction_disputes() {
        let with = |outcome| HashAnswer {
            endpoint: String::new(),
            member_id: String::new(),
            outcome,
            hash: None,
            compact_revision: None,
            detail: None,
        };
        let (equal, different) = (with(HashOutcome::Equal), with(HashOutcome::Different));
        let silent = with(HashOutcome::NotComparable);
        assert_eq!(sum_up(&[]), Verdict::Unconfirmed);
        assert_eq!(sum_up(std::slice::from_ref(&silent)), Verdict::Unconfirmed);
        assert_eq!(sum_up(&[equal.clone(), silent]), Verdict::Confirmed);
        assert_eq!(sum_up(&[equal, different]), Verdict::Disputed);
    }
}
