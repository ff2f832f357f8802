//! The stock `etcdctl` in three versions drives a three-member cluster; what 3.7.1 prints equals what it prints for real
//! etcd 3.7.1.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testbed::{Cluster, Plan, Version, reference};

/// A line of etcdctl's arguments, and what to give it on standard input.
pub struct Line {
    pub args: Vec<String>,
    pub input: &'static str,
}

pub fn line(args: &str) -> Line {
    Line { args: args.split(' ').map(str::to_owned).collect(), input: "" }
}

pub fn start(program: &Path, folder: &Path) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    Cluster::start(&Plan { program, members: 3, folder, extra: &[] }).unwrap()
}

/// Runs etcdctl and returns its exit code, standard output and standard error.
pub fn run(program: &Path, endpoints: &str, line: &Line) -> (i32, String, String) {
    use std::io::Write;
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("ETCDCTL_API", "3")
        // The machine may be busy. By a flag: etcdctl 3.5 cannot move a leader with the variable.
        .args([format!("--endpoints={endpoints}"), "--command-timeout=60s".to_owned()])
        .args(&line.args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(line.input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let errors = text(&output.stderr);
    (output.status.code().unwrap_or(-1), text(&output.stdout), errors)
}

/// What standard error says beside log lines.
pub fn error_line(errors: &str) -> &str {
    errors.lines().rfind(|line| line.starts_with("Error")).unwrap_or_default()
}

/// Hides ids, addresses, times and sizes, which differ between any two clusters.
pub fn mask(text: &str) -> String {
    let is_word =
        |c: char| c.is_ascii_alphanumeric() || c == '.' || c == ':' || c == '/' || c == '-';
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let is_address = word.contains("127.0.0.1");
        let is_id = word.len() >= 14 && word.chars().all(|c| c.is_ascii_hexdigit());
        let is_time = word.ends_with("ms") || word.ends_with("\u{b5}s") || word.ends_with('s');
        let is_time =
            is_time && word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        let number = word.trim_matches(':');
        let is_number = number.len() >= 17 && number.chars().all(|c| c.is_ascii_digit());
        out.push_str(if is_address || is_id || is_time || is_number { "X" } else { word });
        word.clear();
    };
    for c in text.chars() {
        if is_word(c) || c == '\u{b5}' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    // Short ids are padded.
    while out.contains("  ") {
        out = out.replace("  ", " ");
    }
    // Lists of ids come in the order of the ids.
    let mut lines: Vec<&str> = out.lines().collect();
    if lines.iter().all(|line| line.starts_with('X') || line.starts_with(['│', '┌', '├', '└']))
    {
        lines.sort_unstable();
    }
    lines.join("\n")
}

/// What is run. Lease ids cannot be chosen with etcdctl, so leases are made by the suite's other half.
fn lines() -> Vec<Line> {
    let mut lines: Vec<Line> = [
        "put k1 v1",
        "put k2 v2",
        "put k1 v1b --prev-kv",
        "get k1",
        "get k1 -w json",
        "get k1 -w fields",
        "get k --prefix",
        "get k --prefix --keys-only",
        "get k --prefix --count-only -w fields",
        "get k --prefix --limit 1",
        "get k1 k3",
        "get --from-key k1",
        "get k1 --print-value-only",
        "get k --prefix --order DESCEND --sort-by VERSION",
        "get k1 --rev 2",
        "get k1 --rev 999",
        "get missing",
        "get k1 --hex",
        "get k --prefix --consistency s",
        "del k2 --prev-kv",
        "del k2",
        "put k3 x --lease 1234",
        "put k3 --ignore-value",
        "put k4 v",
        "put k5 v",
        "del k4 --prefix",
        "lease list",
        "lease timetolive 99",
        "lease revoke 99",
        "lease keep-alive --once 99",
        "member list",
        "member list -w table",
        "member remove 1234",
        "member promote 1234",
        "member update 1234 --peer-urls=http://127.0.0.1:1",
        "member add x --peer-urls=bad",
        "endpoint hashkv",
        "alarm list",
        "alarm disarm",
        "move-leader 1234",
        "compaction 5",
        "compaction 5",
        "compaction 999",
        "get k1 --rev 3",
        "compaction 7 --physical",
        "endpoint health",
        "defrag",
        "version",
        "get k --prefix --min-mod-rev 3",
        "get k --prefix --max-create-rev 2",
        "put",
        "get",
        "nonsense",
        "get k1 --order UP",
    ]
    .into_iter()
    .map(line)
    .collect();
    for input in [
        "value(\"k1\") = \"v1b\"\n\nput t1 1\nget t1\n\nput t2 2\n\n",
        "version(\"k1\") = \"9\"\n\nput t1 1\n\nget k1\ndel k1\n\n",
        "mod(\"k9\") = \"0\"\ncreate(\"k9\") = \"0\"\n\nput k9 new\n\nget k9\n\n",
        "nonsense\n\n\n\n",
    ] {
        lines.push(Line { args: vec!["txn".to_owned()], input });
    }
    lines
}

/// Every line prints and exits the same with Quorate as with etcd.
#[test]
fn output_equals_that_for_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let ours =
        start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), &folder.path().join("quorate"));
    let theirs = start(&reference(Version::V3_7_1, "etcd"), &folder.path().join("etcd"));
    let etcdctl = reference(Version::V3_7_1, "etcdctl");
    let (our_urls, their_urls) = (ours.client_urls().join(","), theirs.client_urls().join(","));
    let mut found = Vec::new();
    let ask = |urls: &str, line: &Line| {
        let (code, out, error) = run(&etcdctl, urls, line);
        (code, mask(&out), mask(error_line(&error)))
    };
    for line in lines() {
        let (mut our, mut their) = (ask(&our_urls, &line), ask(&their_urls, &line));
        // etcdctl asks any member: one that lags behind on either side is asked again.
        let changes_nothing = ["get", "endpoint"].contains(&line.args[0].as_str());
        for _ in 0..5 {
            if our == their || !changes_nothing {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
            (our, their) = (ask(&our_urls, &line), ask(&their_urls, &line));
        }
        if our != their {
            found.push(format!(
                "{:?} {:?}\n  etcd:    {their:?}\n  quorate: {our:?}",
                line.args, line.input
            ));
        }
    }
    assert!(found.is_empty(), "{} lines differ:\n{}", found.len(), found.join("\n"));
}

fn expect(program: &Path, endpoints: &str, args: &str, wanted: &str) -> String {
    let (code, out, error) = run(program, endpoints, &line(args));
    // 3.4 writes the good news about health to standard error.
    let is_there = out.contains(wanted) || error.contains(wanted);
    assert!(code == 0 && is_there, "{args}: exit {code}, {error}\n{out}");
    out
}

fn drive(etcdctl: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let cluster = start(Path::new(env!("CARGO_BIN_EXE_quorate-server")), folder.path());
    let urls = cluster.client_urls();
    let all = urls.join(",");
    let run_line = |args: &str, wanted: &str| expect(&etcdctl, &all, args, wanted);
    run_line("put a 1", "OK");
    run_line("get a", "a\n1");
    run_line("del a", "1");
    let txn = Line {
        args: vec!["txn".to_owned()],
        input: "version(\"a\") = \"0\"\n\nput a 2\n\nget a\n\n",
    };
    let (code, out, _) = run(&etcdctl, &all, &txn);
    assert!(code == 0 && out.contains("SUCCESS"), "txn: {out}");
    let granted = run_line("lease grant 100", "granted with TTL(100s)");
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    run_line(&format!("put leased v --lease={id}"), "OK");
    run_line(&format!("lease timetolive {id} --keys"), "attached keys([leased])");
    run_line(&format!("lease keep-alive --once {id}"), "keepalived with TTL(100)");
    run_line("lease list", &id);
    run_line(&format!("lease revoke {id}"), "revoked");
    let members = run_line("member list", "started");
    assert_eq!(members.lines().count(), 3);
    run_line("endpoint status", "3.7.1");
    run_line("endpoint health", "is healthy");
    run_line("endpoint hashkv", "");
    run_line("alarm list", "");
    run_line("compaction 3", "compacted revision 3");
    run_line("defrag", "Finished defragmenting");
    let watched = watch_one(&etcdctl, &all);
    assert!(watched.contains("PUT\nwatched\n1"), "watch: {watched}");
    let file = folder.path().join("snapshot.db");
    expect(&etcdctl, &urls[0], &format!("snapshot save {}", file.display()), "");
    assert_eq!(std::fs::metadata(&file).unwrap().len() % 512, 32);
    move_leader(&etcdctl, &all, &members);
}

/// Starts a watch, puts, and returns what the watch printed.
fn watch_one(etcdctl: &Path, endpoints: &str) -> String {
    use std::io::{BufRead, BufReader};
    // A revision below the compacted one ends the watch, so it begins above it.
    let (_, out, _) = run(etcdctl, endpoints, &line("get a -w json"));
    let revision: u64 =
        out.split("\"revision\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let mut command = Command::new(etcdctl);
    command.env_clear().env("ETCDCTL_API", "3").arg(format!("--endpoints={endpoints}"));
    command.args(["watch", "watched", "--rev", &(revision + 1).to_string()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    expect(etcdctl, endpoints, "put watched 1", "OK");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(3);
    let text = lines.map_while(Result::ok).collect::<Vec<_>>().join("\n");
    child.kill().unwrap();
    child.wait().unwrap();
    text
}

/// Moves leadership to each member in turn; the one that leads already refuses nothing either.
fn move_leader(etcdctl: &Path, endpoints: &str, members: &str) {
    let ids: Vec<&str> = members.lines().map(|line| line.split(',').next().unwrap()).collect();
    // On a busy machine a transfer may run out of its time: then it is asked for again.
    let moves = |id: &&&str| {
        (0..10).any(|_| {
            let (code, out, error) = run(etcdctl, endpoints, &line(&format!("move-leader {id}")));
            println!("move-leader {id}: {code} {}", error_line(&error));
            code == 0 && out.contains("Leadership transferred")
        })
    };
    let moved = ids.iter().filter(moves).count();
    assert!(moved >= 2, "leadership moved {moved} times");
}

/// etcdctl 3.7.1 works with a cluster of Quorate.
#[test]
fn etcdctl_3_7_drives_a_cluster() {
    drive(reference(Version::V3_7_1, "etcdctl"));
}

/// etcdctl 3.5.1 works with a cluster of Quorate.
#[test]
fn etcdctl_3_5_drives_a_cluster() {
    drive(reference(Version::V3_5_1, "etcdctl"));
}

/// etcdctl 3.4.23 works with a cluster of Quorate.
#[test]
fn etcdctl_3_4_drives_a_cluster() {
    drive(reference(Version::V3_4_23, "etcdctl"));
}
