//! A member protects itself and the cluster: damaged data is found, space comes back without an operator, floods of
//! large answers are held, learners are promoted, downgrades are answered as by etcd.

use super::stage::{Caller, PATIENCE, SERVER, lone, ours, start, until};
use bytes::Bytes;
use quorate_proto::etcdserverpb as pb;
use quorate_proto::mvccpb::KeyValue;
use quorate_storage::{Backend, BackendOptions, Batch, Keyspace};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;
use testbed::{Version, reference};

use prost::Message as _;

/// Changes the value of a key in the state of a stopped member, and nothing else.
fn flip(state: &Path, key: &str) {
    let backend = Backend::open(state, BackendOptions::default()).unwrap();
    let mut rows = Vec::new();
    let visit = &mut |row: &[u8], value: &[u8]| {
        rows.push((Bytes::copy_from_slice(row), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    };
    backend.scan(Keyspace::Key, &[], None, visit).unwrap();
    let mut batch = Batch::housekeeping();
    let mut n_flipped = 0;
    for (row, value) in rows {
        let mut kv = KeyValue::decode(value).unwrap();
        if kv.key == key {
            kv.value = "flipped".into();
            batch.put(Keyspace::Key, row, kv.encode_to_vec());
            n_flipped += 1;
        }
    }
    assert_eq!(n_flipped, 1, "no row of {key}");
    backend.write(batch).unwrap();
    backend.close().unwrap();
}

/// A member whose data was damaged while it was stopped does not start beside two sound ones; with the check at the
/// start switched off, the leader finds it, raises CORRUPT for it and for no one else, and writes are refused.
#[tokio::test]
async fn damaged_data_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = ours(folder.path(), 3, &["--corrupt-check-time=500ms"]);
    let urls = cluster.client_urls();
    let caller = Caller::to(&urls[0]).await;
    for n in 0..20 {
        caller.put(&format!("k{n}"), "sound").await.unwrap();
    }
    let damaged = Caller::to(&urls[2]).await.status().await.header.unwrap().member_id;
    cluster.members[2].process.stop(Duration::from_secs(20)).unwrap();
    flip(&folder.path().join("m3/member/snap/state"), "k7");

    let process = &mut cluster.members[2].process;
    process.start().unwrap();
    let refused = process.wait_ready(PATIENCE).unwrap_err().to_string();
    assert!(refused.contains("found data inconsistency with peers"), "{refused}");
    assert!(refused.contains("exit status: 1"), "{refused}");

    process.add_argument("--feature-gates=InitialCorruptCheck=false");
    process.start().unwrap();
    let caller = &caller;
    let alarms = until("the CORRUPT alarm", || async {
        Some(caller.alarms().await).filter(|alarms| !alarms.is_empty())
    });
    let alarms = alarms.await;
    assert_eq!(alarms, [pb::AlarmMember { member_id: damaged, alarm: 2 }]);
    let status = caller.put("k", "v").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::DataLoss, "etcdserver: corrupt cluster")
    );
    let read = pb::RangeRequest { key: "k1".into(), ..Default::default() };
    assert_eq!(caller.kv().range(read).await.unwrap().into_inner().count, 1);
}

/// The hashes that compactions leave are compared as well: the damaged member is found after the next compaction.
#[tokio::test]
async fn damaged_data_is_found_by_compactions() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--corrupt-check-time=0",
        "--compact-hash-check-time=300ms",
        "--feature-gates=InitialCorruptCheck=false,CompactHashCheck=true",
    ];
    let mut cluster = ours(folder.path(), 3, &flags);
    let urls = cluster.client_urls();
    let caller = Caller::to(&urls[0]).await;
    for n in 0..20 {
        caller.put(&format!("k{n}"), "sound").await.unwrap();
    }
    let damaged = Caller::to(&urls[2]).await.status().await.header.unwrap().member_id;
    cluster.members[2].process.stop(Duration::from_secs(20)).unwrap();
    flip(&folder.path().join("m3/member/snap/state"), "k7");
    cluster.members[2].process.start().unwrap();
    cluster.members[2].process.wait_ready(PATIENCE).unwrap();
    let compaction = pb::CompactionRequest { revision: 15, physical: true };
    caller.kv().compact(compaction).await.unwrap();
    let caller = &caller;
    let alarms = until("the CORRUPT alarm", || async {
        Some(caller.alarms().await).filter(|alarms| !alarms.is_empty())
    });
    assert_eq!(alarms.await, [pb::AlarmMember { member_id: damaged, alarm: 2 }]);
}

/// A full member refuses writes; once its keys are deleted and compacted, it frees the space, takes its alarm back and
/// takes writes again, with nobody's help.
#[tokio::test]
async fn space_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--quota-backend-bytes=16777216", "--nospace-disarm-after=1s"];
    let cluster = ours(folder.path(), 1, &flags);
    let caller = Caller::to(&cluster.client_urls()[0]).await;
    let value = Bytes::from(vec![b'x'; 512 << 10]);
    let mut n = 0;
    let status = loop {
        if let Err(status) = caller.put(&format!("big{n}"), value.clone()).await {
            break status;
        }
        n += 1;
        assert!(n < 1000, "the quota does not hold");
    };
    assert_eq!(status.message(), "etcdserver: mvcc: database space exceeded");
    assert_eq!(caller.alarms().await.len(), 1);
    // Time enough to take the alarm back, if that were done without space.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(caller.alarms().await.len(), 1);
    let all = pb::DeleteRangeRequest { key: "big".into(), range_end: "bih".into(), prev_kv: false };
    let deleted = caller.kv().delete_range(all).await.unwrap().into_inner();
    let revision = deleted.header.unwrap().revision;
    let compaction = pb::CompactionRequest { revision, physical: true };
    caller.kv().compact(compaction).await.unwrap();
    let caller = &caller;
    until("the end of the alarm", || async { caller.alarms().await.is_empty().then_some(()) })
        .await;
    caller.put("k", "v").await.unwrap();
}

/// Downgrades are checked, begun, shown and called off as by etcd: answers, cluster and storage versions.
#[tokio::test]
async fn downgrades_are_answered_as_by_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--downgrade-check-time=300ms"];
    let quorate = ours(&folder.path().join("quorate"), 1, &flags);
    let etcd = reference(Version::V3_7_1, "etcd");
    let etcd = start(&etcd, &folder.path().join("etcd"), 1, &flags);
    let our = downgrade(&Caller::to(&quorate.client_urls()[0]).await).await;
    let their = downgrade(&Caller::to(&etcd.client_urls()[0]).await).await;
    for (our, their) in our.iter().zip(&their) {
        assert_eq!(our, their);
    }
    assert_eq!(our.len(), their.len());
}

async fn downgrade(caller: &Caller) -> Vec<String> {
    let ask = |action, version: &'static str| async move {
        let request = pb::DowngradeRequest { action, version: version.to_owned() };
        match caller.maintenance().downgrade(request).await {
            Ok(answer) => format!("{action} {version}: {}", answer.into_inner().version),
            Err(status) => {
                format!("{action} {version}: {:?} {}", status.code(), status.message())
            }
        }
    };
    let reach = |storage: &'static str| async move {
        until("the storage version", || async {
            let status = caller.status().await;
            (status.storage_version == storage)
                .then(|| format!("{:?} {}", status.downgrade_info, status.storage_version))
        })
        .await
    };
    let mut said = Vec::new();
    said.push(reach("3.7.0").await);
    for version in ["3.6", "3.6.0", "3.6.9", "3.7", "3.5", "x", "3", "3.6.0.1", ""] {
        said.push(ask(0, version).await);
    }
    said.push(ask(2, "").await);
    said.push(ask(1, "3.5").await);
    said.push(ask(1, "3.6").await);
    said.push(ask(1, "3.6").await);
    said.push(ask(0, "3.6").await);
    said.push(reach("3.6.0").await);
    said.push(ask(0, "3.5").await);
    said.push(ask(2, "").await);
    said.push(reach("3.7.0").await);
    said
}

/// With `--auto-promote-learners` a learner becomes a voter by itself once it has started and is in sync.
#[tokio::test]
async fn learners_are_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1, &["--auto-promote-learners"]);
    let caller = Caller::to(&cluster.client_urls()[0]).await;
    for n in 0..50 {
        caller.put(&format!("k{n}"), "v").await.unwrap();
    }
    let first = caller.members(true).await.remove(0);
    let mut second = lone(Path::new(SERVER), folder.path(), "second", &[]);
    let peer_ur_ls = vec![second.peer.clone()];
    let added = pb::MemberAddRequest { peer_ur_ls, is_learner: true };
    caller.cluster().member_add(added).await.unwrap();
    let initial = format!("{}={},second={}", first.name, first.peer_ur_ls[0], second.peer);
    second.process.add_argument(&format!("--initial-cluster={initial}"));
    second.process.add_argument("--initial-cluster-state=existing");
    second.process.start().unwrap();
    let caller = &caller;
    until("the promotion", || async {
        let members = caller.members(false).await;
        (members.len() == 2 && members.iter().all(|member| !member.is_learner)).then_some(())
    })
    .await;
    second.process.wait_ready(PATIENCE).unwrap();
    Caller::to(&second.client).await.put("from", "the second").await.unwrap();
}
