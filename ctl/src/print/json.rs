//! The json format: one line, the messages as Go's struct encoding writes them, not as the gateway does
//! (`etcd:etcdctl/ctlv3/command/printer.go`).

use super::answer::{Answer, EndpointHash, EndpointHealth, EndpointStatus};
use super::json_object::{Object, bytes, list, string};
use crate::terminal::print_line;
use quorate_client::proto::authpb::Permission;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::mvccpb::{Event, KeyValue};

/// Prints an answer.
pub(super) fn print(answer: &Answer, hex: bool) -> Option<()> {
    print_line(encode(answer, hex));
    Some(())
}

fn encode(answer: &Answer, hex: bool) -> String {
    match answer {
        Answer::Get { response, .. } => range(response),
        Answer::Put(response) => put(response),
        Answer::Del(response) => delete(response),
        Answer::Txn(response) => txn(response),
        Answer::Watch(response) => watch(response),
        Answer::LeaseGrant(_)
        | Answer::LeaseKeepAlive(_)
        | Answer::LeaseTimeToLive { .. }
        | Answer::LeaseList(_) => lease(answer),
        Answer::LeaseRevoke { response, .. } => only_header(response.header.as_ref()),
        Answer::Alarm(response) => alarm(response),
        Answer::MemberAdd(response) => {
            let object = headed(response.header.as_ref(), hex);
            let object =
                object.optional("member", response.member.as_ref().map(|m| member(m, hex)));
            object.list("members", members(&response.members, hex)).finish()
        }
        Answer::MemberRemove { response, .. } => {
            member_change(response.header.as_ref(), &response.members, hex)
        }
        Answer::MemberUpdate { response, .. } => {
            member_change(response.header.as_ref(), &response.members, hex)
        }
        Answer::MemberPromote { response, .. } => {
            member_change(response.header.as_ref(), &response.members, hex)
        }
        Answer::MemberList(response) => {
            member_change(response.header.as_ref(), &response.members, hex)
        }
        Answer::Health(items) => list_or_null(items.iter().map(health)),
        Answer::Status(items) => list_or_null(items.iter().map(status)),
        Answer::HashKv(items) => list_or_null(items.iter().map(hash)),
        Answer::MoveLeader { response, .. } => only_header(response.header.as_ref()),
        Answer::Downgrade { response, .. } => {
            headed(response.header.as_ref(), false).text("version", &response.version).finish()
        }
        Answer::AuthStatus(response) => headed(response.header.as_ref(), false)
            .flag("enabled", response.enabled)
            .number("authRevision", response.auth_revision)
            .finish(),
        Answer::Done { header, .. } => only_header(header.as_ref()),
        Answer::UserGet { response, .. } => {
            names(response.header.as_ref(), "roles", &response.roles)
        }
        Answer::UserList(response) => names(response.header.as_ref(), "users", &response.users),
        Answer::RoleList(response) => names(response.header.as_ref(), "roles", &response.roles),
        Answer::Plain { fields, .. } => {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Answer::SnapshotStatus(status) => Object::new()
            .always_plain("hash", status.hash)
            .always_plain("revision", status.revision)
            .always_plain("totalKey", status.live_keys)
            .always_plain("totalSize", status.size)
            .always_text("version", &status.version)
            .finish(),
        Answer::FileHash(hash) => Object::new()
            .always_plain("hash", hash.hash)
            .always_plain("hashRevision", hash.hash_revision)
            .always_plain("compactRevision", hash.compact_revision)
            .finish(),
        Answer::RoleGet { response, .. } => headed(response.header.as_ref(), false)
            .list("perm", response.perm.iter().map(permission))
            .finish(),
    }
}

/// An object that starts with the header's fields.
fn header_fields(header: &pb::ResponseHeader, hex: bool) -> Object {
    let object = Object::new();
    let object = if hex {
        object
            .always_text("cluster_id", &format!("{:x}", header.cluster_id))
            .always_text("member_id", &format!("{:x}", header.member_id))
    } else {
        object.number("cluster_id", header.cluster_id).number("member_id", header.member_id)
    };
    object.number("revision", header.revision).number("raft_term", header.raft_term)
}

/// An object that starts with field `header`.
fn headed(header: Option<&pb::ResponseHeader>, hex: bool) -> Object {
    Object::new().optional("header", header.map(|header| header_fields(header, hex).finish()))
}

fn only_header(header: Option<&pb::ResponseHeader>) -> String {
    headed(header, false).finish()
}

fn names(header: Option<&pb::ResponseHeader>, field: &str, names: &[String]) -> String {
    headed(header, false).list(field, names.iter().map(|name| string(name))).finish()
}

/// Go writes a list that was never appended to as null.
fn list_or_null(items: impl Iterator<Item = String>) -> String {
    let text = list(items);
    if text == "[]" { "null".to_owned() } else { text }
}

fn key_value(kv: &KeyValue) -> String {
    Object::new()
        .bytes("key", &kv.key)
        .number("create_revision", kv.create_revision)
        .number("mod_revision", kv.mod_revision)
        .number("version", kv.version)
        .bytes("value", &kv.value)
        .number("lease", kv.lease)
        .finish()
}

fn range(response: &pb::RangeResponse) -> String {
    headed(response.header.as_ref(), false)
        .list("kvs", response.kvs.iter().map(key_value))
        .flag("more", response.more)
        .number("count", response.count)
        .finish()
}

fn put(response: &pb::PutResponse) -> String {
    headed(response.header.as_ref(), false)
        .optional("prev_kv", response.prev_kv.as_ref().map(key_value))
        .finish()
}

fn delete(response: &pb::DeleteRangeResponse) -> String {
    headed(response.header.as_ref(), false)
        .number("deleted", response.deleted)
        .list("prev_kvs", response.prev_kvs.iter().map(key_value))
        .finish()
}

fn txn(response: &pb::TxnResponse) -> String {
    headed(response.header.as_ref(), false)
        .flag("succeeded", response.succeeded)
        .list("responses", response.responses.iter().map(txn_part))
        .finish()
}

/// Go's encoder shows the union's wrapper as a field `Response`.
fn txn_part(op: &pb::ResponseOp) -> String {
    use pb::response_op::Response;
    let inside = match &op.response {
        Some(Response::ResponseRange(r)) => Object::new().raw("response_range", &range(r)),
        Some(Response::ResponsePut(r)) => Object::new().raw("response_put", &put(r)),
        Some(Response::ResponseDeleteRange(r)) => {
            Object::new().raw("response_delete_range", &delete(r))
        }
        Some(Response::ResponseTxn(r)) => Object::new().raw("response_txn", &txn(r)),
        None => return r#"{"Response":null}"#.to_owned(),
    };
    Object::new().raw("Response", &inside.finish()).finish()
}

fn watch(response: &pb::WatchResponse) -> String {
    let header = header_fields(&response.header.unwrap_or_default(), false).finish();
    let events =
        if response.canceled { "null".to_owned() } else { list(response.events.iter().map(event)) };
    Object::new()
        .raw("Header", &header)
        .raw("Events", &events)
        .always_plain("CompactRevision", response.compact_revision)
        .always_plain("Canceled", response.canceled)
        .always_plain("Created", response.created)
        // The Go client keeps the reason in a private field.
        .always_text("CancelReason", "")
        .finish()
}

fn event(event: &Event) -> String {
    Object::new()
        .number("type", event.r#type)
        .optional("kv", event.kv.as_ref().map(key_value))
        .optional("prev_kv", event.prev_kv.as_ref().map(key_value))
        .finish()
}

/// The Go client's lease answers carry the header's fields themselves.
fn lease(answer: &Answer) -> String {
    let start = |header: &Option<pb::ResponseHeader>| match header {
        Some(header) => header_fields(header, false),
        None => Object::new(),
    };
    match answer {
        Answer::LeaseGrant(response) => start(&response.header)
            .always_plain("ID", response.id)
            .always_plain("TTL", response.ttl)
            .always_text("Error", &response.error)
            .finish(),
        Answer::LeaseKeepAlive(response) => start(&response.header)
            .always_plain("ID", response.id)
            .always_plain("TTL", response.ttl)
            .finish(),
        Answer::LeaseTimeToLive { response, .. } => start(&response.header)
            .always_plain("id", response.id)
            .always_plain("ttl", response.ttl)
            .always_plain("granted-ttl", response.granted_ttl)
            .raw("keys", &list_or_null(response.keys.iter().map(|key| bytes(key))))
            .finish(),
        Answer::LeaseList(response) => {
            let item =
                |lease: &pb::LeaseStatus| Object::new().always_plain("id", lease.id).finish();
            start(&response.header).raw("leases", &list(response.leases.iter().map(item))).finish()
        }
        _ => String::new(),
    }
}

fn alarm(response: &pb::AlarmResponse) -> String {
    let item = |alarm: &pb::AlarmMember| {
        Object::new().number("memberID", alarm.member_id).number("alarm", alarm.alarm).finish()
    };
    headed(response.header.as_ref(), false)
        .list("alarms", response.alarms.iter().map(item))
        .finish()
}

fn member(member: &pb::Member, hex: bool) -> String {
    let object = if hex {
        Object::new().always_text("ID", &format!("{:x}", member.id))
    } else {
        Object::new().number("ID", member.id)
    };
    object
        .text("name", &member.name)
        .list("peerURLs", member.peer_ur_ls.iter().map(|url| string(url)))
        .list("clientURLs", member.client_ur_ls.iter().map(|url| string(url)))
        .flag("isLearner", member.is_learner)
        .finish()
}

fn members(members: &[pb::Member], hex: bool) -> Vec<String> {
    members.iter().map(|item| member(item, hex)).collect()
}

fn member_change(header: Option<&pb::ResponseHeader>, list: &[pb::Member], hex: bool) -> String {
    headed(header, hex).list("members", members(list, hex)).finish()
}

fn health(item: &EndpointHealth) -> String {
    Object::new()
        .always_text("endpoint", &item.endpoint)
        .always_plain("health", item.is_healthy)
        .always_text("took", &crate::go::format_duration(item.took))
        .text("error", &item.error)
        .finish()
}

fn status(item: &EndpointStatus) -> String {
    let status = &item.response;
    let downgrade = status.downgrade_info.as_ref().map(|info| {
        Object::new()
            .flag("enabled", info.enabled)
            .text("targetVersion", &info.target_version)
            .finish()
    });
    let inside = headed(status.header.as_ref(), false)
        .text("version", &status.version)
        .number("dbSize", status.db_size)
        .number("leader", status.leader)
        .number("raftIndex", status.raft_index)
        .number("raftTerm", status.raft_term)
        .number("raftAppliedIndex", status.raft_applied_index)
        .list("errors", status.errors.iter().map(|error| string(error)))
        .number("dbSizeInUse", status.db_size_in_use)
        .flag("isLearner", status.is_learner)
        .text("storageVersion", &status.storage_version)
        .number("dbSizeQuota", status.db_size_quota)
        .optional("downgradeInfo", downgrade)
        .finish();
    Object::new().always_text("Endpoint", &item.endpoint).raw("Status", &inside).finish()
}

fn hash(item: &EndpointHash) -> String {
    let hash = &item.response;
    let inside = headed(hash.header.as_ref(), false)
        .number("hash", hash.hash)
        .number("compact_revision", hash.compact_revision)
        .number("hash_revision", hash.hash_revision)
        .finish();
    Object::new().always_text("Endpoint", &item.endpoint).raw("HashKV", &inside).finish()
}

fn permission(permission: &Permission) -> String {
    Object::new()
        .number("permType", permission.perm_type)
        .bytes("key", &permission.key)
        .bytes("range_end", &permission.range_end)
        .finish()
}
