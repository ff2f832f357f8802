//! Opens the log as the configuration says. What lines look like and where they go are decided next door.

use super::format::ZapFormat;
use super::sinks::{SinkWriter, Sinks};
use crate::config::LogConfig;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// A place for lines that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "open sink {path:?}: {source}. Make the directory and give it to the member's user, or choose another of --log-outputs."
)]
pub struct LogError {
    /// The file.
    pub(super) path: PathBuf,
    /// What the system says.
    pub(super) source: io::Error,
}

/// Opens the log. A second call has no effect.
///
/// # Errors
/// A log file cannot be opened.
pub fn open(config: &LogConfig) -> Result<(), LogError> {
    let level = match config.level.as_str() {
        "debug" => "debug",
        "warn" => "warn",
        "error" | "panic" | "fatal" | "dpanic" => "error",
        _ => "info",
    };
    // What libraries log is of no use to an operator; openraft in particular calls ordinary elections errors.
    let filter = EnvFilter::new(format!("off,quorate_server={level},quorate_storage={level}"));
    let format = ZapFormat { is_json: config.is_json };
    let sinks = Arc::new(Sinks::open(config)?);
    let writer = move || SinkWriter::new(Arc::clone(&sinks));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    // Tests open it more than once.
    drop(builder.event_format(format).with_writer(writer).try_init());
    Ok(())
}
