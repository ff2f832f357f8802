//! Tells systemd what the agent does (`sd_notify`). Without a service manager every call does nothing.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A line to the service manager.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Takes the socket from `NOTIFY_SOCKET`.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        Self::open(&name)
    }

    fn open(name: &str) -> Self {
        let address = match name.strip_prefix('@') {
            Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
            None => SocketAddr::from_pathname(name),
        };
        let opened = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match opened {
            Ok(opened) => Self(Some(opened)),
            Err(error) => {
                tracing::warn!(%error, "service manager not reached");
                Self(None)
            }
        }
    }

    /// The agent is up; `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// What the agent does now.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// The agent is on its way out.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!(%error, "service manager not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manager's socket gets the lines it expects.
    #[test]
    fn the_manager_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let notifier = Notifier::open(path.to_str().expect("text"));
        notifier.ready("waiting");
        let mut buffer = [0; 64];
        let n_read = manager.recv(&mut buffer).expect("a message");
        assert_eq!(&buffer[..n_read], b"READY=1\nSTATUS=waiting");
    }
}
