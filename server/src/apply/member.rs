//! Membership changes, member attributes, cluster version, downgrade state and alarms: entries that touch no key.

use super::applier::{Applier, Refusal};
use super::outcome::Reply;
use crate::alarm;
use crate::cluster::{ConfChangeContext, DowngradeInfo, Member, member_row_key};
use crate::raft::{Fatal, MembershipChange};
use crate::storage::{Batch, Keyspace};
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};
use quorate_proto::membershippb::{
    ClusterMemberAttrSetRequest, ClusterVersionSetRequest, DowngradeInfoSetRequest,
};
use quorate_proto::raftpb::ConfChangeType;

/// Row of `meta` that holds openraft's membership; etcd's readers pass over it.
pub(super) const MEMBERSHIP_ROW: &[u8] = b"quorate_membership";

impl Applier {
    /// Puts a change of the membership into the rows of `members` and into the cluster's view.
    pub(super) fn apply_membership(
        &mut self,
        batch: &mut Batch,
        change: &MembershipChange,
    ) -> Result<(), Fatal> {
        let id = change.change.node_id();
        let cluster = self.state.cluster.clone();
        let conf_state = super::applier::conf_state_row(&change.after.membership);
        batch.put(Keyspace::Meta, MEMBERSHIP_ROW, change.after.encode());
        batch.put(Keyspace::Meta, &b"confState"[..], conf_state);
        self.membership = change.after.clone();
        if change.change.r#type() == ConfChangeType::ConfChangeRemoveNode {
            cluster.remove_member(id);
            batch.delete(Keyspace::Members, member_row_key(id));
            batch.put(Keyspace::MembersRemoved, member_row_key(id), &b"removed"[..]);
            return Ok(());
        }
        let mut member = match change.change.context() {
            [] => Member::default(),
            json => {
                let context: ConfChangeContext = serde_json::from_slice(json).map_err(|error| {
                    Fatal::new(format_args!(
                        "configuration change of member {id:x} is damaged: {error}"
                    ))
                })?;
                context.member
            }
        };
        member.id = id;
        if let Some(known) = cluster.member(id) {
            member.name = known.name.clone();
            member.client_urls = known.client_urls.clone();
        }
        if let Some(peer) = change.after.membership.members.get(&id) {
            member.peer_urls = peer.peer_urls.clone();
            member.is_learner = peer.is_learner;
        }
        self.put_member(batch, member);
        Ok(())
    }

    fn put_member(&self, batch: &mut Batch, member: Member) {
        batch.put(Keyspace::Members, member_row_key(member.id), member.to_json());
        self.state.cluster.put_member(member);
    }

    pub(super) fn apply_attributes(
        &mut self,
        batch: &mut Batch,
        request: &ClusterMemberAttrSetRequest,
    ) -> Reply {
        let attributes = request.member_attributes.clone().unwrap_or_default();
        // A member that was removed meanwhile stays removed.
        if let Some(known) = self.state.cluster.member(request.member_id) {
            let mut member = Member::clone(&known);
            member.name = attributes.name;
            member.client_urls = attributes.client_urls;
            self.put_member(batch, member);
        }
        Reply::Done { revision: self.writer.revision() }
    }

    pub(super) fn apply_cluster_version(
        &mut self,
        batch: &mut Batch,
        request: &ClusterVersionSetRequest,
    ) -> Reply {
        batch.put(Keyspace::Cluster, &b"clusterVersion"[..], request.ver.clone());
        self.state.cluster.set_version(request.ver.clone());
        Reply::Done { revision: self.writer.revision() }
    }

    pub(super) fn apply_downgrade(
        &mut self,
        batch: &mut Batch,
        request: &DowngradeInfoSetRequest,
    ) -> Reply {
        let info = DowngradeInfo { enabled: request.enabled, target_version: request.ver.clone() };
        let row =
            serde_json::json!({ "target-version": info.target_version, "enabled": info.enabled });
        batch.put(Keyspace::Cluster, &b"downgrade"[..], row.to_string());
        self.state.cluster.set_downgrade(info);
        Reply::Done { revision: self.writer.revision() }
    }

    pub(super) fn apply_alarm(
        &mut self,
        batch: &mut Batch,
        request: &AlarmRequest,
    ) -> Result<Reply, Refusal> {
        let alarms = self.state.alarms.clone();
        let alarm = AlarmMember { member_id: request.member_id, alarm: request.alarm };
        let kind = request.alarm();
        let listed = match request.action() {
            AlarmAction::Get => alarms.list(kind),
            AlarmAction::Activate if kind == AlarmType::None => Vec::new(),
            AlarmAction::Activate => {
                if alarms.activate(alarm) {
                    batch.put(Keyspace::Alarm, alarm::row_key(alarm), bytes::Bytes::new());
                }
                vec![alarm]
            }
            AlarmAction::Deactivate if alarms.deactivate(alarm) => {
                batch.delete(Keyspace::Alarm, alarm::row_key(alarm));
                vec![alarm]
            }
            AlarmAction::Deactivate => Vec::new(),
        };
        Ok(Reply::Alarm { revision: self.writer.revision(), alarms: listed })
    }
}
