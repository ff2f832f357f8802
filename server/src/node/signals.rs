//! Which signals end a member, and with what name they are logged.

use std::fmt;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the signals that stop a member.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Heard, so that they do not end the process, and not looked at.
    _passed_over: Vec<Signal>,
}

/// Signals that would end a process that does not listen, and do not end a Go program: a rotation of logs sends the first
/// two, and beyond `ulimit -f` a write is to fail like any other.
const PASSED_OVER: [i32; 4] = [
    rustix::process::Signal::USR1.as_raw(),
    rustix::process::Signal::USR2.as_raw(),
    rustix::process::Signal::ALARM.as_raw(),
    rustix::process::Signal::XFSZ.as_raw(),
];

impl StopSignals {
    /// Takes the signals over from the system's defaults.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn new() -> std::io::Result<StopSignals> {
        let passed_over = PASSED_OVER.map(|number| signal(SignalKind::from_raw(number)));
        Ok(StopSignals {
            _passed_over: passed_over.into_iter().collect::<std::io::Result<_>>()?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal(SignalKind::terminate()),
            _ = self.interrupt.recv() => StopSignal(SignalKind::interrupt()),
            _ = self.hangup.recv() => StopSignal(SignalKind::hangup()),
        }
    }
}

/// A signal that stopped a member.
#[derive(Clone, Copy, Debug)]
pub struct StopSignal(SignalKind);

impl StopSignal {
    /// Ends this process by the signal, as etcd does once all is closed: who sent it sees that it was heard. Process 1
    /// cannot be ended so; for it, this returns.
    pub fn end_process(self) {
        if std::process::id() == 1 {
            return;
        }
        // There is nothing to be done about a failure; the process ends with success then.
        let _ = signal_hook::low_level::emulate_default_handler(self.0.as_raw_value());
    }
}

/// The name in Go's words.
impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            kind if kind == SignalKind::terminate() => "terminated",
            kind if kind == SignalKind::interrupt() => "interrupt",
            _ => "hangup",
        })
    }
}
