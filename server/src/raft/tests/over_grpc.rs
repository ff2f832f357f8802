//! Three members over real connections on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use quorate_etcd_files::disk::{Disk, OsDisk};
use quorate_proto::quoratepb::peer_server::PeerServer;
use quorate_proto::raftpb::{ConfChange, ConfChangeType};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::cluster::eventually;
use super::machine::{TestDisk, TestMachine, put};
use crate::cluster::{ConfChangeContext, Member};
use crate::raft::grpc::{GrpcTransport, Identity, PeerService, peer_service};
use crate::raft::transport::PeerTransport;
use crate::raft::*;
use crate::tls::TlsDialer;
use crate::types::MemberId;

struct Node {
    raft: Raft<u64>,
    live: Arc<parking_lot::Mutex<super::machine::State>>,
    stop_serving: CancellationToken,
    service: PeerServer<PeerService>,
    disk: TestDisk,
    dir: tempfile::TempDir,
    address: SocketAddr,
}

const HEARTBEAT: Duration = Duration::from_millis(30);
const ELECTION: Duration = Duration::from_millis(400);

fn transport(cluster_id: u64, member_id: MemberId) -> GrpcTransport {
    let identity = Identity { cluster_id, member_id };
    GrpcTransport::new(identity, Arc::new(TlsDialer::default()), HEARTBEAT, ELECTION)
}

async fn run(id: MemberId, listener: TcpListener, dir: tempfile::TempDir, disk: TestDisk) -> Node {
    let config = RaftConfig {
        member_id: id,
        cluster_id: 77,
        heartbeat: HEARTBEAT,
        election: ELECTION,
        initial_election_tick_advance: true,
        pre_vote: true,
        snapshot_count: 20,
        snapshot_catchup_entries: 10,
        max_wals: 5,
        wal_dir: dir.path().join("wal"),
        snap_dir: dir.path().join("snap"),
        max_request_bytes: 2 << 20,
        unsafe_no_fsync: false,
    };
    let live = Arc::default();
    let machine = TestMachine::new(disk.clone(), Arc::clone(&live), 1);
    let transport = transport(77, id);
    let surroundings = Surroundings {
        transport: Arc::new(transport.clone()),
        disk: Arc::new(OsDisk),
        observer: Arc::new(NoObserver),
        is_removed: Arc::new(|id| id == 666),
        synced_log: Arc::default(),
    };
    let raft = Raft::start(config, machine, surroundings).await.unwrap();
    let identity = Identity { cluster_id: 77, member_id: id };
    let service = peer_service(identity, raft.peer_handler(), transport);
    let address = listener.local_addr().unwrap();
    let stop_serving = open(listener, service.clone());
    Node { raft, live, stop_serving, service, disk, dir, address }
}

/// Serves peers until the answer is cancelled.
fn open(listener: TcpListener, service: PeerServer<PeerService>) -> CancellationToken {
    let stop_serving = CancellationToken::new();
    let stopped = stop_serving.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = serve(listener, service) => {}
            () = stopped.cancelled() => {}
        }
    });
    stop_serving
}

/// Serves peers; all connections end with this future.
async fn serve(listener: TcpListener, service: PeerServer<PeerService>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A peer that goes away is no failure of the test.
            let _ = builder.http2_only().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Binds again to an address that was just in use.
async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn add(id: MemberId, address: SocketAddr) -> ConfChange {
    let member = Member { id, peer_urls: vec![format!("http://{address}")], ..Member::default() };
    let context = ConfChangeContext { member, is_promote: false };
    ConfChange {
        r#type: Some(ConfChangeType::ConfChangeAddNode as i32),
        node_id: Some(id),
        context: Some(serde_json::to_vec(&context).unwrap().into()),
        ..ConfChange::default()
    }
}

async fn three() -> Vec<Node> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let members: Vec<ConfChange> =
        (1..).zip(&listeners).map(|(id, l)| add(id, l.local_addr().unwrap())).collect();
    let mut nodes = Vec::new();
    for (id, listener) in (1..).zip(listeners) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("snap")).unwrap();
        super::cluster::bootstrap_with(&disk, dir.path().join("wal"), id, &members);
        nodes.push(run(id, listener, dir, TestDisk::default()).await);
    }
    nodes
}

async fn leader(nodes: &[Node]) -> usize {
    eventually("a leader", || {
        let leaders: Vec<_> = nodes.iter().map(|node| node.raft.leader()).collect();
        let first = leaders[0]?;
        leaders.iter().all(|leader| *leader == Some(first)).then_some(first as usize - 1)
    })
    .await
}

/// Proposals through all, a follower that is killed, lags behind the purged log and comes back by a snapshot over the
/// wire, leadership that moves, and statistics of the peers.
#[tokio::test(flavor = "multi_thread")]
async fn three_members_over_grpc() {
    let mut nodes = three().await;
    let first = leader(&nodes).await;
    for (i, node) in nodes.iter().enumerate() {
        node.raft.propose(put(&format!("k{i}"), "v")).await.unwrap();
        assert!(node.raft.read_index().await.unwrap() > 0);
    }
    let victim = (first + 1) % 3;
    let Node { raft, stop_serving, disk, dir, address, .. } = nodes.remove(victim);
    stop_serving.cancel();
    raft.shutdown().await;
    drop(raft);
    for i in 0..100 {
        nodes[0].raft.propose(put(&format!("k{i}"), &"x".repeat(2000))).await.unwrap();
    }
    let back = run(victim as u64 + 1, bind_again(address).await, dir, disk).await;
    nodes.insert(victim, back);
    eventually("equal states", || {
        let states: Vec<_> = nodes.iter().map(|node| node.live.lock().clone()).collect();
        (states[0] == states[1] && states[1] == states[2]).then_some(())
    })
    .await;
    let first = leader(&nodes).await;
    let target = (first + 2) % 3;
    let term = nodes[first].raft.term();
    nodes[first].raft.transfer_leader(target as u64 + 1).await.unwrap();
    assert_eq!(leader(&nodes).await, target);
    assert_eq!(nodes[target].raft.term(), term + 1);
    eventually("all peers to answer", || {
        let connected = |node: &Node, id: u64| node.raft.is_connected_for(id, Duration::ZERO);
        nodes.iter().all(|node| (1..=3).all(|id| connected(node, id))).then_some(())
    })
    .await;
    let stats = nodes[first].raft.peer_stats(victim as u64 + 1);
    assert!(stats.sent_bytes > 0 && stats.round_trip.is_some(), "{stats:?}");
    for node in &nodes {
        node.stop_serving.cancel();
        node.raft.shutdown().await;
    }
}

/// A leader that nobody gets through to, while it gets through to all, gives leadership away, so that the others serve
/// their clients; and it catches up when it is reached again.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_behind_a_one_way_wall_gives_way() {
    let mut nodes = three().await;
    let first = leader(&nodes).await;
    eventually("everybody to have called the leader", || {
        let called = |id: u64| nodes[first].raft.peer_stats(id).called_at.is_some();
        (1..=3).all(|id| id == first as u64 + 1 || called(id)).then_some(())
    })
    .await;
    nodes[first].stop_serving.cancel();
    let others = [(first + 1) % 3, (first + 2) % 3];
    eventually("another leader", || {
        let seen = others.map(|i| nodes[i].raft.leader());
        seen[0].filter(|leader| seen[1] == Some(*leader) && *leader != first as u64 + 1)
    })
    .await;
    for i in others {
        nodes[i].raft.propose(put(&format!("through {i}"), "v")).await.unwrap();
        assert!(nodes[i].raft.read_index().await.unwrap() > 0);
    }
    eventually("the old leader to know", || (!nodes[first].raft.is_leader()).then_some(())).await;
    let listener = bind_again(nodes[first].address).await;
    nodes[first].stop_serving = open(listener, nodes[first].service.clone());
    eventually("equal states", || {
        let states: Vec<_> = nodes.iter().map(|node| node.live.lock().clone()).collect();
        (states[0] == states[1] && states[1] == states[2]).then_some(())
    })
    .await;
    for node in &nodes {
        node.stop_serving.cancel();
        node.raft.shutdown().await;
    }
}

/// A member of another cluster, one that calls for somebody else, and a removed one are refused at the door.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let nodes = three().await;
    leader(&nodes).await;
    let ping = |transport: GrpcTransport, to: MemberId| {
        let mut membership = Membership::default();
        let peer =
            Peer { peer_urls: vec![format!("http://{}", nodes[0].address)], ..Peer::default() };
        membership.members.insert(to, peer);
        transport.update_peers(&membership);
        let request = quorate_proto::quoratepb::ForwardRequest::default();
        async move { transport.forward(to, request, Duration::from_secs(5)).await }
    };
    assert!(ping(transport(77, 9), 1).await.is_ok());
    let error = ping(transport(78, 9), 1).await.unwrap_err();
    assert_eq!(error, PeerError::ClusterMismatch { ours: 78, theirs: "4d".to_owned() });
    assert!(matches!(ping(transport(77, 9), 5).await, Err(PeerError::Unreachable(_))));
    assert_eq!(ping(transport(77, 666), 1).await.unwrap_err(), PeerError::Removed);
    for node in &nodes {
        node.stop_serving.cancel();
        node.raft.shutdown().await;
    }
}
