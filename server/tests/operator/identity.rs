//! Who a member and its cluster are, beside real etcd 3.7.1: ids that follow from flags, and a cluster that is made anew
//! of what one member has.

use super::stage::{Caller, PATIENCE, SERVER, start, until};
use quorate_proto::etcdserverpb as pb;
use std::path::{Path, PathBuf};
use testbed::{Process, Version, free_ports, reference};

fn programs() -> [(&'static str, PathBuf); 2] {
    [("ours", SERVER.into()), ("etcd", reference(Version::V3_7_1, "etcd"))]
}

/// The ids of cluster and member follow from the peer URLs and the token, as with etcd: a member that is laid out again
/// is the same, and another token makes another cluster.
#[tokio::test]
async fn ids_are_etcds() {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(2).unwrap();
    let (client, peer) =
        (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
    let mut ids = Vec::new();
    for token in ["etcd-cluster", "another"] {
        for (kind, program) in programs() {
            let folder = folder.path().join(token).join(kind);
            std::fs::create_dir_all(&folder).unwrap();
            let flags = [
                "--name=m1".to_owned(),
                format!("--data-dir={}", folder.join("data").display()),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=m1={peer}"),
                format!("--initial-cluster-token={token}"),
            ];
            let mut process = Process::new("m1", &folder, &program, &flags);
            process.start().unwrap();
            process.wait_ready(PATIENCE).unwrap();
            let header = Caller::to(&client).await.status().await.header.unwrap();
            ids.push((header.cluster_id, header.member_id));
            process.stop(PATIENCE).unwrap();
        }
    }
    let [one, etcds_one, other, etcds_other] = ids[..] else { unreachable!() };
    assert_eq!((one, other), (etcds_one, etcds_other));
    assert_ne!(one.0, other.0);
}

async fn value_of(on: &Caller, key: &'static str) -> Option<Vec<u8>> {
    let request = pb::RangeRequest { key: key.into(), ..Default::default() };
    let answer = on.kv().range(request).await.ok()?.into_inner();
    answer.kvs.first().map(|pair| pair.value.to_vec())
}

/// `--force-new-cluster` with the data of one of three members, of which the others are gone: it leads alone, with the
/// same id, all data and the old cluster's id; it grows again, and without the flag it stays what it is.
#[tokio::test]
async fn one_of_three_goes_on_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, program) in programs() {
        let mut cluster = start(Path::new(&program), &folder.path().join(kind), 3, &[]);
        let url = cluster.members[0].client_url.clone();
        let before = {
            let caller = Caller::to(&url).await;
            caller.put("kept", "yes").await.unwrap();
            caller.status().await.header.unwrap()
        };
        cluster.stop().unwrap();
        let survivor = &mut cluster.members[0].process;
        survivor.add_argument("--force-new-cluster");
        survivor.start().unwrap();
        survivor.wait_ready(PATIENCE).unwrap();
        let caller = Caller::to(&url).await;
        let members = caller.members(true).await;
        assert!(members.len() == 1 && members[0].id == before.member_id, "{kind}: {members:?}");
        let status = caller.status().await;
        let header = status.header.unwrap();
        assert_eq!(
            (header.cluster_id, status.leader, header.revision),
            (before.cluster_id, before.member_id, before.revision),
            "{kind}"
        );
        assert_eq!(value_of(&caller, "kept").await.as_deref(), Some(&b"yes"[..]), "{kind}");
        caller.put("new", "too").await.unwrap();
        let add = pb::MemberAddRequest {
            peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()],
            is_learner: true,
        };
        caller.cluster().member_add(add).await.unwrap();
        survivor.stop(PATIENCE).unwrap();
        survivor.add_argument("--force-new-cluster=false");
        survivor.start().unwrap();
        survivor.wait_ready(PATIENCE).unwrap();
        let caller = Caller::to(&url).await;
        until("its data", || async { value_of(&caller, "new").await.filter(|v| v == b"too") })
            .await;
        assert_eq!(caller.members(false).await.len(), 2, "{kind}");
    }
}
