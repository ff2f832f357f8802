//! Locks and elections: each call beside real etcd 3.7.1, the blocking ones cancelled, and both through the death of
//! the cluster's leader.

use crate::wire::{Wire, b, mask};
use quorate_proto::etcdserverpb as pb;
use quorate_proto::v3electionpb as epb;
use quorate_proto::v3electionpb::election_client::ElectionClient;
use quorate_proto::v3lockpb as lpb;
use quorate_proto::v3lockpb::lock_client::LockClient;
use std::fmt::Debug;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use testbed::{Cluster, Plan, Version, reference};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Longest time that anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(program: &Path, folder: &Path, members: usize) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    Cluster::start(&Plan { program, members, folder, extra: &[] }).unwrap()
}

fn ours(folder: &Path, members: usize) -> Cluster {
    start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), folder, members)
}

/// Clients of the services on one channel.
#[derive(Clone)]
struct Doors {
    wire: Wire,
    channel: Channel,
}

impl Doors {
    async fn open(url: &str) -> Doors {
        let channel = Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        Doors { wire: Wire::connect(url).await, channel }
    }

    fn lock(&self) -> LockClient<Channel> {
        LockClient::new(self.channel.clone())
    }

    fn election(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }

    async fn grant(&self, id: i64, ttl: i64) {
        self.wire.lease().lease_grant(pb::LeaseGrantRequest { ttl, id }).await.unwrap();
    }

    async fn keys(&self) -> Vec<String> {
        let all = pb::RangeRequest { key: b("\0"), range_end: b("\0"), ..Default::default() };
        let kvs = self.wire.kv().range(all).await.unwrap().into_inner().kvs;
        kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    }

    async fn wait_keys(&self, wanted: &[&str]) {
        let reached = async {
            while self.keys().await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "wanted {wanted:?}, there are {:?}", self.keys().await);
    }
}

fn text<T: Debug>(answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(response) => mask(&format!("{:?}", response.into_inner())),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

fn leader(name: &str, key: &str, rev: i64, lease: i64) -> Option<epb::LeaderKey> {
    Some(epb::LeaderKey { name: b(name), key: b(key), rev, lease })
}

/// What both services answer to a series of calls, errors included.
async fn answers(doors: &Doors) -> Vec<String> {
    let (mut lock, mut election) = (doors.lock(), doors.election());
    let mut out = Vec::new();
    doors.grant(0x71, 500).await;
    doors.grant(0x72, 500).await;
    for (name, lease) in [("l", 0x71), ("l", 0x71), ("", 0x72), ("l", 0x9999), ("l/x", 0x71)] {
        out.push(text(lock.lock(lpb::LockRequest { name: b(name), lease }).await));
    }
    for key in ["l/71", "l/71", "", "nothing"] {
        out.push(text(lock.unlock(lpb::UnlockRequest { key: b(key) }).await));
    }
    let campaign = |name: &str, lease, value: &str| epb::CampaignRequest {
        name: b(name),
        lease,
        value: b(value),
    };
    out.push(text(election.leader(epb::LeaderRequest { name: b("e") }).await));
    out.push(text(election.campaign(campaign("e", 0x9999, "v")).await));
    out.push(text(election.campaign(campaign("e", 0x71, "v")).await));
    out.push(text(election.campaign(campaign("e", 0x71, "v")).await));
    out.push(text(election.campaign(campaign("e", 0x71, "other")).await));
    out.push(text(election.leader(epb::LeaderRequest { name: b("e") }).await));
    let led = election.leader(epb::LeaderRequest { name: b("e") }).await.unwrap().into_inner();
    let rev = led.kv.unwrap().create_revision;
    let proclaim = |leader, value: &str| epb::ProclaimRequest { leader, value: b(value) };
    for leader in [
        None,
        leader("e", "e/71", rev, 0x71),
        leader("e", "e/71", rev - 1, 0x71),
        leader("e", "e/71", rev, 0x9999),
        leader("e", "", rev, 0x71),
    ] {
        out.push(text(election.proclaim(proclaim(leader, "p")).await));
    }
    for leader in [None, leader("e", "e/71", rev - 1, 0x71), leader("e", "e/71", rev, 0x71)] {
        out.push(text(election.resign(epb::ResignRequest { leader }).await));
    }
    out.push(text(election.leader(epb::LeaderRequest { name: b("e") }).await));
    out.extend(doors.keys().await);
    out
}

/// Locks, elections and their errors are those of etcd 3.7.1, code, text and header.
#[tokio::test]
async fn answers_equal_those_of_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = ours(&folder.path().join("quorate"), 1);
    let etcd = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"), 1);
    let our = answers(&Doors::open(&quorate.client_urls()[0]).await).await;
    let their = answers(&Doors::open(&etcd.client_urls()[0]).await).await;
    assert!(our.len() > 20);
    for (n, (our, their)) in our.iter().zip(&their).enumerate() {
        assert_eq!(our, their, "answer {n}");
    }
    assert_eq!(our.len(), their.len());
}

/// Lease 0 makes the server grant a lease of 60 seconds, whose id is in the key.
#[tokio::test]
async fn no_lease_is_one_of_sixty_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1);
    let doors = Doors::open(&cluster.client_urls()[0]).await;
    let locked = doors.lock().lock(lpb::LockRequest { name: b("n"), lease: 0 }).await.unwrap();
    let key = String::from_utf8(locked.into_inner().key.to_vec()).unwrap();
    let id = i64::from_str_radix(key.strip_prefix("n/").unwrap(), 16).unwrap();
    let request = pb::LeaseTimeToLiveRequest { id, keys: true };
    let lease = doors.wire.lease().lease_time_to_live(request).await.unwrap().into_inner();
    assert_eq!((lease.granted_ttl, lease.keys.len()), (60, 1));
}

/// A caller that goes while it waits leaves no key behind, neither in a lock nor in an election; the next in the queue
/// gets its turn.
#[tokio::test]
async fn a_cancelled_wait_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1);
    let doors = Doors::open(&cluster.client_urls()[0]).await;
    for id in 1..=3 {
        doors.grant(id, 500).await;
    }
    let lock = |lease| {
        let mut client = doors.lock();
        tokio::spawn(async move { client.lock(lpb::LockRequest { name: b("l"), lease }).await })
    };
    lock(1).await.unwrap().unwrap();
    let second = lock(2);
    doors.wait_keys(&["l/1", "l/2"]).await;
    let third = lock(3);
    doors.wait_keys(&["l/1", "l/2", "l/3"]).await;
    second.abort();
    doors.wait_keys(&["l/1", "l/3"]).await;
    doors.lock().unlock(lpb::UnlockRequest { key: b("l/1") }).await.unwrap();
    let owned = tokio::time::timeout(PATIENCE, third).await.unwrap().unwrap().unwrap();
    assert_eq!(owned.into_inner().key, "l/3");
    doors.lock().unlock(lpb::UnlockRequest { key: b("l/3") }).await.unwrap();

    let campaign = |lease| {
        let mut client = doors.election();
        let request = epb::CampaignRequest { name: b("e"), lease, value: b("v") };
        tokio::spawn(async move { client.campaign(request).await })
    };
    campaign(1).await.unwrap().unwrap();
    let second = campaign(2);
    doors.wait_keys(&["e/1", "e/2"]).await;
    second.abort();
    doors.wait_keys(&["e/1"]).await;
}

/// A waiter whose lease ends before its turn is told so, in etcd's words.
#[tokio::test]
async fn an_expired_waiter_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = ours(folder.path(), 1);
    let doors = Doors::open(&cluster.client_urls()[0]).await;
    doors.grant(1, 500).await;
    doors.grant(2, 500).await;
    let lock = |lease| {
        let mut client = doors.lock();
        tokio::spawn(async move { client.lock(lpb::LockRequest { name: b("l"), lease }).await })
    };
    lock(1).await.unwrap().unwrap();
    let second = lock(2);
    doors.wait_keys(&["l/1", "l/2"]).await;
    doors.wire.lease().lease_revoke(pb::LeaseRevokeRequest { id: 2 }).await.unwrap();
    doors.lock().unlock(lpb::UnlockRequest { key: b("l/1") }).await.unwrap();
    let status = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.message(), "mutex: session is expired");
}

/// An observer sees the leader, its new values, and the next leader.
#[tokio::test]
async fn observers_follow_leaders() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = ours(&folder.path().join("quorate"), 1);
    let etcd = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"), 1);
    let our = observed(&Doors::open(&quorate.client_urls()[0]).await).await;
    let their = observed(&Doors::open(&etcd.client_urls()[0]).await).await;
    assert_eq!(our, their);
}

async fn observed(doors: &Doors) -> Vec<String> {
    doors.grant(1, 500).await;
    doors.grant(2, 500).await;
    let mut election = doors.election();
    let mut seen = Vec::new();
    let campaign =
        |lease, value: &str| epb::CampaignRequest { name: b("e"), lease, value: b(value) };
    // etcd answers an observer only once there is something to tell.
    let mut observer = doors.election();
    let stream =
        tokio::spawn(async move { observer.observe(epb::LeaderRequest { name: b("e") }).await });
    let first = election.campaign(campaign(1, "one")).await.unwrap().into_inner();
    let mut stream = stream.await.unwrap().unwrap().into_inner();
    seen.push(next(&mut stream).await);
    let leader = first.leader;
    let proclaim = epb::ProclaimRequest { leader: leader.clone(), value: b("uno") };
    election.proclaim(proclaim).await.unwrap();
    seen.push(next(&mut stream).await);
    let mut other = doors.election();
    let second = tokio::spawn(async move { other.campaign(campaign(2, "two")).await });
    doors.wait_keys(&["e/1", "e/2"]).await;
    election.resign(epb::ResignRequest { leader }).await.unwrap();
    second.await.unwrap().unwrap();
    seen.push(next(&mut stream).await);
    seen
}

async fn next(stream: &mut tonic::Streaming<epb::LeaderResponse>) -> String {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
    mask(&format!("{message:?}"))
}

/// The member that leads is killed while a lock is held and waited for: the waiter on another member goes on waiting,
/// and gets the lock when its holder gives it back.
#[tokio::test]
async fn waiters_outlive_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = ours(folder.path(), 3);
    let mut leading = None;
    for (n, url) in cluster.client_urls().iter().enumerate() {
        let wire = Wire::connect(url).await;
        let status = wire.maintenance().status(pb::StatusRequest {}).await.unwrap().into_inner();
        if status.leader == status.header.unwrap().member_id {
            leading = Some(n);
        }
    }
    let leading = leading.unwrap();
    let url = cluster.client_urls()[(leading + 1) % 3].clone();
    let doors = Doors::open(&url).await;
    doors.grant(1, 500).await;
    doors.grant(2, 500).await;
    let lock = |lease| {
        let mut client = doors.lock();
        tokio::spawn(async move { client.lock(lpb::LockRequest { name: b("l"), lease }).await })
    };
    lock(1).await.unwrap().unwrap();
    let waiter = lock(2);
    doors.wait_keys(&["l/1", "l/2"]).await;
    cluster.members[leading].process.kill().unwrap();
    let given_back = async {
        while doors.lock().unlock(lpb::UnlockRequest { key: b("l/1") }).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.unwrap();
    let owned = tokio::time::timeout(PATIENCE, waiter).await.unwrap().unwrap().unwrap();
    assert_eq!(owned.into_inner().key, "l/2");
}

/// A stream that asked for a leader ends with etcd's error once its member has had none for three elections; a call
/// that asks for one is refused at once.
#[tokio::test]
async fn streams_that_want_a_leader_end_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = ours(folder.path(), 3);
    let url = cluster.client_urls()[0].clone();
    let wire = Wire::connect(&url).await;
    let requests = tokio_stream::pending::<pb::LeaseKeepAliveRequest>();
    let mut request = Request::new(requests);
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let mut kept = wire.lease().lease_keep_alive(request).await.unwrap().into_inner();
    let requests = tokio_stream::pending::<pb::WatchRequest>();
    let mut request = Request::new(requests);
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut watch =
        pb::watch_client::WatchClient::new(channel).watch(request).await.unwrap().into_inner();
    for member in &mut cluster.members[1..] {
        member.process.kill().unwrap();
    }
    for status in [
        tokio::time::timeout(PATIENCE, kept.message()).await.unwrap().unwrap_err(),
        tokio::time::timeout(PATIENCE, watch.message()).await.unwrap().unwrap_err(),
    ] {
        assert_eq!(
            (status.code(), status.message()),
            (tonic::Code::Unavailable, "etcdserver: no leader")
        );
    }
    let mut request = Request::new(pb::StatusRequest {});
    request.metadata_mut().insert("hasleader", "true".parse().unwrap());
    let status = wire.maintenance().status(request).await.unwrap_err();
    assert_eq!(status.message(), "etcdserver: no leader");
}

/// Runs etcdctl until `wanted` stands in what it prints.
fn etcdctl(endpoints: &str, args: &[&str]) -> Child {
    let mut command = Command::new(reference(Version::V3_7_1, "etcdctl"));
    command.env_clear().env("ETCDCTL_COMMAND_TIMEOUT", "60s");
    command.arg(format!("--endpoints={endpoints}")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `etcdctl lock` and `etcdctl elect` of etcd 3.7.1 print and exit as they do with etcd.
#[test]
fn etcdctl_locks_and_elects() {
    let folder = tempfile::tempdir().unwrap();
    let quorate = ours(&folder.path().join("quorate"), 3);
    let etcd = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"), 3);
    let lines: [&[&str]; 4] = [
        &["lock", "l", "echo", "owned"],
        &["lock", "l", "--ttl", "5", "false"],
        &["lock"],
        &["elect", "e", "--listen", "extra"],
    ];
    for line in lines {
        let run = |cluster: &Cluster| {
            let output =
                etcdctl(&cluster.client_urls().join(","), line).wait_with_output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        assert_eq!(run(&quorate), run(&etcd), "{line:?}");
    }
    let elected = |cluster: &Cluster| {
        use std::io::{BufRead, BufReader};
        let endpoints = cluster.client_urls().join(",");
        let mut child = etcdctl(&endpoints, &["elect", "e", "me"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let key = lines.next().unwrap().unwrap();
        let value = lines.next().unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (key.split('/').next().unwrap().to_owned(), value)
    };
    assert_eq!(elected(&quorate), elected(&etcd));
}
