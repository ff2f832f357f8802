//! How the suite starts members and calls them with other people's programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testbed::{Cluster, Pair, Pki, Plan, Process, Version, free_ports, reference};

/// Our server.
pub fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_quorate-server"))
}

/// Real etcd 3.7.1.
pub fn etcd() -> PathBuf {
    reference(Version::V3_7_1, "etcd")
}

/// What a program answered.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The output of a program that must have succeeded.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// Runs a program to its end without input.
pub fn run(program: &Path, args: &[String]) -> Answer {
    run_with_input(program, args, "")
}

/// Runs a program to its end.
pub fn run_with_input(program: &Path, args: &[String], input: &str) -> Answer {
    use std::io::Write;
    let mut command = Command::new(program);
    command.env_remove("ETCDCTL_ENDPOINTS").env("ETCDCTL_API", "3").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read its input may be gone before it is written.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// etcdctl with a line of arguments.
pub fn etcdctl(version: Version, flags: &[String], line: &str) -> Answer {
    let words = line.split(' ').map(str::to_owned);
    let args: Vec<String> = flags.iter().cloned().chain(words).collect();
    run(&reference(version, "etcdctl"), &args)
}

/// Flags for etcdctl: endpoints, and a certificate where one is shown.
pub fn flags(endpoints: &[String], pki: &Pki, pair: Option<&Pair>) -> Vec<String> {
    let mut flags = vec![
        format!("--endpoints={}", endpoints.join(",")),
        "--dial-timeout=5s".to_owned(),
        "--command-timeout=20s".to_owned(),
    ];
    match pair {
        Some(pair) => flags.extend(pair.client_flags(pki)),
        None => flags.push(format!("--cacert={}", pki.ca().display())),
    }
    flags
}

/// A cluster with TLS on both sides.
pub fn secure_cluster(program: &Path, members: usize, folder: &Path, pki: &Pki) -> Cluster {
    std::fs::create_dir_all(folder).unwrap();
    Cluster::start_tls(&Plan { program, members, folder, extra: &[] }, pki).unwrap()
}

/// A single member with these flags; `{client}` and `{peer}` in them become free ports.
pub struct Lone {
    pub process: Process,
    pub client: u16,
}

impl Lone {
    /// Lays it out, not started.
    pub fn new(program: &Path, folder: &Path, name: &str, flags: &[&str]) -> Lone {
        std::fs::create_dir_all(folder).unwrap();
        let ports = free_ports(2).unwrap();
        let (client, peer) = (ports[0], ports[1]);
        let fill = |flag: &&str| {
            flag.replace("{client}", &client.to_string()).replace("{peer}", &peer.to_string())
        };
        let mut arguments =
            vec![format!("--name={name}"), format!("--data-dir={}", folder.join(name).display())];
        arguments.extend(flags.iter().map(fill));
        Lone { process: Process::new(name, folder, program, &arguments), client }
    }

    /// A running cluster of one without TLS.
    #[track_caller]
    pub fn plain(program: &Path, folder: &Path, name: &str, extra: &[&str]) -> Lone {
        let initial = format!("--initial-cluster={name}=http://127.0.0.1:{{peer}}");
        let mut args = vec![
            "--listen-client-urls=http://127.0.0.1:{client}",
            "--advertise-client-urls=http://127.0.0.1:{client}",
            "--listen-peer-urls=http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            &initial,
        ];
        args.extend(extra);
        Lone::new(program, folder, name, &args).started()
    }

    /// Starts it and waits until it takes requests.
    #[track_caller]
    pub fn started(mut self) -> Lone {
        self.process.start().unwrap();
        self.process.wait_ready(Duration::from_secs(60)).unwrap();
        self
    }
}

/// Looks again until it is so; the limit is for broken programs, not for slow machines.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
