//! Tells systemd that the member is ready, where it was started as a unit of type notify.

use std::os::unix::net::UnixDatagram;

/// Sends `READY=1` to the socket that the environment names; without one nothing happens.
pub(super) fn notify_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    tracing::info!("notifying init daemon");
    let sent =
        UnixDatagram::unbound().and_then(|socket| match path.to_string_lossy().strip_prefix('@') {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(b"READY=1", &address)
            }
            None => socket.send_to(b"READY=1", &path),
        });
    match sent {
        Ok(_) => tracing::info!("successfully notified init daemon"),
        Err(error) => tracing::warn!(%error, "failed to notify init daemon"),
    }
}
