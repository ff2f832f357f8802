//! Guarded plans against a real cluster of three: shown, made, refused.

use super::{ctl, json, says, start};
use std::time::{Duration, Instant};

/// A dry run shows the plan and changes nothing; the guarded run makes it, the leader last; with a member dead it is
/// refused before anything is done.
#[test]
fn defragmentation_goes_by_plan() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path(), 3);
    let urls = cluster.client_urls().join(",");
    let base = ["--endpoints", &urls, "--command-timeout", "20s"];
    let with = |words: &[&'static str]| -> Vec<&str> { [&base[..], words].concat() };
    let plan = json(&with(&["defrag", "--cluster", "--dry-run"]));
    assert_eq!(plan["blocked"], false, "{plan}");
    assert_eq!(plan["steps"].as_array().unwrap().len(), 3);
    assert!(plan["steps"][2]["what"].as_str().unwrap().contains("(leader)"), "{plan}");
    let shown = says(&with(&["defrag", "--cluster", "--dry-run"]));
    assert!(shown.contains("Nothing was changed."), "{shown}");
    let done = says(&with(&["defrag", "--cluster", "--guarded"]));
    assert_eq!(done.lines().filter(|line| line.starts_with("Done: defragment")).count(), 3);

    cluster.members[0].process.kill().unwrap();
    let refused = ctl(&with(&["defrag", "--cluster", "--guarded"]));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains("not healthy: m1") && text.contains("Nothing was changed"), "{text}");
    let shown = ctl(&with(&["defrag", "--cluster", "--dry-run"]));
    assert_eq!(shown.status.code(), Some(1), "a blocked plan is no success");
    assert!(String::from_utf8_lossy(&shown.stdout).contains("BLOCKED"));
}

/// Members: a learner is planned, added and removed again; beside a dead member nobody is added.
#[test]
fn members_change_by_plan() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = start(folder.path(), 3);
    let urls = cluster.client_urls().join(",");
    let base = ["--endpoints", &urls, "--command-timeout", "20s"];
    let peer = "--peer-urls=http://127.0.0.1:1";
    let add = ["member", "add", "n4", peer, "--learner"];
    let plan = json(&[&base[..], &add, &["--dry-run"]].concat());
    assert_eq!(plan["steps"][0]["action"], "add_member", "{plan}");
    let list = |base: &[&str]| json(&[base, &["member", "list"]].concat());
    assert_eq!(list(&base)["members"].as_array().unwrap().len(), 3);
    let added = add_when_ready(&[&base[..], &add, &["--guarded"]].concat());
    assert!(added.contains("added as learner to cluster"), "{added}");
    assert!(added.contains("ETCD_NAME=\"n4\""), "{added}");
    // One change at a time: the learner has not started yet.
    let second = ["member", "add", "n5", "--peer-urls=http://127.0.0.1:2", "--guarded"];
    let refused = ctl(&[&base[..], &second].concat());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("never started"));
    let id = added.split_whitespace().nth(1).unwrap();
    let removed = says(&[&base[..], &["member", "remove", id, "--guarded"]].concat());
    assert!(removed.contains("removed from cluster"), "{removed}");

    cluster.members[2].process.kill().unwrap();
    let refused = ctl(&[&base[..], &add, &["--guarded"]].concat());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("remove the dead member first"), "{text}");
    assert_eq!(list(&base)["members"].as_array().unwrap().len(), 3);
}

/// Where nobody answers, no plan is shown: nothing in it would be true.
#[test]
fn nothing_is_planned_in_the_dark() {
    for flag in ["--dry-run", "--guarded"] {
        let add = ["member", "add", "n4", "--peer-urls=http://127.0.0.1:1", flag];
        let base = ["--endpoints", "127.0.0.1:1", "--command-timeout", "2s"];
        let refused = ctl(&[&base[..], &add].concat());
        let text = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stdout.is_empty());
        assert!(text.contains("nothing is planned (127.0.0.1:1: "), "{text}");
    }
}

/// A cluster takes no member before all have been connected for five seconds (`etcdserver: unhealthy cluster`).
fn add_when_ready(words: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = ctl(words);
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("unhealthy cluster") && Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Leadership moves to the member named, whichever endpoints were given.
#[test]
fn leadership_moves_by_plan() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(folder.path(), 3);
    let url = cluster.client_urls()[0].clone();
    let base = ["--endpoints", &url, "--command-timeout", "20s"];
    let status = json(&[&base[..], &["endpoint", "status", "--cluster"]].concat());
    let leader = status[0]["Status"]["leader"].as_u64().unwrap();
    let ids = status.as_array().unwrap().iter();
    let mut ids = ids.map(|item| item["Status"]["header"]["member_id"].as_u64().unwrap());
    let target = format!("{:x}", ids.find(|id| *id != leader).unwrap());
    let moved = says(&[&base[..], &["move-leader", &target, "--guarded"]].concat());
    assert_eq!(moved, format!("Leadership transferred from {leader:x} to {target}\n"));
}
