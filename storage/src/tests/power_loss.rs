//! What a power loss may take, and what it may not: random batches on a disk that loses what was not synced.
//!
//! The rule: every batch whose flush returned is there, whole; no batch is there in part; the mark tells exactly which
//! batches are there. A control with syncs switched off must break the rule, or the test would prove nothing.

use super::model::{Model, Step};
use crate::{AppliedMark, Backend, BackendOptions, Batch, EngineKind, StorageError, SyncPolicy};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quorate_etcd_files::lossy_disk::{LossyDisk, PowerLoss};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const STATE: &str = "/data/state";
const ROUNDS: u64 = 60;
pub(super) const LIVES: u64 = 3;

struct Round {
    seed: u64,
    loss: PowerLoss,
    sync: SyncPolicy,
}

/// The state after each mark, and how far it is surely on disk.
#[derive(Default)]
pub(super) struct History {
    after: Vec<(AppliedMark, Model)>,
    durable: Option<AppliedMark>,
}

impl Round {
    fn options(&self, disk: &LossyDisk) -> BackendOptions {
        BackendOptions { disk: Arc::new(disk.clone()), ..options(EngineKind::Redb, self.sync) }
    }

    /// Three lives on one disk, each ended by a power loss; says what is wrong with what it left.
    fn run(&self) -> Result<(), String> {
        let disk = LossyDisk::default();
        let mut history = History::default();
        for life in 0..LIVES {
            let (steps, n_operations) = fate(self.seed, life);
            let backend = Backend::open(Path::new(STATE), self.options(&disk))
                .map_err(|error| format!("life {life}: {error}"))?;
            history.check(&backend).map_err(|error| format!("life {life}: {error}"))?;
            // The disk gives up somewhere in the middle of a commit, which is when the power goes.
            disk.fail_after(n_operations);
            history.live(&backend, &steps, |_| {});
            let loss = match self.loss {
                PowerLoss::All => PowerLoss::All,
                PowerLoss::RandomBlocks(seed) => PowerLoss::RandomBlocks(seed * LIVES + life),
            };
            disk.power_loss(loss);
        }
        let backend = Backend::open(Path::new(STATE), self.options(&disk))
            .map_err(|error| format!("at the end: {error}"))?;
        history.check(&backend).map_err(|error| format!("at the end: {error}"))
    }
}

/// How many seeds to try: more than usual where `POWER_LOSS_ROUNDS` says so.
pub(super) fn rounds(usual: u64) -> u64 {
    let wanted = std::env::var("POWER_LOSS_ROUNDS").ok();
    wanted.map_or(usual, |rounds| rounds.parse().expect("POWER_LOSS_ROUNDS is a number"))
}

/// Options with which nothing is flushed unless a step asks for it, so that a seed repeats a run.
pub(super) fn options(engine: EngineKind, sync: SyncPolicy) -> BackendOptions {
    let flush_interval = Duration::from_secs(3600);
    BackendOptions { engine, sync, flush_interval, cache_bytes: 1 << 20, ..Default::default() }
}

/// What is done in one life, and the number of disk operations after which it ends.
pub(super) fn fate(seed: u64, life: u64) -> (Vec<Step>, u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&life.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let steps = proptest::collection::vec(Step::any(), 1..40);
    let steps = steps.new_tree(&mut runner).unwrap().current();
    let n_operations = (1..400_u64).new_tree(&mut runner).unwrap().current();
    (steps, n_operations)
}

/// A step as it is done to a backend.
enum Action {
    Write(Batch),
    Flush,
    Defragment,
    Replace(Model, AppliedMark),
}

impl Action {
    fn perform(self, backend: &Backend) -> Result<(), StorageError> {
        match self {
            Action::Write(batch) => backend.write(batch),
            Action::Flush => backend.flush().map(drop),
            Action::Defragment => backend.defragment().map(drop),
            Action::Replace(model, mark) => backend.replace_all(model.rows().map(Ok), mark),
        }
    }
}

impl History {
    /// A history that begins at `mark`, of whose rows nothing is known.
    pub(super) fn from(mark: Option<AppliedMark>) -> History {
        let after = mark.into_iter().map(|mark| (mark, Model::default())).collect();
        History { after, durable: None }
    }

    fn now(&self) -> (AppliedMark, Model) {
        self.after.last().cloned().unwrap_or_default()
    }

    /// Writes down what a step will have done, and says how to do it.
    fn foresee(&mut self, step: &Step) -> Action {
        let (mark, model) = self.now();
        let next = AppliedMark { term: 1, index: mark.index + 1, leader_member_id: 9 };
        match step {
            Step::Write(rows) => {
                let mut batch = Batch::applied(next.clone());
                self.after.push((next, model.with(rows, &mut batch)));
                Action::Write(batch)
            }
            Step::Flush | Step::View | Step::Reopen => Action::Flush,
            Step::Defragment => Action::Defragment,
            Step::Replace(rows) => {
                let model = Model::default().with(rows, &mut Batch::housekeeping());
                self.after.push((next.clone(), model.clone()));
                Action::Replace(model, next)
            }
        }
    }

    /// Writes down what steps will have done, as far as they get.
    pub(super) fn foresee_all(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| drop(self.foresee(step)));
    }

    /// Takes steps until the disk fails; tells the index of every mark that is durable.
    pub(super) fn live(&mut self, backend: &Backend, steps: &[Step], tell: impl Fn(u64)) {
        for step in steps {
            if self.foresee(step).perform(backend).is_err() {
                return;
            }
            let is_durable = !matches!(step, Step::Write(_));
            if is_durable && let Some((mark, _)) = self.after.last() {
                tell(mark.index);
                self.durable = Some(mark.clone());
            }
        }
    }

    /// Notes that a mark was told to be durable.
    pub(super) fn note_durable(&mut self, index: u64) {
        let mark = self.after.iter().map(|(mark, _)| mark).find(|mark| mark.index == index);
        self.durable = mark.cloned();
    }

    /// Compares what the disk kept with what it must and may keep, and goes on from there.
    pub(super) fn check(&mut self, backend: &Backend) -> Result<(), String> {
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
    let rounds = (0..rounds(ROUNDS)).map(|seed| Round { seed, loss: loss(seed), sync });
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
        batch.put(crate::Keyspace::Key, key, vec![1; 100_000]);
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
