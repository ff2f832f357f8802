//! The fields format: one `"Name" : value` per line, strings quoted as Go quotes them.

use super::answer::{Answer, EndpointHash, EndpointHealth, EndpointStatus};
use crate::go::{format_duration, quote};
use crate::terminal::print_text;
use quorate_client::proto::authpb::{Permission, permission};
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::mvccpb::{KeyValue, event};
use std::fmt::{Display, Write};

/// Prints an answer; `None` if it has no such form.
pub(super) fn print(answer: &Answer, hex: bool) -> Option<()> {
    let mut lines = Lines { out: String::new(), hex };
    match answer {
        Answer::Get { response, .. } => lines.range(response),
        Answer::Put(response) => lines.put(response),
        Answer::Del(response) => lines.delete(response),
        Answer::Txn(response) => lines.txn(response),
        Answer::Watch(response) => lines.watch(response),
        Answer::LeaseGrant(_)
        | Answer::LeaseKeepAlive(_)
        | Answer::LeaseTimeToLive { .. }
        | Answer::LeaseList(_) => lines.lease(answer),
        Answer::LeaseRevoke { response, .. } => lines.header(response.header.as_ref()),
        Answer::Alarm(response) => lines.alarm(response),
        Answer::MemberList(response) => lines.members(response),
        Answer::Health(list) => list.iter().for_each(|item| lines.health(item)),
        Answer::Status(list) => list.iter().for_each(|item| lines.status(item)),
        Answer::HashKv(list) => list.iter().for_each(|item| lines.hash(item)),
        Answer::MoveLeader { response, .. } => lines.header(response.header.as_ref()),
        Answer::Done { header, .. } => lines.header(header.as_ref()),
        Answer::RoleGet { response, .. } => {
            lines.header(response.header.as_ref());
            response.perm.iter().for_each(|item| lines.permission(item));
        }
        Answer::RoleList(response) => lines.roles(response),
        Answer::Plain { fields, .. } => {
            fields.iter().for_each(|(name, value)| lines.add(name, value));
        }
        Answer::SnapshotStatus(status) => {
            lines.add("Hash", status.hash);
            lines.add("Revision", status.revision);
            lines.add("Keys", status.live_keys);
            lines.add("Size", status.size);
            lines.add("Version", &status.version);
        }
        Answer::FileHash(hash) => {
            lines.add("Hash", hash.hash);
            lines.add("Hash revision", hash.hash_revision);
            lines.add("Compact revision", hash.compact_revision);
        }
        Answer::MemberAdd(_)
        | Answer::MemberRemove { .. }
        | Answer::MemberUpdate { .. }
        | Answer::MemberPromote { .. }
        | Answer::Downgrade { .. }
        | Answer::AuthStatus(_)
        | Answer::UserGet { .. }
        | Answer::UserList(_) => return None,
    }
    print_text(lines.out);
    Some(())
}

struct Lines {
    out: String,
    hex: bool,
}

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.out, "\"{name}\" : {value}");
    }

    fn add_quoted(&mut self, name: &str, value: &[u8]) {
        self.add(name, quote(value));
    }

    fn id(&self, id: u64) -> String {
        if self.hex { format!("{id:x}") } else { id.to_string() }
    }

    fn header(&mut self, header: Option<&pb::ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.add("ClusterID", self.id(header.cluster_id));
        self.add("MemberID", self.id(header.member_id));
        // Answers of the Cluster service have none.
        if header.revision > 0 {
            self.add("Revision", header.revision);
        }
        self.add("RaftTerm", header.raft_term);
    }

    fn key_value(&mut self, prefix: &str, kv: &KeyValue) {
        self.add_quoted(&format!("{prefix}Key"), &kv.key);
        self.add(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.add(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.add(&format!("{prefix}Version"), kv.version);
        self.add_quoted(&format!("{prefix}Value"), &kv.value);
        if self.hex {
            self.add(&format!("{prefix}Lease"), format!("{:016x}", kv.lease));
        } else {
            self.add(&format!("{prefix}Lease"), kv.lease);
        }
    }

    fn range(&mut self, response: &pb::RangeResponse) {
        self.header(response.header.as_ref());
        response.kvs.iter().for_each(|kv| self.key_value("", kv));
        self.add("More", response.more);
        self.add("Count", response.count);
    }

    fn put(&mut self, response: &pb::PutResponse) {
        self.header(response.header.as_ref());
        if let Some(kv) = &response.prev_kv {
            self.key_value("Prev", kv);
        }
    }

    fn delete(&mut self, response: &pb::DeleteRangeResponse) {
        self.header(response.header.as_ref());
        self.add("Deleted", response.deleted);
        response.prev_kvs.iter().for_each(|kv| self.key_value("Prev", kv));
    }

    fn txn(&mut self, response: &pb::TxnResponse) {
        use pb::response_op::Response;
        self.header(response.header.as_ref());
        self.add("Succeeded", response.succeeded);
        for op in &response.responses {
            match &op.response {
                Some(Response::ResponseRange(inner)) => self.range(inner),
                Some(Response::ResponsePut(inner)) => self.put(inner),
                Some(Response::ResponseDeleteRange(inner)) => self.delete(inner),
                Some(Response::ResponseTxn(inner)) => self.txn(inner),
                None => self.add_quoted("Unknown", b""),
            }
        }
    }

    fn watch(&mut self, response: &pb::WatchResponse) {
        self.header(response.header.as_ref());
        for event in &response.events {
            let kind = event::EventType::try_from(event.r#type).unwrap_or_default();
            self.add("Type", kind.as_str_name());
            if let Some(kv) = &event.prev_kv {
                self.key_value("Prev", kv);
            }
            if let Some(kv) = &event.kv {
                self.key_value("", kv);
            }
        }
    }

    fn lease(&mut self, answer: &Answer) {
        match answer {
            Answer::LeaseGrant(response) => {
                self.header(response.header.as_ref());
                self.lease_id(response.id);
                self.add("TTL", response.ttl);
            }
            Answer::LeaseKeepAlive(response) => {
                self.header(response.header.as_ref());
                self.lease_id(response.id);
                self.add("TTL", response.ttl);
            }
            Answer::LeaseTimeToLive { response, .. } => {
                self.header(response.header.as_ref());
                self.lease_id(response.id);
                self.add("TTL", response.ttl);
                self.add("GrantedTTL", response.granted_ttl);
                response.keys.iter().for_each(|key| self.add_quoted("Key", key));
            }
            Answer::LeaseList(response) => {
                self.header(response.header.as_ref());
                response.leases.iter().for_each(|lease| self.lease_id(lease.id));
            }
            _ => {}
        }
    }

    fn lease_id(&mut self, id: i64) {
        if self.hex { self.add("ID", format!("{id:016x}")) } else { self.add("ID", id) }
    }

    fn alarm(&mut self, response: &pb::AlarmResponse) {
        self.header(response.header.as_ref());
        for alarm in &response.alarms {
            let kind = pb::AlarmType::try_from(alarm.alarm).unwrap_or_default();
            self.add("MemberID", self.id(alarm.member_id));
            self.add("AlarmType", kind.as_str_name());
            self.out.push('\n');
        }
    }

    fn members(&mut self, response: &pb::MemberListResponse) {
        self.header(response.header.as_ref());
        for member in &response.members {
            self.add("ID", self.id(member.id));
            self.add_quoted("Name", member.name.as_bytes());
            for url in &member.peer_ur_ls {
                self.add_quoted("PeerURL", url.as_bytes());
            }
            for url in &member.client_ur_ls {
                self.add_quoted("ClientURL", url.as_bytes());
            }
            self.add("IsLearner", member.is_learner);
            self.out.push('\n');
        }
    }

    fn health(&mut self, item: &EndpointHealth) {
        self.add_quoted("Endpoint", item.endpoint.as_bytes());
        self.add("Health", item.is_healthy);
        self.add("Took", format_duration(item.took));
        self.add("Error", &item.error);
        self.out.push('\n');
    }

    fn status(&mut self, item: &EndpointStatus) {
        let status = &item.response;
        self.header(status.header.as_ref());
        self.add_quoted("Version", status.version.as_bytes());
        self.add_quoted("StorageVersion", status.storage_version.as_bytes());
        self.add("DBSize", status.db_size);
        self.add("DBSizeInUse", status.db_size_in_use);
        self.add("DBSizeQuota", status.db_size_quota);
        self.add("Leader", status.leader);
        self.add("IsLearner", status.is_learner);
        self.add("RaftIndex", status.raft_index);
        // A second time after the header, in 3.7.1.
        self.add("RaftTerm", status.raft_term);
        self.add("RaftAppliedIndex", status.raft_applied_index);
        let errors: Vec<String> = status.errors.iter().map(|e| quote(e.as_bytes())).collect();
        self.add("Errors", format!("[{}]", errors.join(" ")));
        self.add_quoted("Endpoint", item.endpoint.as_bytes());
        let downgrade = status.downgrade_info.clone().unwrap_or_default();
        self.add_quoted("DowngradeTargetVersion", downgrade.target_version.as_bytes());
        self.add("DowngradeEnabled", downgrade.enabled);
        self.out.push('\n');
    }

    fn hash(&mut self, item: &EndpointHash) {
        self.header(item.response.header.as_ref());
        self.add_quoted("Endpoint", item.endpoint.as_bytes());
        self.add("Hash", item.response.hash);
        self.add("HashRevision", item.response.hash_revision);
        self.out.push('\n');
    }

    fn permission(&mut self, item: &Permission) {
        let kind = permission::Type::try_from(item.perm_type).unwrap_or_default();
        // Two spaces: so etcdctl has it.
        self.add("PermType", format!(" {}", kind.as_str_name()));
        self.add_quoted("Key", &item.key);
        self.add_quoted("RangeEnd", &item.range_end);
    }

    fn roles(&mut self, response: &pb::AuthRoleListResponse) {
        self.header(response.header.as_ref());
        let names: Vec<String> = response.roles.iter().map(|r| quote(r.as_bytes())).collect();
        self.add("Roles", names.join(" "));
    }
}
