//! The logging flags: level, format, where lines go and how files of them rotate. Nothing is opened here.

use super::ConfigError;
use super::reader::{Reader, one_of};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// A place that log lines go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error; `default` too.
    Stderr,
    /// Standard output.
    Stdout,
    /// systemd's journal.
    Journal,
    /// A file, appended to.
    File(PathBuf),
}

/// How a log file is replaced by a fresh one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Size at which it is replaced, in bytes.
    pub bytes_max: u64,
    /// Old files go at this age.
    pub age_max: Option<Duration>,
    /// Old files that are kept; 0 for all.
    pub backups_max: usize,
    /// Old files are named by local time instead of UTC.
    pub is_local_time: bool,
    /// Old files are packed with gzip.
    pub compresses: bool,
}

/// What the logging flags say.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `--log-level`.
    pub level: String,
    /// `--log-outputs`.
    pub outputs: Vec<LogOutput>,
    /// JSON instead of text.
    pub is_json: bool,
    /// `--log-rotation-config-json`, where `--enable-log-rotation` is set.
    pub rotation: Option<Rotation>,
}

/// lumberjack's settings under the names of etcd's flag; a size of 0 stands for 100 MB.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RotationJson {
    maxsize: u64,
    maxage: u64,
    maxbackups: usize,
    localtime: bool,
    compress: bool,
}

impl LogConfig {
    /// Reads and checks the flags.
    ///
    /// # Errors
    /// The first value that etcd would refuse.
    pub(super) fn read(read: &Reader<'_>) -> Result<LogConfig, ConfigError> {
        let level = read.text("log-level");
        let levels = ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"];
        if !levels.contains(&level.as_str()) {
            let text =
                format!("unrecognized log level {level:?}: one of {} is needed", levels.join(", "));
            return Err(ConfigError::Syntax(text));
        }
        if read.text("logger") != "zap" {
            let text = format!("--logger={} is not known: only zap is", read.text("logger"));
            return Err(ConfigError::Contradiction(text));
        }
        let outputs = outputs(&read.text("log-outputs"))?;
        let rotation = match read.switch("enable-log-rotation")? {
            true => Some(rotation(&outputs, &read.text("log-rotation-config-json"))?),
            false => None,
        };
        let is_json = one_of(read, "log-format", ["json", "console"])? == "json";
        Ok(LogConfig { level, outputs, is_json, rotation })
    }
}

fn outputs(text: &str) -> Result<Vec<LogOutput>, ConfigError> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.len() > 1 && names.contains(&"default") {
        let text = "multi logoutput for \"default\" is not supported yet";
        return Err(ConfigError::Contradiction(text.to_owned()));
    }
    let output = |name: &&str| match *name {
        "default" | "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        "systemd/journal" => LogOutput::Journal,
        path => LogOutput::File(PathBuf::from(path)),
    };
    let mut outputs: Vec<LogOutput> = Vec::new();
    for output in names.iter().map(output) {
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(if outputs.is_empty() { vec![LogOutput::Stderr] } else { outputs })
}

fn rotation(outputs: &[LogOutput], json: &str) -> Result<Rotation, ConfigError> {
    let files = outputs.iter().filter(|output| matches!(output, LogOutput::File(_))).count();
    if files > 1 || (files == 0 && outputs.len() == 1) {
        let text =
            "--log-outputs requires a single file path when --log-rotate-config-json is defined";
        return Err(ConfigError::Contradiction(text.to_owned()));
    }
    let json: RotationJson = serde_json::from_str(json).map_err(|error| {
        ConfigError::Contradiction(format!("invalid log rotation config: {error}"))
    })?;
    let megabytes = if json.maxsize == 0 { 100 } else { json.maxsize };
    Ok(Rotation {
        bytes_max: megabytes.saturating_mul(1 << 20),
        age_max: (json.maxage > 0).then(|| Duration::from_secs(json.maxage.saturating_mul(86_400))),
        backups_max: json.maxbackups,
        is_local_time: json.localtime,
        compresses: json.compress,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Invocation, parse};
    use super::*;

    fn log(args: &[&str]) -> Result<LogConfig, ConfigError> {
        match parse(args.iter().map(|s| (*s).to_owned()), [])? {
            Invocation::Serve(values, _) => Config::from_values(&values).map(|config| config.log),
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// Outputs are several places at once, each once; `default` stands alone.
    #[test]
    fn places() {
        let file = LogOutput::File(PathBuf::from("/x/log"));
        assert_eq!(log(&[]).unwrap().outputs, [LogOutput::Stderr]);
        let outputs = log(&["--log-outputs=stderr,/x/log,stdout,stderr"]).unwrap().outputs;
        assert_eq!(outputs, [LogOutput::Stderr, file, LogOutput::Stdout]);
        assert!(log(&["--log-outputs=default,stderr"]).is_err());
        assert_eq!(log(&["--log-level=silly"]).unwrap_err().exit_code(), 2);
        assert_eq!(log(&["--logger=capnslog"]).unwrap_err().exit_code(), 1);
    }

    /// Rotation needs one file, among other outputs or alone, and a config of etcd's shape.
    #[test]
    fn rotations() {
        let json = "--log-rotation-config-json={\"maxsize\": 1, \"maxbackups\": 2}";
        let args = ["--enable-log-rotation", "--log-outputs=/x/log", json];
        let rotation = log(&args).unwrap().rotation.unwrap();
        assert_eq!(
            (rotation.bytes_max, rotation.backups_max, rotation.age_max),
            (1 << 20, 2, None)
        );
        assert!(log(&["--enable-log-rotation"]).is_err());
        let with = |outputs: &str| log(&["--enable-log-rotation", outputs, json]);
        assert!(with("--log-outputs=stderr,/x/log").unwrap().rotation.is_some());
        assert!(with("--log-outputs=/x/log,/y/log").is_err());
        let wrong = "--log-rotation-config-json={\"maxsize\": \"x\"}";
        assert!(log(&["--enable-log-rotation", "--log-outputs=/x/log", wrong]).is_err());
    }
}
