//! The applier: opens the state, takes entries in order, and is the machine that raft drives.

use super::member::MEMBERSHIP_ROW;
use super::observer::{ApplyObserver, NoApplyObserver};
use super::outcome::{Outcome, Reply};
use super::{State, access, image};
use crate::alarm::AlarmStore;
use crate::auth::{AuthStore, Loader};
use crate::clock::SharedClock;
use crate::cluster::{ClusterState, DowngradeInfo, Member};
use crate::lease::{self, Lessor};
use crate::mvcc::{Compaction, MvccError, Opened, Store, Writer};
use crate::raft::{
    Applied, AppliedState, CommittedEntry, CommittedPayload, Fatal, Machine, Membership,
    SnapshotSource, StoredMembership,
};
use crate::storage::{AppliedMark, Backend, Batch, Image, Keyspace};
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{AlarmType, InternalRaftRequest};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::watch;

/// Why an entry has no reply: the answer all members agree on, or a fault that stops this one.
#[derive(Debug)]
pub(super) enum Refusal {
    Answer(EtcdError),
    Fatal(Fatal),
}

impl From<EtcdError> for Refusal {
    fn from(error: EtcdError) -> Refusal {
        Refusal::Answer(error)
    }
}

impl From<MvccError> for Refusal {
    fn from(error: MvccError) -> Refusal {
        match error.refusal() {
            Some(answer) => Refusal::Answer(answer),
            None => Refusal::Fatal(Fatal::new(error)),
        }
    }
}

/// Applies entries. Owned by raft's apply thread.
pub struct Applier {
    pub(super) state: Arc<State>,
    pub(super) writer: Writer,
    pub(super) membership: StoredMembership,
    mark: Option<AppliedMark>,
    compactions: SyncSender<Compaction>,
    observer: Box<dyn ApplyObserver>,
}

impl Applier {
    /// Reads the state that `backend` holds. Physical compactions go to `compactions`, beginning with one that the
    /// last run did not finish.
    ///
    /// # Errors
    /// The state is damaged or cannot be read.
    pub fn open(
        backend: Arc<Backend>,
        cluster: Arc<ClusterState>,
        auth: Arc<AuthStore>,
        clock: SharedClock,
        compactions: SyncSender<Compaction>,
    ) -> Result<Applier, Fatal> {
        let Opened { store, writer, compaction } =
            Store::open(backend.clone()).map_err(Fatal::new)?;
        let lessor = Arc::new(Lessor::new(clock));
        let alarms = Arc::new(AlarmStore::default());
        let mark = backend.applied();
        let state = Arc::new(State::new(backend, store, lessor, auth, cluster, alarms));
        let membership = StoredMembership::default();
        let observer = Box::new(NoApplyObserver);
        let mut applier = Applier { state, writer, membership, mark, compactions, observer };
        applier.load_rooms()?;
        applier.schedule(compaction);
        Ok(applier)
    }

    /// Registers who hears of the work.
    pub fn observe(&mut self, observer: Box<dyn ApplyObserver>) {
        self.observer = observer;
    }

    /// The state, for readers.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    fn schedule(&self, compactions: impl IntoIterator<Item = Compaction>) {
        for compaction in compactions {
            // The other side is gone only while the member stops; the next start takes the compaction up again.
            if self.compactions.send(compaction).is_err() {
                tracing::debug!("compaction is left to the next start");
            }
        }
    }

    /// Fills leases, alarms, users and members from their rows.
    fn load_rooms(&mut self) -> Result<(), Fatal> {
        let state = self.state.clone();
        state.lessor.clear();
        state.alarms.clear();
        state.cluster.clear();
        for_each_row(&state.backend, Keyspace::Lease, |_, value| {
            let lease = lease::decode_row(value).map_err(|error| error.to_string())?;
            state.lessor.restore(lease.id, lease.ttl, lease.remaining_ttl);
            Ok(())
        })?;
        state.store().for_each_leased(|key, id| {
            state.lessor.move_key(&Bytes::copy_from_slice(key), 0, id);
        });
        for_each_row(&state.backend, Keyspace::Alarm, |key, _| {
            state.alarms.restore(key).map_err(|error| error.to_string())
        })?;
        self.load_auth()?;
        self.load_cluster()
    }

    fn load_auth(&self) -> Result<(), Fatal> {
        let backend = &self.state.backend;
        let mut loader = Loader::default();
        for_each_row(backend, Keyspace::Auth, |key, value| loader.setting(key, value))?;
        for_each_row(backend, Keyspace::AuthRoles, |_, value| {
            loader.role(value).map_err(|error| error.to_string())
        })?;
        for_each_row(backend, Keyspace::AuthUsers, |_, value| {
            loader.user(value).map_err(|error| error.to_string())
        })?;
        match self.state.auth.restore(loader) {
            Some(missing) => backend.write(missing).map_err(Fatal::new),
            None => Ok(()),
        }
    }

    fn load_cluster(&mut self) -> Result<(), Fatal> {
        let state = self.state.clone();
        for_each_row(&state.backend, Keyspace::Members, |_, value| {
            let member: Member =
                serde_json::from_slice(value).map_err(|error| error.to_string())?;
            state.cluster.put_member(member);
            Ok(())
        })?;
        for_each_row(&state.backend, Keyspace::MembersRemoved, |key, _| {
            let hex = std::str::from_utf8(key).map_err(|error| error.to_string())?;
            let id = u64::from_str_radix(hex, 16).map_err(|error| error.to_string())?;
            state.cluster.remove_member(id);
            Ok(())
        })?;
        for_each_row(&state.backend, Keyspace::Cluster, |key, value| {
            match key {
                b"clusterVersion" => {
                    state.cluster.set_version(String::from_utf8_lossy(value).into_owned());
                }
                b"downgrade" => state.cluster.set_downgrade(downgrade_from_json(value)?),
                _ => {}
            }
            Ok(())
        })?;
        let row = state.backend.get(Keyspace::Meta, MEMBERSHIP_ROW).map_err(Fatal::new)?;
        self.membership = match row {
            Some(row) => StoredMembership::decode(row).map_err(Fatal::new)?,
            None => StoredMembership::default(),
        };
        Ok(())
    }

    /// Refuses writes that an alarm forbids: all of them while CORRUPT is raised, growing ones under NOSPACE.
    pub(super) fn check_writable(&self, grows: bool) -> Result<(), EtcdError> {
        self.check_corrupt()?;
        if grows && self.state.alarms.is_raised(AlarmType::Nospace) {
            return Err(EtcdError::NoSpace);
        }
        Ok(())
    }

    pub(super) fn check_corrupt(&self) -> Result<(), EtcdError> {
        if self.state.alarms.is_raised(AlarmType::Corrupt) {
            Err(EtcdError::CorruptCluster)
        } else {
            Ok(())
        }
    }

    /// Judges an entry by its caller. As in etcd, an alarm is told first to whom it would stop anyway.
    fn authorize(&self, request: &InternalRaftRequest) -> Result<(), EtcdError> {
        if request.put.is_some() {
            self.check_writable(true)?;
        } else if let Some(txn) = &request.txn {
            self.check_writable(super::txn::may_put(txn))?;
        } else if request.delete_range.is_some() || request.lease_revoke.is_some() {
            self.check_corrupt()?;
        }
        access::check_entry(&self.state, request)
    }

    fn apply_request(
        &mut self,
        batch: &mut Batch,
        request: &InternalRaftRequest,
    ) -> Result<Reply, Refusal> {
        if self.state.auth.is_enabled() {
            self.authorize(request)?;
        }
        if let Some(put) = &request.put {
            self.apply_put(batch, put)
        } else if let Some(txn) = &request.txn {
            self.apply_txn(batch, txn)
        } else if let Some(delete) = &request.delete_range {
            self.apply_delete_range(batch, delete)
        } else if let Some(compaction) = &request.compaction {
            self.apply_compaction(batch, compaction)
        } else if let Some(grant) = &request.lease_grant {
            self.apply_lease_grant(batch, grant)
        } else if let Some(revoke) = &request.lease_revoke {
            self.apply_lease_revoke(batch, revoke)
        } else if let Some(checkpoint) = &request.lease_checkpoint {
            Ok(self.apply_lease_checkpoint(batch, checkpoint))
        } else if let Some(alarm) = &request.alarm {
            self.apply_alarm(batch, alarm)
        } else if let Some(attributes) = &request.cluster_member_attr_set {
            Ok(self.apply_attributes(batch, attributes))
        } else if let Some(version) = &request.cluster_version_set {
            Ok(self.apply_cluster_version(batch, version))
        } else if let Some(downgrade) = &request.downgrade_info_set {
            Ok(self.apply_downgrade(batch, downgrade))
        } else if let Some(applied) = self.apply_auth(batch, request) {
            applied
        } else {
            // What no member understands changes nothing on any member.
            Ok(Reply::Done { revision: self.writer.revision() })
        }
    }

    fn apply_entry(
        &mut self,
        batch: &mut Batch,
        entry: &CommittedEntry,
    ) -> Result<Option<Applied<Outcome>>, Fatal> {
        match &entry.payload {
            CommittedPayload::Blank => Ok(None),
            CommittedPayload::Membership(change) => {
                self.apply_membership(batch, change)?;
                let outcome = Ok(Reply::Done { revision: self.writer.revision() });
                Ok(Some(Applied { request_id: change.change.id(), outcome }))
            }
            CommittedPayload::Command(request) => {
                let request_id = request.header.as_ref().map_or(request.id, |header| header.id);
                self.observer.begins();
                let outcome = match self.apply_request(batch, request) {
                    Ok(reply) => Ok(reply),
                    Err(Refusal::Answer(error)) => Err(error),
                    Err(Refusal::Fatal(fatal)) => return Err(fatal),
                };
                self.observer.applied(request, &outcome);
                Ok(Some(Applied { request_id, outcome }))
            }
        }
    }
}

impl Machine for Applier {
    type Outcome = Outcome;

    fn applied(&self) -> Option<AppliedState> {
        let mark = self.mark.clone()?;
        Some(AppliedState { mark, membership: self.membership.clone() })
    }

    fn apply(&mut self, entries: &[CommittedEntry]) -> Result<Vec<Applied<Outcome>>, Fatal> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let mut batch = Batch::applied(first.mark.clone());
        let mut outcomes = Vec::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            if position > 0 {
                batch.advance(entry.mark.clone());
            }
            outcomes.extend(self.apply_entry(&mut batch, entry)?);
        }
        self.mark = batch.mark().cloned();
        self.state.backend.write(batch).map_err(Fatal::new)?;
        let published = self.writer.publish();
        self.schedule(published.compactions);
        Ok(outcomes)
    }

    fn is_ready(&self) -> bool {
        self.state.backend.has_room()
    }

    fn durable(&self) -> watch::Receiver<Option<AppliedMark>> {
        self.state.backend.durable()
    }

    fn snapshot(&mut self) -> Result<SnapshotSource, Fatal> {
        let view = self.state.backend.view().map_err(Fatal::new)?;
        let mark = self.mark.clone().unwrap_or_default();
        let state = AppliedState { mark, membership: self.membership.clone() };
        Ok(SnapshotSource { state, write: Box::new(move |out| Image::new(view)?.write(out)) })
    }

    fn install(&mut self, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
        self.observer.installing(true);
        let installed = self.take_over(state, file);
        self.observer.installing(false);
        installed
    }
}

impl Applier {
    fn take_over(&mut self, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
        let backend = self.state.backend.clone();
        // Whoever still reads the old store is refused from here on, and its compactions touch nothing any more.
        self.state.store().retire();
        image::install(&backend, state, file)?;
        let Opened { store, writer, compaction } = Store::open(backend).map_err(Fatal::new)?;
        self.writer = writer;
        self.mark = Some(state.mark.clone());
        self.state.replace_store(store);
        self.load_rooms()?;
        self.membership = state.membership.clone();
        self.schedule(compaction);
        Ok(())
    }
}

/// etcd's own description of the membership, beside ours, so that a snapshot is complete for etcd.
pub(super) fn conf_state_row(membership: &Membership) -> String {
    let voters: Vec<u64> = membership.voters().collect();
    let learners: Vec<u64> = membership.learners().collect();
    let mut row = serde_json::Map::new();
    row.insert("voters".to_owned(), voters.into());
    if !learners.is_empty() {
        row.insert("learners".to_owned(), learners.into());
    }
    serde_json::Value::Object(row).to_string()
}

fn downgrade_from_json(json: &[u8]) -> Result<DowngradeInfo, String> {
    let row: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok(DowngradeInfo {
        enabled: row["enabled"].as_bool().unwrap_or_default(),
        target_version: row["target-version"].as_str().unwrap_or_default().to_owned(),
    })
}

fn for_each_row(
    backend: &Backend,
    keyspace: Keyspace,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), String>,
) -> Result<(), Fatal> {
    let mut damage = None;
    backend
        .scan(keyspace, &[], None, &mut |key, value| match visit(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => {
                let name = keyspace.name();
                damage = Some(Fatal::new(format_args!(
                    "row {} of {name} is damaged: {reason}",
                    key.escape_ascii()
                )));
                ControlFlow::Break(())
            }
        })
        .map_err(Fatal::new)?;
    damage.map_or(Ok(()), Err)
}
