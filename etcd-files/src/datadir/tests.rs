//! Tests of what needs no real etcd: the initial cluster's texts and checks, and the log of a new member.

use std::sync::Arc;

use super::*;
use crate::disk::OsDisk;
use crate::wal::{EntryReader, Options, Reader, Replay};

/// Names may come several times; URLs are sorted within a member.
#[test]
fn an_initial_cluster_is_parsed() {
    let urls = InitialCluster::parse("b=http://b:1,a=http://z:1,a=http://a:1").unwrap();
    assert_eq!(urls["a"], ["http://a:1", "http://z:1"]);
    assert_eq!(urls["b"], ["http://b:1"]);
    for (text, error) in [
        ("a=ftp://x:1", "URL scheme must be http, https, unix, or unixs: ftp://x:1"),
        ("a=http://x", r#"URL address does not have the form "host:port": http://x"#),
        ("a=http://[::1]", r#"URL address does not have the form "host:port": http://[::1]"#),
        ("a=http://x:1/y", "URL must not contain a path: http://x:1/y"),
        ("a=", r#"empty URL given for "a""#),
    ] {
        assert_eq!(InitialCluster::parse(text).unwrap_err().to_string(), error);
    }
    assert!(InitialCluster::parse("a=http://[::1]:2380").is_ok());
}

/// The local member must be part of the cluster, with the URLs it advertises, and no URL may be there twice.
#[test]
fn the_local_member_is_checked() {
    let urls = InitialCluster::parse("a=http://a:1,b=http://b:1").unwrap();
    let check = |name: &str, advertised: &str| {
        check_local_member(&urls, name, &parse_urls(advertised).unwrap())
            .map_err(|error| error.to_string())
    };
    assert_eq!(check("a", "http://a:1"), Ok(()));
    assert_eq!(
        check("a", "http://x:1").unwrap_err(),
        "--initial-cluster has a=http://a:1 but missing from --initial-advertise-peer-urls=http://x:1"
    );
    assert_eq!(
        check("a", "http://a:1,http://x:1").unwrap_err(),
        "--initial-advertise-peer-urls has http://x:1 but missing from --initial-cluster=a=http://a:1,a=http://x:1"
    );
    let twice = InitialCluster::parse("a=http://a:1,b=http://a:1").unwrap();
    let error = check_local_member(&twice, "a", &["http://a:1".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "initial cluster a=http://a:1,b=http://a:1 has duplicate url");
}

/// A new member's log has all members as committed entries, and says whose it is.
#[test]
fn a_new_log_holds_the_cluster() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("wal");
    let urls = InitialCluster::parse("a=http://a:1,b=http://b:1,c=http://c:1").unwrap();
    let cluster = InitialCluster::new(&urls, "token").unwrap();
    let options = Options { prepare_ahead: false, ..Options::default() };
    let id = cluster.member_named("b").unwrap().id;
    create_log(Arc::new(OsDisk), &dir, &cluster, id, false, options).unwrap();
    let disk: Arc<dyn crate::disk::Disk> = Arc::new(OsDisk);
    let replay = Replay::read(&mut Reader::open(&disk, &dir).unwrap()).unwrap();
    assert_eq!(replay.metadata.node_id(), id);
    assert_eq!(replay.metadata.cluster_id(), cluster.cluster_id);
    assert_eq!((replay.last_index(), replay.hard_state.commit()), (3, 3));
    assert_eq!(replay.hard_state.vote(), cluster.members[0].id);
    let entries = EntryReader::open(&disk, &dir).unwrap().read_run(&replay.entries).unwrap();
    assert!(entries.iter().all(|entry| entry.term() == 1));
}

/// The log of a member that joins says whose it is; members and terms come from the cluster's leader.
#[test]
fn a_joining_members_log_is_empty() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("wal");
    let cluster = InitialCluster { members: Vec::new(), cluster_id: 9 };
    let options = Options { prepare_ahead: false, ..Options::default() };
    create_log(Arc::new(OsDisk), &dir, &cluster, 7, false, options).unwrap();
    let disk: Arc<dyn crate::disk::Disk> = Arc::new(OsDisk);
    let replay = Replay::read(&mut Reader::open(&disk, &dir).unwrap()).unwrap();
    assert_eq!((replay.metadata.node_id(), replay.metadata.cluster_id()), (7, 9));
    assert_eq!(replay.hard_state, quorate_proto::raftpb::HardState::default());
    assert_eq!(replay.last_index(), 0);
}
