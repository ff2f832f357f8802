//! Crowds: ten thousand connections that do nothing, a hundred thousand watchers, many leases. The member stays up and
//! its memory is bounded; the figures are printed.

use super::ask::{Lone, etcdctl, ours, until};
use quorate_proto::etcdserverpb::kv_client::KvClient;
use quorate_proto::etcdserverpb::lease_client::LeaseClient;
use quorate_proto::etcdserverpb::watch_client::WatchClient;
use quorate_proto::etcdserverpb::watch_request::RequestUnion;
use quorate_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest, WatchCreateRequest,
    WatchRequest,
};
use std::net::TcpStream;
use testbed::Version;

const CONNECTIONS: usize = 10_000;
const WATCHERS: usize = 100_000;
/// Watchers of one stream; real clients have fewer.
const PER_STREAM: usize = 10_000;
const LEASES: usize = 30_000;
/// Grants at a time.
const LEASE_WORKERS: usize = 500;

fn member(folder: &std::path::Path) -> Lone {
    Lone::plain(&ours(), folder, "m1", &[])
}

/// Resident memory in bytes.
fn resident(member: &Lone) -> u64 {
    let status = format!("/proc/{}/status", member.process.pid().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// As many descriptors as the system lets this process have, less those for other things.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    usize::try_from(maximum.unwrap_or(1 << 20)).unwrap() - 300
}

/// Connections that have begun HTTP/2 and then do nothing; half of them not even that.
#[test]
fn idle_connections() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let before = resident(&member);
    let wanted = CONNECTIONS.min(descriptors());
    let held: Vec<_> = (0..wanted)
        .map(|n| match n % 2 {
            0 => super::wire::Wire::open(member.client).0,
            _ => TcpStream::connect(("127.0.0.1", member.client)).unwrap(),
        })
        .collect();
    let flags = vec![format!("--endpoints=http://127.0.0.1:{}", member.client)];
    etcdctl(Version::V3_7_1, &flags, "put a b").good();
    let open = || {
        let folder = format!("/proc/{}/fd", member.process.pid().unwrap());
        std::fs::read_dir(folder).unwrap().count()
    };
    until("all connections are accepted", || open() > wanted);
    etcdctl(Version::V3_7_1, &flags, "put a b").good();
    let each = resident(&member).saturating_sub(before) / wanted as u64;
    println!("{wanted} idle connections: {} MiB before, {each} bytes each", before >> 20);
    assert!(each < 32 << 10, "{each} bytes for an idle connection");
    assert!(member.process.is_running());
    drop(held);
}

/// Watchers of one key over a few streams: all of them get the event of a put, and memory stays in bounds.
#[test]
fn watchers() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let before = resident(&member);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("http://127.0.0.1:{}", member.client);
    let streams: Vec<_> =
        (0..WATCHERS / PER_STREAM).map(|_| runtime.block_on(watch_many(&url))).collect();
    let with_all = resident(&member);
    let flags = vec![format!("--endpoints={url}")];
    let start = std::time::Instant::now();
    etcdctl(Version::V3_7_1, &flags, "put crowd b").good();
    for (sender, mut answers) in streams {
        let events = runtime.block_on(async {
            let mut events = 0;
            while events < PER_STREAM {
                events += answers.message().await.unwrap().unwrap().events.len();
            }
            events
        });
        assert_eq!(events, PER_STREAM);
        drop(sender);
    }
    let took = start.elapsed();
    let peak = member.process.usage().unwrap().peak_rss_bytes;
    let each = with_all.saturating_sub(before) / WATCHERS as u64;
    println!(
        "{WATCHERS} watchers: {} MiB before, {each} bytes each, {} MiB at most; all told of a put in {took:?}",
        before >> 20,
        peak >> 20
    );
    assert!(each < 4 << 10, "{each} bytes for a watcher");
    assert!(member.process.is_running() && peak < 1 << 30, "{} MiB", peak >> 20);
}

/// Thirty thousand leases, some of them with a key: all are there, and known again after a crash; what one costs is printed.
#[tokio::test(flavor = "multi_thread")]
async fn many_leases() {
    let folder = tempfile::tempdir().unwrap();
    let mut member = member(folder.path());
    let before = resident(&member);
    let url = format!("http://127.0.0.1:{}", member.client);
    let channel = tonic::transport::Endpoint::new(url).unwrap().connect().await.unwrap();
    let workers = (0..LEASE_WORKERS).map(|worker| {
        let (mut lease, mut kv) =
            (LeaseClient::new(channel.clone()), KvClient::new(channel.clone()));
        tokio::spawn(async move {
            for id in (worker + 1..=LEASES).step_by(LEASE_WORKERS) {
                let id = i64::try_from(id).unwrap();
                lease.lease_grant(LeaseGrantRequest { ttl: 3600, id }).await.unwrap();
                // Few keys: theirs is another story.
                if id % 100 == 0 {
                    let key = format!("leased/{id}").into();
                    let put = PutRequest { key, lease: id, ..Default::default() };
                    kv.put(put).await.unwrap();
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let each = resident(&member).saturating_sub(before) / LEASES as u64;
    println!("{LEASES} leases: {} MiB before, {each} bytes each", before >> 20);
    assert!(each < 4 << 10, "{each} bytes for a lease");
    let mut client = LeaseClient::new(channel).max_decoding_message_size(usize::MAX);
    let all = client.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
    assert_eq!(all.leases.len(), LEASES);
    member.process.kill().unwrap();
    member.process.start().unwrap();
    member.process.wait_ready(std::time::Duration::from_secs(60)).unwrap();
    let all = client.lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner();
    assert_eq!(all.leases.len(), LEASES);
    let revoke = LeaseRevokeRequest { id: 100 };
    client.lease_revoke(revoke).await.unwrap();
    let flags = vec![format!("--endpoints=http://127.0.0.1:{}", member.client)];
    let left = etcdctl(Version::V3_7_1, &flags, "get leased/ --prefix --count-only -w fields");
    assert!(left.good().contains(&format!("\"Count\" : {}", LEASES / 100 - 1)));
}

type Streams = (
    tokio::sync::mpsc::Sender<WatchRequest>,
    tonic::Streaming<quorate_proto::etcdserverpb::WatchResponse>,
);

/// A stream with its watchers, all created.
async fn watch_many(url: &str) -> Streams {
    let channel = tonic::transport::Endpoint::new(url.to_owned()).unwrap().connect().await.unwrap();
    let (sender, requests) = tokio::sync::mpsc::channel(64);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut client = WatchClient::new(channel);
    let mut answers = client.watch(requests).await.unwrap().into_inner();
    let feeder = sender.clone();
    let feeding = tokio::spawn(async move {
        for _ in 0..PER_STREAM {
            let create = WatchCreateRequest { key: "crowd".into(), ..Default::default() };
            let request_union = Some(RequestUnion::CreateRequest(create));
            feeder.send(WatchRequest { request_union }).await.unwrap();
        }
    });
    for _ in 0..PER_STREAM {
        assert!(answers.message().await.unwrap().unwrap().created);
    }
    feeding.await.unwrap();
    (sender, answers)
}
