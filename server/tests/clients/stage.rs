//! Three members with TLS, a program that uses them, and what that program cannot do itself: members are killed and
//! started for it, and real etcd restores its snapshots.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::{Client, Cluster, Pki, Plan, Process, Version, free_ports, reference};

/// How long a member may take to serve again. Tests share their machine.
const READY_MAX: Duration = Duration::from_secs(60);

/// Flags that make waiting short and passwords cheap; none changes an answer.
const FLAGS: [&str; 3] =
    ["--watch-progress-notify-interval=500ms", "--bcrypt-cost=4", "--logger=zap"];

/// What a program said.
#[derive(Debug)]
pub struct Told {
    /// A line per check.
    pub lines: Vec<String>,
    /// Its standard error.
    pub errors: String,
    pub is_success: bool,
}

impl Told {
    /// The last lines of its standard error.
    pub fn end(&self) -> String {
        let lines: Vec<&str> = self.errors.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Starts three members of `server`, runs the program to its end, and stops everything.
pub fn run(client: Client, server: &Path) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    for name in ["machine", "root"] {
        pki.client(name).unwrap();
    }
    let extra = FLAGS.map(str::to_owned);
    let plan = Plan { program: server, members: 3, folder: folder.path(), extra: &extra };
    let mut stage = Stage {
        cluster: Cluster::start_tls(&plan, &pki).unwrap(),
        restored: Vec::new(),
        folder: folder.path(),
    };
    let mut command = client.command();
    command.arg(format!("--endpoints={}", stage.cluster.client_urls().join(",")));
    command.arg(format!("--pki={}", folder.path().join("pki").display()));
    command.arg(format!("--folder={}", folder.path().display()));
    if let Some(only) = std::env::var_os("CLIENTS_ONLY") {
        command.arg("--only").arg(only);
    }
    stage.serve(command)
}

struct Stage<'a> {
    cluster: Cluster,
    /// Members of real etcd that were started on restored snapshots.
    restored: Vec<Process>,
    folder: &'a Path,
}

impl Stage<'_> {
    /// Answers the program's questions until it ends.
    fn serve(&mut self, mut command: Command) -> Told {
        let errors = self.folder.join("program.err");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(std::fs::File::create(&errors).unwrap());
        let mut program = command.spawn().unwrap();
        let (mut input, output) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
        let mut lines = Vec::new();
        for line in BufReader::new(output).lines() {
            let line = line.unwrap();
            if let Some(question) = line.strip_prefix("ask ") {
                let answer = self.answer(question).unwrap_or_else(|why| format!("cannot: {why:#}"));
                writeln!(input, "{}", answer.replace('\n', " ")).unwrap();
            } else {
                lines.push(line);
            }
        }
        let is_success = program.wait().unwrap().success();
        let mut errors = std::fs::read_to_string(errors).unwrap();
        if !is_success {
            let logs = self.cluster.members.iter().map(|member| member.process.log_end());
            errors.extend(logs.map(|log| format!("\n{log}")));
        }
        Told { lines, errors, is_success }
    }

    fn answer(&mut self, question: &str) -> anyhow::Result<String> {
        match question.split_once(' ') {
            Some(("kill", url)) => self.cluster.by_url(url)?.process.kill()?,
            Some(("start", url)) => {
                let process = &mut self.cluster.by_url(url)?.process;
                process.start()?;
                process.wait_ready(READY_MAX)?;
            }
            Some(("restore", file)) => return self.restore(file),
            _ => anyhow::bail!("no such question: {question}"),
        }
        Ok("done".to_owned())
    }

    /// Real etcd's tool makes a data directory of a snapshot, and real etcd serves it.
    fn restore(&mut self, file: &str) -> anyhow::Result<String> {
        let name = format!("restored-{}", self.restored.len());
        let data_dir = self.folder.join(&name);
        let ports = free_ports(2)?;
        let [client, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        let common = [
            format!("--name={name}"),
            format!("--data-dir={}", data_dir.display()),
            format!("--initial-cluster={name}={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ];
        let mut etcdutl = Command::new(reference(Version::V3_7_1, "etcdutl"));
        let made = etcdutl.args(["snapshot", "restore", file]).args(&common).output()?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let urls = [
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
        ];
        let flags = [&common[..], &urls].concat();
        let etcd = reference(Version::V3_7_1, "etcd");
        let mut process = Process::new(&name, self.folder, &etcd, &flags);
        process.start()?;
        process.wait_ready(READY_MAX)?;
        self.restored.push(process);
        Ok(client)
    }
}
