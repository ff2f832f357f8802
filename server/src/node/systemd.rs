//! Talks to systemd, where the member was started as a unit of type notify: ready, stopping, and alive for its watchdog.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Tells that clients are served.
pub(super) fn notify_ready() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    tracing::info!("notifying init daemon");
    match send(b"READY=1") {
        Ok(()) => tracing::info!("successfully notified init daemon"),
        Err(error) => tracing::warn!(%error, "failed to notify init daemon"),
    }
}

/// Tells that the member ends by itself, so that a slow end is no fault.
pub(super) fn notify_stopping() {
    if let Err(error) = send(b"STOPPING=1") {
        tracing::debug!(%error, "failed to notify init daemon");
    }
}

/// Sends one message to the socket that the environment names; without one nothing happens.
fn send(message: &[u8]) -> std::io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let socket = UnixDatagram::unbound()?;
    match path.to_string_lossy().strip_prefix('@') {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.send_to_addr(message, &address)?;
        }
        None => {
            socket.send_to(message, &path)?;
        }
    }
    Ok(())
}

/// Time within which systemd wants a sign of life from this very process, if it wants any.
fn watchdog_time() -> Option<Duration> {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    variable("WATCHDOG_USEC").filter(|time| *time > 0 && is_ours).map(Duration::from_micros)
}

/// Gives signs of life, twice in the time that systemd grants, as long as `is_alive` answers yes. A member that hangs
/// gives none and is started again.
pub(super) async fn keep_watchdog(is_alive: impl AsyncFn() -> bool) {
    let Some(time) = watchdog_time() else { return };
    loop {
        match tokio::time::timeout(time / 2, is_alive()).await {
            Ok(true) => {
                if let Err(error) = send(b"WATCHDOG=1") {
                    tracing::warn!(%error, "failed to notify init daemon");
                }
            }
            _ => tracing::warn!(
                "no sign of life for the init daemon: this member does not answer itself"
            ),
        }
        tokio::time::sleep(time / 2).await;
    }
}
