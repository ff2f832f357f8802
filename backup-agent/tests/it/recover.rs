//! `recover`: a real cluster that has lost its quorum comes back, with every acknowledged write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate_client::proto::etcdserverpb as pb;

use crate::support::{Agent, Cluster, QUORATE, S3Server, client, get_all, put_many, server_binary};

/// A script that starts members as an operator's hook would, and the processes it started.
struct Hook {
    directory: tempfile::TempDir,
}

impl Hook {
    fn new(version: &str) -> Self {
        let hook = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        hook.write(&format!(
            r#"cd {root}
{binary} --name "$QUORATE_RECOVER_NAME" --data-dir "${{QUORATE_RECOVER_DATA_DIR:-{root}/$QUORATE_RECOVER_NAME}}" \
  --listen-client-urls "$QUORATE_RECOVER_CLIENT_URLS" --advertise-client-urls "$QUORATE_RECOVER_CLIENT_URLS" \
  --listen-peer-urls "$QUORATE_RECOVER_PEER_URLS" --initial-advertise-peer-urls "$QUORATE_RECOVER_PEER_URLS" \
  --initial-cluster "$QUORATE_RECOVER_INITIAL_CLUSTER" \
  --initial-cluster-state "$QUORATE_RECOVER_INITIAL_CLUSTER_STATE" >"$QUORATE_RECOVER_NAME.log" 2>&1 &
echo $! >> pids
"#,
            root = hook.directory.path().display(),
            binary = server_binary(version).display(),
        ));
        hook
    }

    fn script(&self) -> PathBuf {
        self.directory.path().join("start.sh")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.script(), text).expect("written");
    }

    fn command(&self) -> String {
        format!("sh {}", self.script().display())
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.directory.path().join("pids")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Every file below a directory with its bytes.
fn tree(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut tree(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).expect("a file"));
        }
    }
    files
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Writes until told to stop; returns what was acknowledged, with its revision.
async fn write_until(stop: Arc<AtomicBool>, endpoint: String) -> Vec<(String, i64)> {
    let client = client(&endpoint).await;
    let mut acknowledged = Vec::new();
    for index in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("under-load/{index:06}");
        let request = pb::PutRequest {
            key: key.clone().into(),
            value: key.clone().into(),
            ..Default::default()
        };
        match client.kv().put(request).await {
            Ok(answer) => acknowledged.push((key, answer.header.expect("a header").revision)),
            Err(_) => break,
        }
    }
    acknowledged
}

/// Three members, one dies, then under load the leader, then the survivor is stopped too: `recover` brings three members
/// back with every acknowledged write, confirms that they agree, and never wrote to the survivor's directory. Run again
/// it finds all done.
#[tokio::test(flavor = "multi_thread")]
async fn one_survivor_of_etcd_brings_back_every_acknowledged_write() {
    survivor_brings_back_every_acknowledged_write("3.7.1", 3).await;
}

/// The same with a Quorate cluster, brought back as a cluster of one.
#[tokio::test(flavor = "multi_thread")]
async fn one_survivor_of_quorate_brings_back_every_acknowledged_write() {
    survivor_brings_back_every_acknowledged_write(QUORATE, 3).await;
}

async fn survivor_brings_back_every_acknowledged_write(version: &str, n_back: usize) {
    let mut cluster = Cluster::start(version, 3).await;
    put_many(&client(&cluster.endpoints()).await, "before", 50, 20).await;
    let leader = cluster.leader().await;
    let (lost, survivor) = ((leader + 1) % 3, (leader + 2) % 3);
    // With one member gone, whatever is acknowledged is on the two that are left.
    cluster.kill(lost);
    let stop = Arc::new(AtomicBool::new(false));
    let endpoint = cluster.members[leader].client_url.clone();
    let writers: Vec<_> =
        (0..4).map(|_| tokio::spawn(write_until(Arc::clone(&stop), endpoint.clone()))).collect();
    tokio::time::sleep(std::time::Duration::from_millis(2000)).await;
    cluster.kill(leader);
    cluster.kill(survivor);
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("a writer"));
    }
    assert!(acknowledged.len() > 50, "only {} writes", acknowledged.len());

    let source = cluster.members[survivor].data_dir.clone();
    let before = tree(&source);
    let hook = Hook::new(version);
    let server = S3Server::start().await;
    let work = tempfile::tempdir().expect("a temporary directory");
    let agent = Agent::with_s3(&server, "rescue")
        .with("--from-data-dir", text(&source))
        .with("--data-dir", text(&work.path().join("new")))
        .with("--work-dir", text(&work.path().join("work")))
        .with("--server-binary", text(&server_binary(version)))
        .with("--start-hook", &hook.command())
        .with("--wait", "30");
    let survivor = &cluster.members[survivor];
    let agent = match n_back {
        1 => agent.with("--initial-cluster", &format!("{}={}", survivor.name, survivor.peer_url)),
        _ => agent,
    };

    let plan = agent.run(&["recover", "--dry-run"]).await.ok().stdout;
    assert!(plan.contains("etcdutl snapshot restore"), "{plan}");
    assert_eq!(plan.matches("member promote").count(), n_back - 1, "{plan}");
    assert!(!work.path().join("work").exists(), "a dry run does nothing");
    // Without a terminal nobody can be asked, so nothing is done without --yes.
    agent.run(&["recover"]).await.fails(7);

    let ran = agent.run(&["recover", "--yes", "--output", "json"]).await.ok();
    let done = ran.json()["done"].as_array().expect("steps").len();
    assert_eq!(tree(&source), before, "the survivor's directory is only read");

    let recovered = client(&survivor.client_url).await;
    let (pairs, _) = get_all(&recovered).await;
    for (key, revision) in &acknowledged {
        // Writers share keys, so a later writer's revision may be there.
        let found = pairs.get(key.as_bytes()).unwrap_or_else(|| panic!("{key} is lost"));
        assert!(found.1 >= *revision, "{key} was written at {revision}, found {}", found.1);
    }
    assert_eq!(pairs.keys().filter(|key| key.starts_with(b"before/")).count(), 50);
    let members = recovered.cluster().member_list().await.expect("a list").members;
    assert_eq!(members.len(), n_back);
    assert!(members.iter().all(|member| !member.is_learner));

    // Both the rescued state and the fresh one are in the store now.
    let store = Agent::with_s3(&server, "rescue");
    let listed = store.run(&["list", "--output", "json"]).await.ok().json();
    assert_eq!(listed["backups"].as_array().expect("backups").len(), 2, "{listed}");
    let again = agent.run(&["recover", "--yes"]).await.ok();
    assert_eq!(again.stderr.matches("done before").count(), done, "{}", again.stderr);
}

/// A member that still answers stops the recovery before anything is done; a running survivor does so as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_member_stops_the_recovery() {
    let mut cluster = Cluster::start("3.7.1", 3).await;
    put_many(&client(&cluster.endpoints()).await, "k", 3, 3).await;
    let work = tempfile::tempdir().expect("a temporary directory");
    let agent = Agent::default()
        .with("--from-data-dir", text(&cluster.members[0].data_dir))
        .with("--data-dir", text(&work.path().join("new")))
        .with("--work-dir", text(&work.path().join("work")))
        .with("--server-binary", text(&server_binary("3.7.1")));
    let ran = agent.run(&["recover", "--yes"]).await.fails(7);
    assert!(ran.stderr.contains("running server"), "{}", ran.stderr);

    cluster.kill(0);
    let ran = agent.run(&["recover", "--yes"]).await.fails(7);
    assert!(ran.stderr.contains("members answer: m2, m3"), "{}", ran.stderr);
    assert!(ran.stderr.contains("majority answers"), "{}", ran.stderr);
    assert!(!work.path().join("new").exists());
}

/// From a backup: the revision is raised so that caches start anew; a start that fails is taken up again where it
/// stopped; `--undo` puts the new directory aside and touches nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_a_cluster_back_and_can_be_resumed_and_undone() {
    let mut cluster = Cluster::start("3.5.1", 1).await;
    let revision = put_many(&client(&cluster.endpoints()).await, "k", 20, 10).await;
    let server = S3Server::start().await;
    let store = Agent::with_s3(&server, "b");
    let take = store.clone().with("--endpoints", &cluster.endpoints());
    take.run(&["backup", "now"]).await.ok();
    cluster.kill(0);

    let hook = Hook::new("3.5.1");
    let works = std::fs::read_to_string(hook.script()).expect("the script");
    hook.write("exit 3\n");
    let work = tempfile::tempdir().expect("a temporary directory");
    let data_dir = work.path().join("new");
    let agent = store
        .clone()
        .with("--from-backup", "latest")
        .with("--data-dir", text(&data_dir))
        .with("--work-dir", text(&work.path().join("work")))
        .with("--server-binary", text(&server_binary("3.5.1")))
        .with("--start-hook", &hook.command())
        .with("--wait", "30");
    let ran = agent.run(&["recover", "--yes"]).await.fails(8);
    assert!(ran.stderr.contains("start hook of m1 ended with"), "{}", ran.stderr);
    hook.write(&works);
    let ran = agent.run(&["recover", "--yes"]).await.ok();
    assert!(ran.stderr.contains("done before"), "{}", ran.stderr);

    let (pairs, now) = get_all(&client(&cluster.endpoints()).await).await;
    assert_eq!((pairs.len(), now), (20, revision + 1_000_000_000));

    let refused = agent.run(&["recover", "--yes", "--undo"]).await.fails(7);
    assert!(refused.stderr.contains("still runs"), "{}", refused.stderr);
    drop(hook);
    agent.run(&["recover", "--yes", "--undo"]).await.ok();
    assert!(!data_dir.exists());
    let aside = std::fs::read_dir(work.path()).expect("a directory").filter_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        name.starts_with("new.undone-").then_some(name)
    });
    assert_eq!(aside.count(), 1);
}
