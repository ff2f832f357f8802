//! The places that log lines go to: the standard streams, files, systemd's journal. Every line goes to all of them, and
//! is out when the call returns. How a file is replaced when it has grown is decided next door.

use super::open::LogError;
use super::rotating::RotatingFile;
use crate::config::{LogConfig, LogOutput};
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

/// Where journald takes lines.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// Readable by a group that ships logs, and by nobody else.
const FILE_MODE: u32 = 0o640;

enum Sink {
    Stderr,
    Stdout,
    File(Mutex<File>),
    Rotating(Box<Mutex<RotatingFile>>),
    Journal(UnixDatagram),
}

/// All places of a member.
pub(super) struct Sinks(Vec<Sink>);

impl Sinks {
    /// Opens what must be opened.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(super) fn open(config: &LogConfig) -> Result<Sinks, LogError> {
        let sink = |output: &LogOutput| {
            Ok(match (output, &config.rotation) {
                (LogOutput::Stderr, _) => Sink::Stderr,
                (LogOutput::Stdout, _) => Sink::Stdout,
                // As in etcd, what the journal does not take goes to standard error.
                (LogOutput::Journal, _) => journal().map_or(Sink::Stderr, Sink::Journal),
                (LogOutput::File(path), None) => {
                    let failed = |source| LogError { path: path.clone(), source };
                    Sink::File(Mutex::new(open_file(path).map_err(failed)?))
                }
                (LogOutput::File(path), Some(rotation)) => {
                    let failed = |source| LogError { path: path.clone(), source };
                    let file = RotatingFile::open(path, rotation.clone()).map_err(failed)?;
                    Sink::Rotating(Box::new(Mutex::new(file)))
                }
            })
        };
        config.outputs.iter().map(sink).collect::<Result<_, _>>().map(Sinks)
    }
}

/// Opens a log file for lines at its end.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)
}

fn journal() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(JOURNAL_SOCKET).ok()?;
    Some(socket)
}

/// A line in journald's own protocol; the text's length stands before it, so it may hold anything.
fn journal_entry(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let has = |level: &str| {
        let head = &line[..line.len().min(64)];
        String::from_utf8_lossy(head).contains(level)
    };
    let priority = match () {
        () if has("error") => 3,
        () if has("warn") => 4,
        () if has("debug") => 7,
        () => 6,
    };
    let mut entry =
        format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=quorate-server\nMESSAGE\n").into_bytes();
    entry.extend_from_slice(&(line.len() as u64).to_le_bytes());
    entry.extend_from_slice(line);
    entry.push(b'\n');
    entry
}

impl Sink {
    fn write(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stderr => io::stderr().write_all(line),
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line)?;
                stdout.flush()
            }
            Sink::File(file) => file.lock().write_all(line),
            Sink::Rotating(file) => file.lock().write_line(line),
            Sink::Journal(socket) => match socket.send(&journal_entry(line)) {
                Ok(_) => Ok(()),
                Err(_) => io::stderr().write_all(line),
            },
        }
    }
}

/// Writes to all places.
pub(super) struct SinkWriter(Arc<Sinks>);

impl SinkWriter {
    /// A writer for one line.
    pub(super) fn new(sinks: Arc<Sinks>) -> SinkWriter {
        SinkWriter(sinks)
    }
}

impl Write for SinkWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One place that is full or gone does not silence the others.
        let outcomes: Vec<_> = self.0.0.iter().map(|sink| sink.write(line)).collect();
        outcomes.into_iter().find(Result::is_ok).unwrap_or(Ok(())).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place gets every line whole; a journal entry names level and length.
    #[test]
    fn lines_go_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a.log", "b.log"].map(|name| folder.path().join(name));
        let outputs = paths.iter().cloned().map(LogOutput::File).collect();
        let config = LogConfig { level: "info".to_owned(), outputs, is_json: true, rotation: None };
        let mut writer = SinkWriter::new(Arc::new(Sinks::open(&config).unwrap()));
        writer.write_all(b"one\n").unwrap();
        writer.write_all(b"two\n").unwrap();
        for path in &paths {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
        }
        let entry = journal_entry(b"{\"level\":\"warn\",\"msg\":\"x\"}\n");
        let head = b"PRIORITY=4\nSYSLOG_IDENTIFIER=quorate-server\nMESSAGE\n";
        assert!(entry.starts_with(head) && entry[head.len()] == 26);
    }

    /// A file in a directory that is not there is told, with its name.
    #[test]
    fn missing_directories_are_told() {
        let outputs = vec![LogOutput::File("/nonexistent/log".into())];
        let config = LogConfig { level: "info".to_owned(), outputs, is_json: true, rotation: None };
        let Err(error) = Sinks::open(&config) else { panic!("opened") };
        assert!(error.to_string().contains("/nonexistent/log"));
    }
}
