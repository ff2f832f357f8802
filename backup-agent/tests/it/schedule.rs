//! `run`: the first backup at once, then by the schedule, pruned by policy, and a clean end on SIGTERM.

use std::time::{Duration, Instant};

use crate::support::{Agent, Cluster};

/// An empty store gets its first backup at once; further ones follow the schedule; retention prunes; SIGTERM ends the
/// agent with 0 and the status file tells all of it.
#[tokio::test(flavor = "multi_thread")]
async fn backups_follow_the_schedule_until_sigterm() {
    let cluster = Cluster::start("3.7.1", 1).await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let status_file = directory.path().join("status.json");
    let store = Agent::with_directory(&directory.path().join("store"));
    let mut agent = store
        .clone()
        .with("--endpoints", &cluster.endpoints())
        .with("--schedule", "* * * * * *")
        .with("--keep-last", "2")
        .with("--status-file", status_file.to_str().expect("text"))
        .command(&["run"])
        .spawn()
        .expect("the agent starts");

    let read_status = || -> Option<serde_json::Value> {
        serde_json::from_slice(&std::fs::read(&status_file).ok()?).ok()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 4 {
        assert!(Instant::now() < deadline, "only {ids:?}");
        if let Some(id) = read_status().and_then(|s| Some(s["last_backup_id"].as_str()?.to_owned()))
        {
            ids.insert(id);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pid = rustix::process::Pid::from_raw(agent.id().try_into().expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    let ended = tokio::task::spawn_blocking(move || agent.wait()).await.expect("a task");
    assert_eq!(ended.expect("an end").code(), Some(0));

    let status = read_status().expect("a status");
    assert_eq!(status["state"], "stopped");
    assert_eq!(status["n_failures"], 0);
    let listed = store.run(&["list", "--output", "json"]).await.ok().json();
    let n_left = listed["backups"].as_array().expect("backups").len();
    assert!((2..=3).contains(&n_left), "retention keeps 2, got {n_left}");
}

/// A cluster that is down is reported in the status file, and the agent keeps trying instead of ending.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_is_reported() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let status_file = directory.path().join("status.json");
    let mut agent = Agent::with_directory(&directory.path().join("store"))
        .with("--endpoints", "http://127.0.0.1:1")
        .with("--status-file", status_file.to_str().expect("text"))
        .command(&["run"])
        .spawn()
        .expect("the agent starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "no failure reported");
        let status = std::fs::read(&status_file).unwrap_or_default();
        if let Ok(status) = serde_json::from_slice::<serde_json::Value>(&status)
            && status["state"] == "failing"
        {
            assert!(status["last_error"].as_str().expect("text").contains("no endpoint answered"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    agent.kill().expect("killed");
    agent.wait().expect("ended");
}
