//! Members and maintenance: status, hashes, alarms, defragmentation, leadership, snapshots, membership.

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, DowngradeOptions, Error, GetOptions,
    MemberAddOptions,
};
use sha2::{Digest, Sha256};

use crate::suite::{Outcome, Suite, ask, refused, text, until, want};

pub async fn run(suite: &Suite) {
    suite.check("maintenance/status", status(suite)).await;
    suite.check("maintenance/hash", hashes(suite)).await;
    suite.check("maintenance/alarm", alarms(suite)).await;
    suite.check("maintenance/defragment", defragment(suite)).await;
    suite.check("maintenance/leader", move_leader(suite)).await;
    suite.check("maintenance/downgrade", downgrade(suite)).await;
    suite.check("maintenance/snapshot", snapshot(suite)).await;
    suite.check("cluster/learner", learner(suite)).await;
    suite.check("cluster/endpoints", endpoints(suite)).await;
}

async fn status(suite: &Suite) -> Outcome {
    let found = suite.client.maintenance_client().status().await?;
    want("sizes", found.db_size() >= found.raft_used_db_size() && found.db_size() > 0, true)?;
    want("indexes", found.raft_index() >= found.raft_applied_index(), true)?;
    want("leader", found.leader() != 0 && found.raft_term() > 0, true)?;
    let downgrade = found.downgrade_info().map(|info| info.enabled());
    let (version, storage) = (found.version(), found.storage_version());
    let (quota, errors) = (found.db_size_quota(), found.errors());
    Ok(format!("{version} {storage} {quota} {errors:?} {} {downgrade:?}", found.is_learner()))
}

/// All members have the same keys at one revision.
async fn hashes(suite: &Suite) -> Outcome {
    suite.client.kv_client().put("hash", "1", None).await?;
    let revision = suite.revision().await?;
    let mut found = Vec::new();
    for url in &suite.arguments.endpoints {
        let client = suite.at(url).await?;
        // A linearizable read: the member has the revision.
        client.kv_client().get("hash", None).await?;
        let answer = client.maintenance_client().hash_kv(revision).await?;
        want("hash revision", answer.hash_revision(), revision)?;
        found.push((answer.hash(), answer.compact_version()));
        want("a hash", client.maintenance_client().hash().await?.hash() != 0, true)?;
    }
    found.dedup();
    let future = suite.client.maintenance_client().hash_kv(revision + 999).await;
    Ok(format!("{} {}", found.len(), refused(future)?))
}

async fn alarms(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    let member = etcd.member_list().await?.members()[0].id();
    let mut of_member = AlarmOptions::new();
    of_member.with_member(member);
    let kind = AlarmType::Corrupt;
    let raised = etcd.alarm(AlarmAction::Activate, kind, Some(of_member.clone())).await?;
    let listed = etcd.alarm(AlarmAction::Get, AlarmType::None, None).await?;
    want("member", listed.alarms()[0].member_id(), member)?;
    let refusal = refused(etcd.put("alarmed", "1", None).await)?;
    let gone = etcd.alarm(AlarmAction::Deactivate, kind, Some(of_member)).await?;
    etcd.put("alarmed", "2", None).await?;
    let none = etcd.alarm(AlarmAction::Get, AlarmType::None, None).await?.alarms().len();
    let kinds: Vec<_> = [&raised, &listed, &gone]
        .iter()
        .flat_map(|answer| answer.alarms().iter().map(|alarm| format!("{:?}", alarm.alarm())))
        .collect();
    Ok(format!("{kinds:?} {refusal} {none}"))
}

async fn defragment(suite: &Suite) -> Outcome {
    for url in &suite.arguments.endpoints {
        let answer = suite.at(url).await?.maintenance_client().defragment().await?;
        want("no header", answer.header().is_none(), true)?;
    }
    Ok("all".to_owned())
}

/// A client of the leader, and the id and URL of a member that does not lead.
async fn leader_and_other(suite: &Suite) -> Result<(Client, u64, String), Error> {
    let leader = suite.client.maintenance_client().status().await?.leader();
    let members = suite.client.cluster_client().member_list().await?;
    let find = |leads: bool| {
        let found = members.members().iter().find(|member| (member.id() == leader) == leads);
        found.map(|member| (member.id(), member.client_urls()[0].clone())).unwrap_or_default()
    };
    let (other, url) = find(false);
    Ok((suite.at(&find(true).1).await?, other, url))
}

async fn move_leader(suite: &Suite) -> Outcome {
    let (leading, other, url) = leader_and_other(suite).await?;
    let wrong = suite.at(&url).await?.maintenance_client().move_leader(other).await;
    leading.maintenance_client().move_leader(other).await?;
    until(async || Ok(leading.maintenance_client().status().await?.leader() == other)).await;
    suite.client.kv_client().put("moved", "1", None).await?;
    Ok(refused(wrong)?)
}

async fn downgrade(suite: &Suite) -> Outcome {
    let mut maintenance = suite.client.maintenance_client();
    let far = maintenance.downgrade(DowngradeOptions::Validate("3.4.0".into())).await;
    let bad = maintenance.downgrade(DowngradeOptions::Validate("no".into())).await;
    let good = maintenance.downgrade(DowngradeOptions::Validate("3.6.0".into())).await?;
    Ok(format!("{}; {}; {}", good.version(), refused(far)?, refused(bad)?))
}

async fn snapshot(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    etcd.put("snapshot", "kept", None).await?;
    let (mut stream, mut content) = (etcd.snapshot().await?, Vec::new());
    while let Some(part) = stream.message().await? {
        content.extend_from_slice(part.blob());
    }
    let (database, sum) = content.split_at(content.len().saturating_sub(32));
    want("checksum", Sha256::digest(database).as_slice() == sum, true)?;
    let path = format!("{}/snapshot.db", suite.arguments.folder);
    std::fs::write(&path, &content)?;
    let url = ask(&format!("restore {path}"))?;
    let mut restored = Client::connect([url], None).await?;
    let all = || Some(GetOptions::new().with_all_keys());
    let (ours, theirs) = (etcd.get("", all()).await?, restored.get("", all()).await?);
    want("all pairs", format!("{:?}", theirs.kvs()), format!("{:?}", ours.kvs()))?;
    Ok(text(restored.get("snapshot", None).await?.kvs()[0].value()))
}

async fn learner(suite: &Suite) -> Outcome {
    let mut etcd = suite.client.clone();
    // Members hold a cluster for unhealthy for seconds after a start.
    let id = loop {
        let options = Some(MemberAddOptions::new().with_is_learner());
        match etcd.member_add(["https://127.0.0.1:1"], options).await {
            Ok(answer) => break answer.member().map_or(0, |member| member.id()),
            Err(error) if error.to_string().contains("unhealthy cluster") => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let promoted = refused(etcd.member_promote(id).await)?;
    etcd.member_update(id, ["https://127.0.0.1:3".to_owned()]).await?;
    let list = etcd.member_list().await?;
    let found = list.members().iter().find(|member| member.id() == id).ok_or("not in the list")?;
    let urls = (found.peer_urls(), found.client_urls());
    let story = format!("{} {:?} {urls:?}", found.is_learner(), found.name());
    let removed = etcd.member_remove(id).await?.members().len();
    let none = refused(etcd.member_remove(id).await)?;
    let unknown = refused(etcd.member_update(4711, ["https://127.0.0.1:3".to_owned()]).await)?;
    Ok(format!("{promoted}; {story}; {removed}; {none}; {unknown}"))
}

/// Endpoints come and go under a client.
async fn endpoints(suite: &Suite) -> Outcome {
    let urls = &suite.arguments.endpoints;
    let mut client = suite.at(&urls[0]).await?;
    client.add_endpoint(&urls[1]).await?;
    client.put("endpoints", "1", None).await?;
    client.remove_endpoint(&urls[0]).await?;
    until(async || Ok(client.kv_client().get("endpoints", None).await?.count() == 1)).await;
    Ok("moved".to_owned())
}
