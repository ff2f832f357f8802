//! A server of one member on 127.0.0.1 and free ports, for replaying a log and for drills. Nothing outside this
//! machine can talk to it: k3s learnt that a resetting member on its real addresses is reached by its old peers.
//!
//! It is stopped with the value: SIGTERM by [`LoopbackServer::stop`], SIGKILL where it is merely dropped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use quorate_client::proto::etcdserverpb as pb;
use quorate_client::{Client, ClientError, Code, Config, Credentials, EtcdError, http_get};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::error::{AgentError, Result};

/// A log of millions of entries takes minutes to replay.
const START_TIMEOUT: Duration = Duration::from_secs(600);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// Another process may take a free port before the server does; then other ports are tried.
const PORT_TRIES: u32 = 4;
/// Lines of the server's log shown with an error.
const LOG_LINES: usize = 8;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct LoopbackOptions {
    /// `etcd` or `quorate-server`.
    pub binary: PathBuf,
    /// Data directory to run on.
    pub data_dir: PathBuf,
    /// Member name.
    pub name: String,
    /// Drop all other members: the data directory becomes that of a cluster of one.
    pub is_force_new_cluster: bool,
    /// Where the server's output goes.
    pub log_file: PathBuf,
    /// Credentials for calls, where the cluster asks for them.
    pub credentials: Option<Credentials>,
}

/// A running server.
#[derive(Debug)]
pub struct LoopbackServer {
    child: Child,
    client_url: String,
    log_file: PathBuf,
    credentials: Option<Credentials>,
}

impl LoopbackServer {
    /// Starts a server and waits until it has elected itself.
    pub async fn start(options: &LoopbackOptions) -> Result<Self> {
        let mut n_tries = 1;
        loop {
            let mut server = Self::spawn(options)?;
            match server.wait_for_leader().await {
                Ok(()) => return Ok(server),
                Err(error) => {
                    let is_port_taken = server.log_tail().contains("address already in use");
                    server.kill().await;
                    if !is_port_taken || n_tries == PORT_TRIES {
                        return Err(error);
                    }
                    n_tries += 1;
                }
            }
        }
    }

    fn spawn(options: &LoopbackOptions) -> Result<Self> {
        let [client_url, peer_url] = free_ports()?.map(|port| format!("http://127.0.0.1:{port}"));
        let log =
            File::create(&options.log_file).map_err(AgentError::io("create", &options.log_file))?;
        let error_log = log.try_clone().map_err(AgentError::io("open", &options.log_file))?;
        let mut command = Command::new(&options.binary);
        command
            .arg(format!("--name={}", options.name))
            .arg(format!("--data-dir={}", options.data_dir.display()))
            .arg(format!("--listen-client-urls={client_url}"))
            .arg(format!("--advertise-client-urls={client_url}"))
            .arg(format!("--listen-peer-urls={peer_url}"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log)
            .kill_on_drop(true);
        if options.is_force_new_cluster {
            command.arg("--force-new-cluster");
        }
        for (name, _) in std::env::vars_os() {
            // A variable meant for the real member would send this one to the real addresses.
            let name_text = name.to_string_lossy();
            if name_text.starts_with("ETCD_") || name_text.starts_with("QUORATE_") {
                command.env_remove(&name);
            }
        }
        let child = command.spawn().map_err(AgentError::io("start", &options.binary))?;
        tracing::debug!(binary = %options.binary.display(), %client_url, "server started");
        Ok(Self {
            child,
            client_url,
            log_file: options.log_file.clone(),
            credentials: options.credentials.clone(),
        })
    }

    /// A client of this server.
    pub async fn client(&self) -> Result<Client> {
        let mut config = Config::new([self.client_url.as_str()]);
        config.credentials = self.credentials.clone();
        let connected = Client::connect(config).await;
        connected.map_err(|error| AgentError::Cluster { what: error.to_string() })
    }

    /// The server's status.
    pub async fn status(&self) -> Result<pb::StatusResponse> {
        let status = self.client().await?.maintenance().status().await;
        status.map_err(|error| match is_auth_error(&error) {
            true => auth_refused(&self.client_url, &error),
            false => self.failed(&format!("gives no status: {error}")),
        })
    }

    async fn wait_for_leader(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        let client = self.client().await?;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(&format!("stopped with {status}")));
            }
            match client.maintenance().status().await {
                Ok(status)
                    if status.leader != 0 && status.raft_applied_index == status.raft_index =>
                {
                    return Ok(());
                }
                // With auth on, a server from 2026 on tells its status to known users only, its health to all.
                Err(error) if is_auth_error(&error) && self.is_healthy(client.config()).await => {
                    return Ok(());
                }
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
        Err(self.failed(&format!("has not become ready within {START_TIMEOUT:?}")))
    }

    /// True when the server answers a linearizable read of its own.
    async fn is_healthy(&self, config: &Config) -> bool {
        let answer = http_get(config, &self.client_url, "/health", HEALTH_TIMEOUT).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Stops the server cleanly, so that its database is whole on disk.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // A process that is gone already has stopped, which is what is wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&format!("cannot be waited for: {error}"))),
            Err(_) => {
                self.kill().await;
                Err(self.failed(&format!("did not stop within {STOP_TIMEOUT:?} and was killed")))
            }
        }
    }

    async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "server not killed");
        }
    }

    /// An error about this server, with the end of its log.
    fn failed(&self, what: &str) -> AgentError {
        AgentError::Server {
            what: format!(
                "the server {what}; log {}:\n{}",
                self.log_file.display(),
                self.log_tail()
            ),
        }
    }

    fn log_tail(&self) -> String {
        let text = read_lossy(&self.log_file);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// True when the server wants to know who asks.
pub fn is_auth_error(error: &ClientError) -> bool {
    matches!(error.code(), Code::PermissionDenied | Code::Unauthenticated)
        || error.etcd() == Some(EtcdError::UserNameIsEmpty)
}

/// The error for a server that wants to know who asks.
pub fn auth_refused(who: &str, error: &ClientError) -> AgentError {
    AgentError::refused(
        format!("{who} has auth on: {error}"),
        "Give --user and --password-file of a user with the root role.",
    )
}

fn read_lossy(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Two ports nobody listens on.
fn free_ports() -> Result<[u16; 2]> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    // Both are held at once, so that they differ.
    let ports = || -> std::io::Result<[u16; 2]> {
        let (first, second) = (bind()?, bind()?);
        Ok([port(&first)?, port(&second)?])
    };
    ports().map_err(AgentError::io("find a free port on", Path::new("127.0.0.1")))
}
