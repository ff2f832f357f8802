//! A cluster of members: how it is laid out, started together and stopped.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Pki, Process, Usage, free_ports};

/// How long a start may take. Tools of etcd's users give ten seconds on idle machines.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a member may take to end after SIGTERM before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// What to start: any program that takes etcd's flags.
pub struct Plan<'a> {
    /// The server program.
    pub program: &'a Path,
    /// How many members.
    pub members: usize,
    /// Data and logs go here.
    pub folder: &'a Path,
    /// Flags beside those of the layout.
    pub extra: &'a [String],
}

/// One member: its process and where it is found.
pub struct Member {
    /// Its process.
    pub process: Process,
    /// Where clients reach it.
    pub client_url: String,
}

/// Members that were started together.
pub struct Cluster {
    /// In the order of their names.
    pub members: Vec<Member>,
}

impl Cluster {
    /// Starts all members and waits until each takes requests.
    pub fn start(plan: &Plan<'_>) -> Result<Self> {
        Self::lay_out(plan, "http")?.started()
    }

    /// The same with TLS: clients and peers must show a certificate of `pki`'s authority. `plan.extra` comes behind the
    /// TLS flags, so that it can change them. See [`Pki`] for what clients need.
    pub fn start_tls(plan: &Plan<'_>, pki: &Pki) -> Result<Self> {
        let extra = [pki.server_flags()?, plan.extra.to_vec()].concat();
        Self::lay_out(&Plan { extra: &extra, ..*plan }, "https")?.started()
    }

    fn started(self) -> Result<Self> {
        let mut cluster = self;
        for member in &mut cluster.members {
            member.process.start()?;
        }
        cluster.wait_ready()?;
        Ok(cluster)
    }

    /// The members with their command lines, none started.
    fn lay_out(plan: &Plan<'_>, scheme: &str) -> Result<Self> {
        let ports = free_ports(2 * plan.members)?;
        let (client_ports, peer_ports) = ports.split_at(plan.members);
        let url = |port: &u16| format!("{scheme}://127.0.0.1:{port}");
        let name = |n: usize| format!("m{}", n + 1);
        let peers = peer_ports.iter().enumerate();
        let initial: Vec<String> = peers.map(|(n, p)| format!("{}={}", name(n), url(p))).collect();
        let initial = initial.join(",");
        let member = |n: usize| {
            let (name, client, peer) = (name(n), url(&client_ports[n]), url(&peer_ports[n]));
            let data_dir = plan.folder.join(&name);
            let flags = [
                ("name", name.as_str()),
                ("data-dir", &data_dir.to_string_lossy()),
                ("listen-client-urls", &client),
                ("advertise-client-urls", &client),
                ("listen-peer-urls", &peer),
                ("initial-advertise-peer-urls", &peer),
                ("initial-cluster", &initial),
                ("initial-cluster-state", "new"),
                ("initial-cluster-token", "quorate-xtask"),
            ]
            .map(|(flag, value)| format!("--{flag}={value}"));
            let arguments: Vec<_> = flags.into_iter().chain(plan.extra.iter().cloned()).collect();
            let process = Process::new(&name, plan.folder, plan.program, &arguments);
            Member { process, client_url: client }
        };
        Ok(Self { members: (0..plan.members).map(member).collect() })
    }

    /// Waits until each member takes requests.
    pub fn wait_ready(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.process.wait_ready(READY_MAX)?;
        }
        Ok(())
    }

    /// Client URLs of all members.
    pub fn client_urls(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client_url.clone()).collect()
    }

    /// The member behind a client URL.
    pub fn by_url(&mut self, url: &str) -> Result<&mut Member> {
        let found = self.members.iter_mut().find(|member| member.client_url == url);
        found.with_context(|| format!("no member has the client URL {url}"))
    }

    /// What all members have used together.
    pub fn usage(&self) -> Result<Usage> {
        let mut all = Usage::default();
        for member in &self.members {
            all = all + member.process.usage()?;
        }
        Ok(all)
    }

    /// SIGTERM to one after the other; says which did not obey.
    pub fn stop(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for member in &mut self.members {
            if member.process.is_running() {
                outcome = outcome.and(member.process.stop(STOP_MAX).map(drop));
            }
        }
        outcome
    }
}
