//! The simple format: lines for people and for `cut`.

use super::answer::{
    Answer, EndpointHealth, file_hash_row, hash_rows, member_rows, snapshot_row, status_rows,
};
use crate::go::format_duration;
use crate::terminal::{complain, print_bytes};
use quorate_client::proto::authpb::{Permission, permission};
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::mvccpb::{KeyValue, event};

/// Prints an answer; every answer has a simple form.
pub(super) fn print(answer: &Answer, hex: bool) -> Option<()> {
    let mut lines = Lines { out: Vec::new(), hex };
    match answer {
        Answer::Get { response, value_only } => lines.range(response, *value_only),
        Answer::Put(response) => lines.put(response),
        Answer::Del(response) => lines.delete(response),
        Answer::Txn(response) => lines.txn(response),
        Answer::Watch(response) => lines.watch(response),
        Answer::LeaseGrant(_)
        | Answer::LeaseRevoke { .. }
        | Answer::LeaseKeepAlive(_)
        | Answer::LeaseTimeToLive { .. }
        | Answer::LeaseList(_) => lines.lease(answer),
        Answer::Alarm(response) => response.alarms.iter().for_each(|alarm| lines.alarm(alarm)),
        Answer::MemberAdd(response) => lines.member_add(response),
        Answer::MemberRemove { id, response } => {
            lines.member_change(*id, "removed from", response.header.as_ref());
        }
        Answer::MemberUpdate { id, response } => {
            lines.member_change(*id, "updated in", response.header.as_ref());
        }
        Answer::MemberPromote { id, response } => {
            lines.member_change(*id, "promoted in", response.header.as_ref());
        }
        Answer::MemberList(response) => lines.rows(&member_rows(response)),
        Answer::Health(list) => list.iter().for_each(health),
        Answer::Status(list) => lines.rows(&status_rows(list)),
        Answer::HashKv(list) => lines.rows(&hash_rows(list)),
        Answer::MoveLeader { from, to, .. } => {
            lines.line(format!("Leadership transferred from {from:x} to {to:x}"));
        }
        Answer::Downgrade { verb, response } => {
            lines.line(format!("Downgrade {verb} success, cluster version {}", response.version))
        }
        Answer::AuthStatus(response) => {
            lines.line(format!("Authentication Status: {}", response.enabled));
            lines.line(format!("AuthRevision: {}", response.auth_revision));
        }
        Answer::Done { line, .. } => lines.line(line),
        Answer::UserGet { name, response } => {
            lines.line(format!("User: {name}"));
            // The list is followed by nothing, preceded by a space for each name.
            let roles: String = response.roles.iter().map(|role| format!(" {role}")).collect();
            lines.line(format!("Roles:{roles}"));
        }
        Answer::UserList(response) => response.users.iter().for_each(|user| lines.line(user)),
        Answer::RoleList(response) => response.roles.iter().for_each(|role| lines.line(role)),
        Answer::RoleGet { name, response } => lines.role(name, response),
        Answer::Plain { lines: text, .. } => text.iter().for_each(|line| lines.line(line)),
        Answer::SnapshotStatus(status) => lines.rows(&[snapshot_row(status)]),
        Answer::FileHash(hash) => lines.rows(&[file_hash_row(hash)]),
    }
    print_bytes(&lines.out);
    Some(())
}

struct Lines {
    out: Vec<u8>,
    hex: bool,
}

impl Lines {
    fn line(&mut self, text: impl AsRef<[u8]>) {
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'\n');
    }

    /// Bytes as they are, or each as `\xNN`.
    fn bytes(&mut self, bytes: &[u8]) {
        if self.hex {
            let text: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            self.line(text);
        } else {
            self.line(bytes);
        }
    }

    fn key_value(&mut self, kv: &KeyValue) {
        self.bytes(&kv.key);
        self.bytes(&kv.value);
    }

    fn range(&mut self, response: &pb::RangeResponse, value_only: bool) {
        for kv in &response.kvs {
            if value_only { self.bytes(&kv.value) } else { self.key_value(kv) }
        }
    }

    fn put(&mut self, response: &pb::PutResponse) {
        self.line("OK");
        if let Some(kv) = &response.prev_kv {
            self.key_value(kv);
        }
    }

    fn delete(&mut self, response: &pb::DeleteRangeResponse) {
        self.line(response.deleted.to_string());
        response.prev_kvs.iter().for_each(|kv| self.key_value(kv));
    }

    fn txn(&mut self, response: &pb::TxnResponse) {
        use pb::response_op::Response;
        self.line(if response.succeeded { "SUCCESS" } else { "FAILURE" });
        for op in &response.responses {
            self.line("");
            match &op.response {
                Some(Response::ResponseRange(inner)) => self.range(inner, false),
                Some(Response::ResponsePut(inner)) => self.put(inner),
                Some(Response::ResponseDeleteRange(inner)) => self.delete(inner),
                Some(Response::ResponseTxn(inner)) => self.txn(inner),
                None => self.line("unexpected response in a transaction"),
            }
        }
    }

    fn watch(&mut self, response: &pb::WatchResponse) {
        if response.events.is_empty() && !response.canceled {
            let revision = response.header.unwrap_or_default().revision;
            self.line(format!("progress notify: {revision}"));
        }
        for event in &response.events {
            let kind = event::EventType::try_from(event.r#type).unwrap_or_default();
            self.line(kind.as_str_name());
            if let Some(kv) = &event.prev_kv {
                self.key_value(kv);
            }
            if let Some(kv) = &event.kv {
                self.key_value(kv);
            }
        }
    }

    fn lease(&mut self, answer: &Answer) {
        match answer {
            Answer::LeaseGrant(response) => {
                self.line(format!("lease {:016x} granted with TTL({}s)", response.id, response.ttl))
            }
            Answer::LeaseRevoke { id, .. } => self.line(format!("lease {id:016x} revoked")),
            Answer::LeaseKeepAlive(response) => self
                .line(format!("lease {:016x} keepalived with TTL({})", response.id, response.ttl)),
            Answer::LeaseTimeToLive { keys, response } => self.time_to_live(*keys, response),
            Answer::LeaseList(response) => {
                self.line(format!("found {} leases", response.leases.len()));
                for lease in &response.leases {
                    self.line(format!("{:016x}", lease.id));
                }
            }
            _ => {}
        }
    }

    fn time_to_live(&mut self, keys: bool, response: &pb::LeaseTimeToLiveResponse) {
        if response.granted_ttl == 0 && response.ttl == -1 {
            self.line(format!("lease {:016x} already expired", response.id));
            return;
        }
        let mut text = format!(
            "lease {:016x} granted with TTL({}s), remaining({}s)",
            response.id, response.granted_ttl, response.ttl
        )
        .into_bytes();
        if keys {
            text.extend_from_slice(b", attached keys([");
            text.extend_from_slice(&response.keys.join(&b' '));
            text.extend_from_slice(b"])");
        }
        self.line(text);
    }

    fn alarm(&mut self, alarm: &pb::AlarmMember) {
        let kind = pb::AlarmType::try_from(alarm.alarm).unwrap_or_default();
        // Go's text form of the message: zero fields are left out, each field is followed by a space.
        let mut text = String::new();
        if alarm.member_id != 0 {
            text.push_str(&format!("memberID:{} ", alarm.member_id));
        }
        if alarm.alarm != 0 {
            text.push_str(&format!("alarm:{} ", kind.as_str_name()));
        }
        self.line(text);
    }

    fn member_add(&mut self, response: &pb::MemberAddResponse) {
        let member = response.member.clone().unwrap_or_default();
        let role = if member.is_learner { "as learner to" } else { "to" };
        let cluster = response.header.unwrap_or_default().cluster_id;
        self.line(format!("Member {:>16x} added {role} cluster {cluster:>16x}", member.id));
    }

    fn member_change(&mut self, id: u64, verb: &str, header: Option<&pb::ResponseHeader>) {
        let cluster = header.copied().unwrap_or_default().cluster_id;
        self.line(format!("Member {id:>16x} {verb} cluster {cluster:>16x}"));
    }

    fn rows(&mut self, rows: &[Vec<String>]) {
        rows.iter().for_each(|row| self.line(row.join(", ")));
    }

    fn role(&mut self, name: &str, response: &pb::AuthRoleGetResponse) {
        self.line(format!("Role {name}"));
        let kinds = [("KV Read:", permission::Type::Read), ("KV Write:", permission::Type::Write)];
        for (title, kind) in kinds {
            self.line(title);
            for item in &response.perm {
                let has = permission::Type::try_from(item.perm_type).unwrap_or_default();
                if has == kind || has == permission::Type::Readwrite {
                    self.permission(item);
                }
            }
        }
    }

    fn permission(&mut self, item: &Permission) {
        let mut text = b"\t".to_vec();
        if item.range_end.is_empty() {
            text.extend_from_slice(&item.key);
        } else {
            text.extend_from_slice(&interval(&item.key, &item.range_end));
            if quorate_client::prefix_end(&item.key) == item.range_end && !item.key.is_empty() {
                text.extend_from_slice(b" (prefix ");
                text.extend_from_slice(&item.key);
                text.extend_from_slice(b")");
            }
        }
        self.line(text);
    }
}

/// `[a, b)`, or `[a, <open ended>` to the end of the key space.
pub fn interval(key: &[u8], range_end: &[u8]) -> Vec<u8> {
    let end: Vec<u8> =
        if range_end == b"\0" { b"<open ended>".to_vec() } else { [range_end, b")"].concat() };
    [b"[", key, b", ", &end].concat()
}

/// Healthy endpoints go to stdout, the others to stderr.
fn health(item: &EndpointHealth) {
    if item.is_healthy {
        let took = format_duration(item.took);
        let text = "is healthy: successfully committed proposal: took =";
        crate::terminal::print_line(format!("{} {text} {took}", item.endpoint));
    } else {
        let text = "is unhealthy: failed to commit proposal:";
        complain(format!("{} {text} {}", item.endpoint, item.error));
    }
}
