//! How Go tells of a program that did not end well.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// `exit status 7`, or `signal: killed`.
pub fn exit_text(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("exit status {}", status.code().unwrap_or_default());
    };
    let dumped = if status.core_dumped() { " (core dumped)" } else { "" };
    format!("signal: {}{dumped}", signal_name(signal))
}

/// Go's names for Linux's signals.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes and signals read as in Go.
    #[test]
    fn ends() {
        assert_eq!(exit_text(ExitStatus::from_raw(7 << 8)), "exit status 7");
        assert_eq!(exit_text(ExitStatus::from_raw(9)), "signal: killed");
        assert_eq!(exit_text(ExitStatus::from_raw(6 | 0x80)), "signal: aborted (core dumped)");
        assert_eq!(exit_text(ExitStatus::from_raw(34)), "signal: signal 34");
    }
}
