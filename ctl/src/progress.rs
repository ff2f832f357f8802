//! How far a long transfer is, drawn on one line of stderr. Only for a person: nothing is drawn where stderr is no
//! terminal, so logs and scripts see none of it.

use crate::go::format_size;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the line is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Characters of the bar itself.
const BAR_CELLS: usize = 30;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Shown as `25 kB`.
    Bytes,
    /// Shown as a number.
    Keys,
}

/// A line that shows progress until it is dropped.
pub struct Progress {
    what: &'static str,
    unit: Unit,
    started: Instant,
    drawn: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// A line for what `what` names, for example `saving`.
    pub fn new(what: &'static str, unit: Unit) -> Progress {
        let is_shown = io::stderr().is_terminal();
        Progress { what, unit, started: Instant::now(), drawn: None, is_shown }
    }

    /// Draws, if it is time to. `total` is 0 where it is not known.
    pub fn show(&mut self, done: u64, total: u64) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY);
        if self.is_shown && is_due {
            self.drawn = Some(Instant::now());
            let line = line(self.what, self.unit, done, total, self.started.elapsed());
            // To the start of the line, the text, then erase what is left of the old one.
            let _ = write!(io::stderr(), "\r{line}\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The line: bar and percentage where the total is known, amount, rate, time left.
fn line(what: &str, unit: Unit, done: u64, total: u64, elapsed: Duration) -> String {
    let amount = |n: u64| match unit {
        Unit::Bytes => format_size(n),
        Unit::Keys => format!("{n} keys"),
    };
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = done as f64 / seconds;
    let speed = amount(rate as u64);
    if total == 0 {
        return format!("{what} {} ({speed}/s)", amount(done));
    }
    let part = (done as f64 / total as f64).clamp(0.0, 1.0);
    let filled = (part * BAR_CELLS as f64) as usize;
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(BAR_CELLS - filled));
    let left = match rate >= 1.0 {
        true => format!(", {} s left", (total.saturating_sub(done) as f64 / rate).ceil() as u64),
        false => String::new(),
    };
    let percent = (part * 100.0) as u64;
    format!("{what} [{bar}] {percent:>3}% {} of {} ({speed}/s{left})", amount(done), amount(total))
}

/// Shows the growth of a file that other code writes, until dropped.
pub struct Watched {
    worker: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Watched {
    /// Watches the file at `path`, which need not be there yet, on its way to `total` bytes.
    pub fn file(what: &'static str, path: PathBuf, total: u64) -> Watched {
        if !io::stderr().is_terminal() {
            return Watched { worker: None };
        }
        let (stop, stopped) = sync_channel(1);
        let worker = std::thread::spawn(move || {
            let mut progress = Progress::new(what, Unit::Bytes);
            while stopped.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Ok(metadata) = path.metadata() {
                    progress.show(metadata.len(), total);
                }
            }
        });
        Watched { worker: Some((stop, worker)) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((stop, worker)) = self.worker.take() {
            drop(stop);
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a total: bar, share, amounts, rate and the time that is left.
    #[test]
    fn shows_share_and_time_left() {
        let line = line("saving", Unit::Bytes, 500_000, 2_000_000, Duration::from_secs(1));
        assert_eq!(
            line,
            "saving [#######-----------------------]  25% 500 kB of 2.0 MB (500 kB/s, 3 s left)"
        );
    }

    /// Without a total: amount and rate only.
    #[test]
    fn shows_amount_without_total() {
        let line = line("mirroring", Unit::Keys, 30, 0, Duration::from_secs(2));
        assert_eq!(line, "mirroring 30 keys (15 keys/s)");
    }

    /// More than was announced stays at the end of the bar.
    #[test]
    fn never_passes_its_end() {
        let line = line("restoring", Unit::Bytes, 3_000, 2_000, Duration::from_secs(1));
        assert!(line.contains("100%"), "{line}");
    }
}
