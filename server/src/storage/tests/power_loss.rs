//! What a power loss may take, and what it may not: random batches on a disk that loses what was not synced.
//!
//! The rule: every batch whose flush returned is there, whole; no batch is there in part; the mark tells exactly which
//! batches are there. A control with syncs switched off must break the rule, or the test would prove nothing.

use super::model::{Model, Step};
use crate::storage::{AppliedMark, Backend, BackendOptions, Batch, SyncPolicy};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quorate_etcd_files::lossy_disk::{LossyDisk, PowerLoss};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const STATE: &str = "/data/state";
const ROUNDS: u64 = 60;

struct Round {
    seed: u64,
    loss: PowerLoss,
    sync: SyncPolicy,
}

/// The state after each mark, and how far it is surely on disk.
#[derive(Default)]
struct History {
    after: Vec<(AppliedMark, Model)>,
    durable: Option<AppliedMark>,
}

impl Round {
    fn options(&self, disk: &LossyDisk) -> BackendOptions {
        BackendOptions {
            disk: Arc::new(disk.clone()),
            flush_interval: Duration::from_secs(3600),
            cache_bytes: 1 << 20,
            sync: self.sync,
            ..BackendOptions::default()
        }
    }

    /// Three lives on one disk, each ended by a power loss; says what is wrong with what it left.
    fn run(&self) -> Result<(), String> {
        let disk = LossyDisk::default();
        let mut history = History::default();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        for life in 0..3 {
            let steps = proptest::collection::vec(Step::any(), 1..40);
            let steps = steps.new_tree(&mut runner).unwrap().current();
            let n_operations = (1..400_u64).new_tree(&mut runner).unwrap().current();
            let backend = Backend::open(Path::new(STATE), self.options(&disk))
                .map_err(|error| format!("life {life}: {error}"))?;
            history.check(&backend).map_err(|error| format!("life {life}: {error}"))?;
            // The disk gives up somewhere in the middle of a commit, which is when the power goes.
            disk.fail_after(n_operations);
            history.live(&backend, &steps);
            let loss = match self.loss {
                PowerLoss::All => PowerLoss::All,
                PowerLoss::RandomBlocks(seed) => PowerLoss::RandomBlocks(seed * 3 + life),
            };
            disk.power_loss(loss);
        }
        let backend = Backend::open(Path::new(STATE), self.options(&disk))
            .map_err(|error| format!("at the end: {error}"))?;
        history.check(&backend).map_err(|error| format!("at the end: {error}"))
    }
}

impl History {
    fn now(&self) -> (AppliedMark, Model) {
        self.after.last().cloned().unwrap_or_default()
    }

    /// Takes steps until the disk fails.
    fn live(&mut self, backend: &Backend, steps: &[Step]) {
        for step in steps {
            let (mark, model) = self.now();
            let next = AppliedMark { term: 1, index: mark.index + 1, leader_member_id: 9 };
            let outcome = match step {
                Step::Write(rows) => {
                    let mut batch = Batch::applied(next.clone());
                    self.after.push((next, model.with(rows, &mut batch)));
                    backend.write(batch)
                }
                Step::Flush | Step::View | Step::Reopen => backend.flush().map(drop),
                Step::Defragment => backend.defragment().map(drop),
                Step::Replace(rows) => {
                    let model = Model::default().with(rows, &mut Batch::housekeeping());
                    self.after.push((next.clone(), model.clone()));
                    backend.replace_all(model.rows().map(Ok), next)
                }
            };
            if outcome.is_err() {
                return;
            }
            let is_durable = !matches!(step, Step::Write(_));
            if is_durable {
                self.durable = self.after.last().map(|(mark, _)| mark.clone());
            }
        }
    }

    /// Compares what the disk kept with what it must and may keep, and goes on from there.
    fn check(&mut self, backend: &Backend) -> Result<(), String> {
        let found = backend.applied_at_open();
        if found.as_ref().map(|mark| mark.index) < self.durable.as_ref().map(|mark| mark.index) {
            return Err(format!("flushed up to {:?}, found {found:?}", self.durable));
        }
        let Some(found) = found else {
            self.after.clear();
            return Ok(());
        };
        let n_kept = self.after.iter().position(|(mark, _)| *mark == found);
        let n_kept = n_kept.ok_or_else(|| format!("{found:?} was never written"))?;
        self.after.truncate(n_kept + 1);
        self.durable = Some(found.clone());
        let (_, model) = self.now();
        model.compare(backend).map_err(|error| format!("at {found:?}: {error}"))
    }
}

fn failures(loss: impl Fn(u64) -> PowerLoss, sync: SyncPolicy) -> Vec<String> {
    let rounds = (0..ROUNDS).map(|seed| Round { seed, loss: loss(seed), sync });
    let run = |round: Round| {
        let seed = round.seed;
        round.run().err().map(|error| format!("seed {seed}: {error}"))
    };
    rounds.filter_map(run).collect()
}

/// Nothing flushed is lost where the disk forgets everything that no sync covered.
#[test]
fn flushed_batches_survive_a_disk_that_forgets_all() {
    assert_eq!(failures(|_| PowerLoss::All, SyncPolicy::Always), [""; 0]);
}

/// Nothing flushed is lost where the disk keeps some of the unsynced blocks and names.
#[test]
fn flushed_batches_survive_a_disk_that_forgets_at_random() {
    assert_eq!(failures(PowerLoss::RandomBlocks, SyncPolicy::Always), [""; 0]);
}

/// The control: without syncs the same check finds losses, so it can see them.
#[test]
fn without_syncs_the_check_finds_losses() {
    assert!(failures(|_| PowerLoss::All, SyncPolicy::Never).len() > ROUNDS as usize / 2);
    assert!(failures(PowerLoss::RandomBlocks, SyncPolicy::Never).len() > ROUNDS as usize / 2);
}

/// A disk that fills up stops the member; what was flushed before is there once there is room.
#[test]
fn full_disk_loses_nothing_that_was_flushed() {
    let disk = LossyDisk::default();
    let round = Round { seed: 0, loss: PowerLoss::All, sync: SyncPolicy::Always };
    let backend = Backend::open(Path::new(STATE), round.options(&disk)).unwrap();
    let mut flushed = 0;
    disk.set_capacity(6 << 20);
    let error = loop {
        let mark = AppliedMark { term: 1, index: flushed + 1, leader_member_id: 9 };
        let mut batch = Batch::applied(mark);
        let key = (flushed + 1).to_be_bytes().to_vec();
        batch.put(crate::storage::Keyspace::Key, key, vec![1; 100_000]);
        backend.write(batch).unwrap();
        match backend.flush() {
            Ok(mark) => flushed = mark.index,
            Err(error) => break error,
        }
    };
    assert!(error.is_fatal() && flushed > 0, "{error}");
    drop(backend);
    disk.power_loss(PowerLoss::All);
    let backend = Backend::open(Path::new(STATE), round.options(&disk)).unwrap();
    assert_eq!(backend.applied_at_open().unwrap().index, flushed);
}
