//! The cluster model against real etcd 3.7.1, 3.5.1 and 3.4.23: what it knows, what it admits not to know, and that
//! members that are down, hang, refuse us or belong elsewhere disturb nothing else.

mod cluster;

use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_client::model::{
    AlarmKind, ClusterSnapshot, Collector, CollectorOptions, Health, MemberSnapshot, Quorum, Role,
    StrangerState, Thresholds, Value, findings,
};
use quorate_client::proto::authpb;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{Client, Config, Credentials};

use cluster::{Cluster, Setup};
use testbed::{Version, reference};

/// Longest wait for the model to see what has happened; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// The limit of every question to a member.
const QUESTION_LIMIT: Duration = Duration::from_secs(3);

fn watch(endpoints: Vec<String>) -> Collector {
    watch_as(endpoints, None)
}

fn watch_as(endpoints: Vec<String>, credentials: Option<Credentials>) -> Collector {
    Collector::start(CollectorOptions {
        config: Config { credentials, ..Config::new(endpoints) },
        interval: Duration::from_millis(250),
        timeout: QUESTION_LIMIT,
    })
}

/// Waits for a picture that fits.
async fn wait_for(
    collector: &Collector,
    what: &str,
    fits: impl FnMut(&Arc<ClusterSnapshot>) -> bool,
) -> Arc<ClusterSnapshot> {
    let mut pictures = collector.snapshots();
    let found = tokio::time::timeout(LIMIT, pictures.wait_for(fits)).await;
    match found {
        Ok(picture) => picture.expect("the collector runs").clone(),
        Err(_) => panic!("{what} was not seen: {:#?}", collector.snapshots().borrow()),
    }
}

fn is_healthy(picture: &ClusterSnapshot) -> bool {
    !picture.members.is_empty() && picture.members.iter().all(|member| member.health == Health::Up)
}

fn named<'a>(picture: &'a ClusterSnapshot, name: &str) -> &'a MemberSnapshot {
    picture.members.iter().find(|member| member.name == name).expect("the member is listed")
}

fn rules(picture: &ClusterSnapshot) -> Vec<&'static str> {
    let report = findings::evaluate(picture, &Thresholds::default());
    // How fast this machine's disk is, is not the model's doing.
    let speed = ["fsync", "commit", "read-latency"];
    report.findings.iter().map(|f| f.rule).filter(|rule| !speed.contains(rule)).collect()
}

async fn put(client: &Client, key: String) {
    let request =
        pb::PutRequest { key: key.into(), value: "v".repeat(100).into(), ..Default::default() };
    client.kv().put(request).await.expect("a put");
}

/// From one endpoint all members are found, and under writes every figure is known.
#[tokio::test]
async fn healthy_cluster_is_known_in_full() {
    let cluster = Cluster::start(3);
    let client = Client::connect(Config::new(cluster.endpoints())).await.expect("endpoints");
    let collector = watch(vec![cluster.endpoint(1)]);
    let writing = tokio::spawn(async move {
        for n in 0.. {
            put(&client, format!("k{n}")).await;
        }
    });
    let picture = wait_for(&collector, "a cluster known in full", |picture| {
        is_healthy(picture)
            && picture.puts_per_second.known().is_some_and(|puts| *puts > 1.0)
            && picture.members.iter().all(|m| m.fsync_p99.known().is_some())
    })
    .await;
    writing.abort();
    assert_eq!(picture.quorum, Value::Known(Quorum { voters: 3, up: 3 }));
    assert_eq!(picture.is_serving, Value::Known(true));
    assert_eq!(picture.alarms, Value::Known(vec![]));
    assert_eq!(rules(&picture), Vec::<&str>::new());
    let roles: Vec<_> = picture.members.iter().filter_map(|m| m.role.known()).collect();
    assert_eq!(roles.iter().filter(|role| ***role == Role::Leader).count(), 1, "{roles:?}");
    for member in &picture.members {
        assert_eq!(member.version, Value::Known("3.7.1".into()));
        assert_eq!(member.db_quota, Value::Known(2 << 30));
        assert!(member.lag.known().is_some_and(|lag| *lag < 1000), "{:?}", member.lag);
        let space = member.db_in_use.known().zip(member.db_size.known());
        assert!(space.is_some_and(|(in_use, size)| 0 < *in_use && in_use <= size));
        let unknown = serde_json::to_string(member).expect("JSON").contains("\"unknown\"");
        assert!(!unknown, "{member:#?}");
    }
}

/// A killed member is down with its last figures; the others go on; restarted, it is up again.
#[tokio::test]
async fn killed_member_is_down_and_comes_back() {
    let mut cluster = Cluster::start(3);
    let collector = watch(cluster.endpoints());
    wait_for(&collector, "three members up", |picture| is_healthy(picture)).await;
    cluster.kill(2);
    let picture = wait_for(&collector, "n3 down", |picture| {
        matches!(named(picture, "n3").health, Health::Down { .. })
            && picture.leader.known().copied().flatten().is_some()
            && picture.is_serving == Value::Known(true)
    })
    .await;
    let down = named(&picture, "n3");
    assert!(down.version.is_stale() && down.db_size.is_stale(), "{down:#?}");
    assert_eq!(down.lag.known(), None, "nobody knows how far a silent member is");
    assert_eq!(picture.quorum, Value::Known(Quorum { voters: 3, up: 2 }));
    let found = rules(&picture);
    assert!(found.contains(&"quorum") && found.contains(&"member-up"), "{found:?}");
    cluster.restart(2);
    wait_for(&collector, "n3 back", |picture| is_healthy(picture)).await;
}

/// A member that hangs (its connections stay open) delays nobody's figures.
#[tokio::test]
async fn hung_member_delays_nobody() {
    let cluster = Cluster::start(3);
    let collector = watch(cluster.endpoints());
    let picture = wait_for(&collector, "three members up", |picture| is_healthy(picture)).await;
    let follower = picture.members.iter().position(|m| m.role == Value::Known(Role::Follower));
    let follower = follower.expect("there are followers");
    let name = picture.members[follower].name.clone();
    cluster.pause(follower);
    let start = Instant::now();
    let mut pictures = collector.snapshots();
    let (mut n_fresh, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    while start.elapsed() < Duration::from_secs(6) {
        pictures.changed().await.expect("the collector runs");
        let picture = pictures.borrow_and_update().clone();
        let others = picture.members.iter().filter(|member| member.name != name);
        if others.clone().all(|member| member.round_trip.known().is_some()) {
            n_fresh += 1;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    // A round every 250 ms; far fewer would mean that rounds wait for the hung member.
    assert!(n_fresh >= 8, "only {n_fresh} pictures with fresh figures in 6 s");
    assert!(
        longest < QUESTION_LIMIT - Duration::from_millis(500),
        "{longest:?} without fresh figures"
    );
    wait_for(&collector, "the hung member down", |picture| {
        matches!(&named(picture, &name).health, Health::Down { reason, .. } if reason.contains("no answer within"))
    })
    .await;
    cluster.resume(follower);
    wait_for(&collector, "the hung member back", |picture| is_healthy(picture)).await;
}

/// Without quorum the survivor still tells the members, and that it has no leader.
#[tokio::test]
async fn no_quorum_still_shows_the_members() {
    let mut cluster = Cluster::start(3);
    cluster.kill(0);
    cluster.kill(1);
    // A program started now has only the survivor to learn from.
    let collector = watch(vec![cluster.endpoint(2)]);
    let picture = wait_for(&collector, "the lost quorum", |picture| {
        picture.leader == Value::Known(None)
            && picture.is_serving == Value::Known(false)
            && picture.quorum == Value::Known(Quorum { voters: 3, up: 1 })
    })
    .await;
    assert_eq!(named(&picture, "n3").role, Value::Known(Role::Leaderless));
    assert!(rules(&picture).starts_with(&["quorum"]), "{:?}", rules(&picture));
}

/// Older servers: what they do not report is unknown with the reason, the quota comes from their metrics.
#[tokio::test]
async fn older_servers() {
    for release in [Version::V3_4_23, Version::V3_5_1] {
        let (version, server) = (release.name(), reference(release, "etcd"));
        let cluster = Cluster::start_as(Setup { server, n_members: 1, flags: vec![] });
        let collector = watch(cluster.endpoints());
        let picture = wait_for(&collector, version, |picture| {
            is_healthy(picture) && picture.members[0].db_quota.known().is_some()
        })
        .await;
        let member = &picture.members[0];
        assert_eq!(member.version, Value::Known(version.into()));
        assert_eq!(member.db_quota, Value::Known(2 << 30), "from the metrics");
        let reason = member.storage_version.reason().expect("unknown before 3.6");
        assert!(reason.contains(version), "{reason}");
        assert_eq!(rules(&picture), ["quorum"], "one voter, nothing else");
    }
}

/// Authentication on: without credentials the reason is shown, with them everything.
#[tokio::test]
async fn authentication() {
    let cluster = Cluster::start(1);
    let client = Client::connect(Config::new(cluster.endpoints())).await.expect("endpoints");
    client.auth().user_add("root", Some("secret")).await.expect("a user");
    client.auth().role_add("root").await.expect("a role");
    client.auth().user_grant_role("root", "root").await.expect("a grant");
    client.auth().user_add("guest", Some("secret")).await.expect("a user");
    client.auth().role_add("nothing").await.expect("a role");
    let permission = authpb::Permission {
        perm_type: authpb::permission::Type::Read as i32,
        key: "only-this".into(),
        range_end: Default::default(),
    };
    client.auth().role_grant_permission("nothing", permission).await.expect("a permission");
    client.auth().user_grant_role("guest", "nothing").await.expect("a grant");
    client.auth().enable().await.expect("authentication on");
    let anonymous = watch(cluster.endpoints());
    let picture = wait_for(&anonymous, "an answer", |picture| picture.round > 3).await;
    let text = format!("{picture:?}");
    assert!(text.contains("user name is empty"), "{text}");
    for user in ["root", "guest"] {
        let credentials = Credentials::Password { user: user.into(), password: "secret".into() };
        let collector = watch_as(cluster.endpoints(), Some(credentials));
        let picture = wait_for(&collector, user, |picture| is_healthy(picture)).await;
        // That a guest's read is denied proves that it got through.
        assert_eq!(picture.is_serving, Value::Known(true), "{user}");
    }
}

/// The NOSPACE alarm comes without asking the log for it.
#[tokio::test]
async fn alarm_is_seen() {
    let flags = vec!["--quota-backend-bytes=300000".into()];
    let server = reference(Version::V3_7_1, "etcd");
    let cluster = Cluster::start_as(Setup { server, n_members: 1, flags });
    let client = Client::connect(Config::new(cluster.endpoints())).await.expect("endpoints");
    for n in 0..200 {
        let request = pb::PutRequest {
            key: format!("k{n}").into(),
            value: vec![7; 10_000].into(),
            ..Default::default()
        };
        if client.kv().put(request).await.is_err() {
            break;
        }
    }
    let collector = watch(cluster.endpoints());
    let picture = wait_for(&collector, "the alarm", |picture| {
        picture.alarms.known().is_some_and(|alarms| !alarms.is_empty())
    })
    .await;
    assert_eq!(picture.members[0].alarms, Value::Known(vec![AlarmKind::Nospace]));
    assert!(rules(&picture).starts_with(&["alarm"]), "{:?}", rules(&picture));
    let before = picture.members[0].commit_index.clone();
    let later = wait_for(&collector, "more rounds", |p| p.round > picture.round + 4).await;
    assert_eq!(later.members[0].commit_index, before, "watching writes nothing to the log");
}

/// An endpoint of another cluster is a stranger, not a member.
#[tokio::test]
async fn two_clusters_are_not_mixed() {
    let (ours, other) = (Cluster::start(1), Cluster::start(1));
    let collector = watch(vec![ours.endpoint(0), other.endpoint(0)]);
    let picture = wait_for(&collector, "the stranger", |picture| {
        !picture.strangers.is_empty() && is_healthy(picture)
    })
    .await;
    assert_eq!(picture.members.len(), 1);
    assert!(matches!(picture.strangers[0].state, StrangerState::OtherCluster { .. }));
    assert_eq!(picture.strangers[0].endpoint, other.endpoint(0));
    assert!(rules(&picture).starts_with(&["one-cluster"]), "{:?}", rules(&picture));
}

/// A learner that was added but never started has its row.
#[tokio::test]
async fn unstarted_learner() {
    let cluster = Cluster::start(1);
    let client = Client::connect(Config::new(cluster.endpoints())).await.expect("endpoints");
    let urls = vec!["http://127.0.0.1:11999".to_owned()];
    client.cluster().member_add_learner(urls).await.expect("a learner");
    let collector = watch(cluster.endpoints());
    let picture = wait_for(&collector, "two members", |picture| {
        picture.members.len() == 2 && picture.members[0].health == Health::Up
    })
    .await;
    assert_eq!(picture.members[1].health, Health::NotStarted);
    assert_eq!(picture.quorum, Value::Known(Quorum { voters: 1, up: 1 }));
    assert_eq!(rules(&picture), ["member-started", "quorum"]);
}
