//! Command lines, variables and configuration files given to the program itself, beside real etcd 3.7.1: who is refused
//! and with what exit code.

use super::stage::{Caller, PATIENCE, SERVER};
use std::path::Path;
use std::process::{Command, Stdio};
use testbed::{Process, Version, free_ports, reference};

/// Runs a program that should end by itself, and returns its exit code and what it said.
fn run(
    program: &Path,
    folder: &Path,
    args: &[&str],
    environment: &[(&str, &str)],
) -> (i32, String) {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().envs(environment.iter().copied()).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// A wrong command line, and a text that both servers must say; none where etcd prints its usage only.
const REFUSED: &[(&[&str], &str)] = &[
    (&["--no-such-flag"], ""),
    (&["stray"], "is not a valid flag"),
    (&["--snapshot-count=x"], ""),
    (&["--snapshot-count=-1"], ""),
    (&["--quota-backend-bytes=x"], ""),
    (&["--backend-batch-interval=x"], ""),
    (&["--pre-vote=x"], ""),
    (&["--listen-client-urls=x"], ""),
    (&["--cors=foo bar"], "URL scheme must be http, https, unix, or unixs: foo bar"),
    (&["--feature-gates=Nope=true"], ""),
    (&["--feature-gates=InitialCorruptCheck=x"], ""),
    (
        &["--feature-gates=LeaseCheckpointPersist=true"],
        "requires enabling feature gate LeaseCheckpoint",
    ),
    (&["--config-file=/nonexistent"], ""),
    (&["--config-file=bad.yaml"], ""),
    (&["--initial-cluster-state=old"], ""),
    (&["--log-level=silly"], ""),
    (&["--logger=capnslog"], ""),
    (&["--log-format=x"], ""),
    (&["--log-outputs=default,stderr"], "is not supported yet"),
    (&["--log-outputs=/nonexistent/log"], "open sink"),
    (&["--enable-log-rotation"], "--log-outputs requires a single file path"),
    (
        &[
            "--enable-log-rotation",
            "--log-outputs=x.log",
            "--log-rotation-config-json={\"maxsize\": \"x\"}",
        ],
        "invalid log rotation config",
    ),
    (&["--discovery-fallback=proxy"], "can't be configured as"),
    (&["--discovery-fallback=x"], ""),
    (&["--auto-compaction-mode=x"], ""),
    (&["--auto-compaction-retention=x"], ""),
    (&["--compact-hash-check-time=0"], "--compact-hash-check-time must be >0"),
    (&["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"),
    (
        &["--discovery-srv=x", "--initial-cluster=default=http://localhost:2380"],
        "multiple discovery or bootstrap flags are set",
    ),
    (&["--heartbeat-interval=0"], ">0"),
    (&["--election-timeout=60000"], "is too long, and should be set less than 50000ms"),
    (&["--heartbeat-interval=300"], "should be at least as 5 times as"),
    (&["--listen-client-urls=http://127.0.0.1:1"], ""),
    (
        &[
            "--listen-client-urls=http://example.com:1",
            "--advertise-client-urls=http://127.0.0.1:1",
        ],
        "",
    ),
    (&["--discovery-srv=nowhere.invalid"], "error querying DNS SRV records for"),
];

/// Both refuse the same command lines, with the same exit code, and nobody leaves a data directory.
#[test]
fn wrong_command_lines_end_as_etcds_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "a: [").unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    let mut wrong = Vec::new();
    for (args, text) in REFUSED {
        let (our, our_text) = run(Path::new(SERVER), folder.path(), args, &[]);
        let (their, their_text) = run(&etcd, folder.path(), args, &[]);
        std::fs::remove_dir_all(folder.path().join("default.etcd")).ok();
        let is_said = our_text.contains(text) && their_text.contains(text);
        if our != their || !is_said {
            wrong.push(format!("{args:?}: etcd {their}, Quorate {our}: {our_text}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), REFUSED.len(), wrong.join("\n"));
}

/// Arguments, and variables beside them.
type Start<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// Variables are refused as etcd refuses them: beside their flag, and with a value of the wrong shape.
#[test]
fn wrong_variables_end_as_etcds_do() {
    let folder = tempfile::tempdir().unwrap();
    let etcd = reference(Version::V3_7_1, "etcd");
    let cases: [Start<'_>; 3] = [
        (&["--name=y"], &[("ETCD_NAME", "x")]),
        (&[], &[("ETCD_SNAPSHOT_COUNT", "x")]),
        (&["--name=q"], &[("ETCD_CONFIG_FILE", "/nonexistent"), ("ETCD_NAME", "z")]),
    ];
    for (args, environment) in cases {
        let (our, text) = run(Path::new(SERVER), folder.path(), args, environment);
        let (their, _) = run(&etcd, folder.path(), args, environment);
        assert_eq!(our, their, "{environment:?}: {text}");
    }
}

/// A member runs by a file alone, in the form of etcd's own sample, old keys included; flags beside it do not count;
/// its log goes to a file that is rotated.
#[tokio::test]
async fn a_file_runs_a_member() {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(2).unwrap();
    let (client, peer) = (ports[0], ports[1]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "name: 'filed'\ndata-dir: {}\nwal-dir:\nsnapshot-count: 10000\nheartbeat-interval: 100\n\
         listen-peer-urls: http://127.0.0.1:{peer}\nlisten-client-urls: http://127.0.0.1:{client}\n\
         initial-advertise-peer-urls: http://127.0.0.1:{peer}\n\
         advertise-client-urls: http://127.0.0.1:{client}\ncors:\ndiscovery:\n\
         discovery-fallback: 'proxy'\ndiscovery-proxy:\ndiscovery-srv:\ninitial-cluster:\n\
         initial-cluster-token: 'etcd-cluster'\ninitial-cluster-state: 'new'\n\
         strict-reconfig-check: false\nenable-pprof: true\nproxy: 'off'\nproxy-failure-wait: 5000\n\
         client-transport-security:\n  cert-file:\n  client-cert-auth: false\n  auto-tls: false\n\
         peer-transport-security:\n  cert-file:\n  allowed-cn:\n  allowed-hostname:\n  auto-tls: false\n\
         self-signed-cert-validity: 1\nlog-level: info\nlogger: zap\nlog-outputs: [{}]\n\
         enable-log-rotation: true\nforce-new-cluster: false\nauto-compaction-mode: periodic\n\
         auto-compaction-retention: \"1\"\ntls-min-version: 'TLS1.2'\nexperimental-max-learners: 2\n",
        at("data"),
        at("etcd.log"),
    );
    std::fs::write(folder.path().join("etcd.conf.yml"), config).unwrap();
    let args = [format!("--config-file={}", at("etcd.conf.yml")), "--name=flag".to_owned()];
    let mut process = Process::new("filed", folder.path(), Path::new(SERVER), &args);
    process.log = folder.path().join("etcd.log");
    process.start().unwrap();
    process.wait_ready(PATIENCE).unwrap();
    let log = process.log_text();
    for text in [
        "\"name\":\"filed\"",
        "--experimental-max-learners is deprecated",
        "will be ignored if provided",
    ] {
        assert!(log.contains(text), "{text} is not in\n{log}");
    }
    Caller::to(&format!("http://127.0.0.1:{client}")).await.put("k", "v").await.unwrap();
}
