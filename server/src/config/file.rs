//! The configuration file (`--config-file`, YAML or JSON): its keys become the same raw values that flags give.
//!
//! As in etcd, the file replaces flags and variables altogether, and keys that nobody knows do not keep a member from
//! starting; unlike etcd, they are warned of. Durations are integer nanoseconds; texts as on the command line are taken
//! too. Facts: `reference/etcd-api.md`, section 16.3.

use super::old_spellings::{Meaning, OLD_SPELLINGS};
use super::parse::{Source, Values, switch_gate};
use super::{ConfigError, FLAGS, Kind};
use serde_yaml_ng::Value;
use std::path::Path;

/// Keys of a nested map and the flags that they are.
type Keys = &'static [(&'static str, &'static str)];

const CLIENT_SECURITY: Keys = &[
    ("cert-file", "cert-file"),
    ("key-file", "key-file"),
    ("client-cert-file", "client-cert-file"),
    ("client-key-file", "client-key-file"),
    ("client-cert-auth", "client-cert-auth"),
    ("trusted-ca-file", "trusted-ca-file"),
    ("auto-tls", "auto-tls"),
    ("client-crl-file", "client-crl-file"),
    ("allowed-cn", "client-cert-allowed-cn"),
    ("allowed-hostname", "client-cert-allowed-hostname"),
];
/// A key of both maps that says something of peers only.
const CLIENTS_HAVE_NO_SAN_CHECK: &str = "skip-client-san-verification";
const PEER_SECURITY: Keys = &[
    ("cert-file", "peer-cert-file"),
    ("key-file", "peer-key-file"),
    ("client-cert-file", "peer-client-cert-file"),
    ("client-key-file", "peer-client-key-file"),
    ("client-cert-auth", "peer-client-cert-auth"),
    ("trusted-ca-file", "peer-trusted-ca-file"),
    ("auto-tls", "peer-auto-tls"),
    ("client-crl-file", "peer-crl-file"),
    ("allowed-cn", "peer-cert-allowed-cn"),
    ("allowed-hostname", "peer-cert-allowed-hostname"),
    ("skip-client-san-verification", "peer-skip-client-san-verification"),
];
const SOCKET_OPTIONS: Keys =
    &[("reuse-port", "socket-reuse-port"), ("reuse-address", "socket-reuse-address")];
const DISCOVERY: Keys = &[("token", "discovery-token")];
const DISCOVERY_CLIENT: Keys = &[
    ("endpoints", "discovery-endpoints"),
    ("request-timeout", "discovery-request-timeout"),
    ("dial-timeout", "discovery-dial-timeout"),
    ("keepalive-time", "discovery-keepalive-time"),
    ("keepalive-timeout", "discovery-keepalive-timeout"),
];
const DISCOVERY_SECURE: Keys = &[
    ("cert", "discovery-cert"),
    ("key", "discovery-key"),
    ("cacert", "discovery-cacert"),
    ("insecure-transport", "discovery-insecure-transport"),
    ("insecure-skip-tls-verify", "discovery-insecure-skip-tls-verify"),
];
const DISCOVERY_AUTH: Keys = &[("username", "discovery-user"), ("password", "discovery-password")];

/// Keys of older samples that say nothing any more, whatever their value (`reference/process.md`, section 2).
fn is_retired(key: &str) -> bool {
    matches!(key, "discovery" | "discovery-fallback" | "discovery-proxy")
}

/// Reads the file into `values`, which hold the defaults.
///
/// # Errors
/// The file cannot be read, is no map, or a value has the wrong shape.
pub(super) fn read(
    path: &Path,
    values: &mut Values,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let failed = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let document: Value =
        serde_yaml_ng::from_str(&text).map_err(|error| failed(error.to_string()))?;
    let mut filler = Filler { path, values, warnings };
    match document {
        Value::Null => Ok(()),
        Value::Mapping(_) => filler.top(&document),
        _ => Err(failed("a map of keys is needed".to_owned())),
    }
}

struct Filler<'a> {
    path: &'a Path,
    values: &'a mut Values,
    warnings: &'a mut Vec<String>,
}

/// The entries of a map with text keys.
fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let map = value.as_mapping().into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.as_str()?, value)))
}

impl Filler<'_> {
    fn top(&mut self, document: &Value) -> Result<(), ConfigError> {
        // Names of flags first: what a nested map says comes on top.
        let (nested, plain): (Vec<_>, Vec<_>) =
            entries(document).partition(|(_, value)| value.is_mapping());
        for (key, value) in plain {
            self.plain(key, value)?;
        }
        for (key, value) in nested {
            match key {
                "client-transport-security" => {
                    self.nested_if(key, value, CLIENT_SECURITY, |key| {
                        key != CLIENTS_HAVE_NO_SAN_CHECK
                    })?
                }
                "peer-transport-security" => self.nested(key, value, PEER_SECURITY)?,
                "socket-options" => self.nested(key, value, SOCKET_OPTIONS)?,
                "discovery-config" => self.discovery(value)?,
                _ => self.unknown(key),
            }
        }
        Ok(())
    }

    fn discovery(&mut self, map: &Value) -> Result<(), ConfigError> {
        self.nested_if("discovery-config", map, DISCOVERY, |key| key != "client")?;
        let Some(client) = map.get("client") else { return Ok(()) };
        let is_plain = |key: &str| key != "secure" && key != "auth";
        self.nested_if("discovery-config: client", client, DISCOVERY_CLIENT, is_plain)?;
        for (key, keys) in [("secure", DISCOVERY_SECURE), ("auth", DISCOVERY_AUTH)] {
            if let Some(map) = client.get(key) {
                self.nested(key, map, keys)?;
            }
        }
        Ok(())
    }

    fn nested(&mut self, name: &str, map: &Value, keys: Keys) -> Result<(), ConfigError> {
        self.nested_if(name, map, keys, |_| true)
    }

    fn nested_if(
        &mut self,
        name: &str,
        map: &Value,
        keys: Keys,
        is_here: impl Fn(&str) -> bool,
    ) -> Result<(), ConfigError> {
        for (key, value) in entries(map).filter(|(key, _)| is_here(key)) {
            match keys.iter().find(|(known, _)| *known == key) {
                Some((_, flag)) => self.set(flag, value)?,
                None => self.unknown(&format!("{name}: {key}")),
            }
        }
        Ok(())
    }

    fn plain(&mut self, key: &str, value: &Value) -> Result<(), ConfigError> {
        if let Some(flag) =
            FLAGS.iter().find(|flag| flag.name == key && key != "discovery-fallback")
        {
            return self.set(flag.name, value);
        }
        if let Some(old) = OLD_SPELLINGS.iter().find(|old| old.name == key) {
            self.warnings.push(super::parse::old_spelling_text(old));
            return match old.meaning {
                Meaning::Flag(name) => self.set(name, value),
                Meaning::Gate(name) => {
                    let is_on = value.as_bool().ok_or_else(|| self.misshapen(key, "true or false"));
                    switch_gate(self.values, name, is_on?, Source::File);
                    Ok(())
                }
            };
        }
        let has_value = text(value).is_some_and(|text| !text.is_empty());
        if is_retired(key) && has_value {
            self.warnings.push(format!("{key} in the configuration file has no effect"));
        } else if has_value && !is_retired(key) {
            self.unknown(key);
        }
        Ok(())
    }

    fn unknown(&mut self, key: &str) {
        let path = self.path.display();
        self.warnings.push(format!("unknown key {key} in {path} is ignored. Is it spelled right?"));
    }

    fn misshapen(&self, key: &str, expected: &str) -> ConfigError {
        let reason = format!("the value of {key} must be {expected}");
        ConfigError::File { path: self.path.to_owned(), reason }
    }

    fn set(&mut self, name: &'static str, value: &Value) -> Result<(), ConfigError> {
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else { return Ok(()) };
        let value = &as_yaml_1_1(value, flag.kind);
        let Some(text) = text(value).filter(|text| !text.is_empty() || !is_unset_by_nothing(name))
        else {
            return Ok(());
        };
        let is_number = value.is_u64() || value.is_i64();
        let (fits, expected) = match flag.kind {
            Kind::Switch => (value.is_bool(), "true or false"),
            Kind::Count => (value.is_u64(), "a whole number"),
            Kind::Size => (is_number, "a whole number"),
            Kind::Time => {
                (is_number || value.is_string(), "nanoseconds, or a duration such as \"10m\"")
            }
            Kind::Text => (!value.is_mapping(), "a text"),
        };
        if !fits {
            return Err(self.misshapen(name, expected));
        }
        let text = if flag.kind == Kind::Time && is_number { format!("{text}ns") } else { text };
        self.values.insert(name, (text, Source::File));
        Ok(())
    }
}

/// An empty text leaves these at their defaults; elsewhere it is a value.
fn is_unset_by_nothing(name: &str) -> bool {
    name.ends_with("-urls") || name == "log-level"
}

/// The value as etcd's reader has it, which reads YAML 1.1: `yes` and `off` are switches, and a whole number may be written
/// with an exponent, as Helm writes large ones, with a fraction of zero, or with underscores.
fn as_yaml_1_1(value: &Value, kind: Kind) -> Value {
    /// Up to here every whole number has a float of its own.
    const EXACT_MAX: f64 = (1_u64 << 53) as f64;
    let whole =
        |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64);
    let meant = match (kind, value) {
        (Kind::Switch, Value::String(word)) => match word.to_lowercase().as_str() {
            "y" | "yes" | "on" => Some(true.into()),
            "n" | "no" | "off" => Some(false.into()),
            _ => None,
        },
        (Kind::Count | Kind::Size | Kind::Time, Value::Number(number)) if number.is_f64() => {
            number.as_f64().and_then(whole).map(Value::from)
        }
        (Kind::Count | Kind::Size | Kind::Time, Value::String(digits)) if digits.contains('_') => {
            digits.replace('_', "").parse::<i64>().ok().map(Value::from)
        }
        _ => None,
    };
    meant.unwrap_or_else(|| value.clone())
}

/// A scalar, or a list of them, as the flag would have it; `None` for no value at all.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Sequence(values) => {
            Some(values.iter().filter_map(text).collect::<Vec<_>>().join(","))
        }
        Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Invocation, parse};
    use super::*;
    use std::io::Write as _;
    use std::time::Duration;

    fn load(text: &str) -> Result<(Config, Vec<String>), ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let args = [format!("--config-file={}", file.path().display()), "--name=flag".to_owned()];
        let environment = [("ETCD_NAME".to_owned(), "variable".to_owned())];
        match parse(args, environment)? {
            Invocation::Serve(values, warnings) => Ok((Config::from_values(&values)?, warnings)),
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// The file replaces flags and variables, and takes lists, nanoseconds and nested maps.
    #[test]
    fn the_file_replaces_the_rest() {
        let (config, _) = load(
            "snapshot-count: 77\nbackend-batch-interval: 20000000\nlog-outputs: [stdout]\n\
             warning-apply-duration: 10ms\nsocket-options:\n  reuse-port: true\n\
             auto-compaction-retention: \"5\"\ninitial-cluster:\n",
        )
        .unwrap();
        assert_eq!(config.name, "default");
        assert_eq!(config.snapshot_count, 77);
        assert_eq!(config.flush_interval, Duration::from_millis(20));
        assert_eq!(config.warning_apply_duration, Duration::from_millis(10));
        assert!(config.socket_reuse_port);
        assert_eq!(config.auto_compaction_retention, "5");
    }

    /// JSON is YAML, keys of 3.5 are known, strangers are warned of, and etcd's old proxy keys say nothing.
    #[test]
    fn old_and_unknown_keys() {
        let (config, warnings) = load(
            "{\"name\": \"m\", \"experimental-initial-corrupt-check\": true, \"proxy\": \"off\",
              \"experimental-max-learners\": 3, \"discovery-fallback\": \"proxy\", \"nonsense\": 1}",
        )
        .unwrap();
        assert_eq!((config.name.as_str(), config.learners_max), ("m", 3));
        assert!(config.feature_gates.is_asked_for("InitialCorruptCheck"));
        assert!(warnings.iter().any(|warning| warning.contains("unknown key nonsense")));
    }

    /// Numbers as Helm writes them, the switches of YAML 1.1, and texts that say nothing.
    #[test]
    fn values_as_yaml_1_1_has_them() {
        let (config, _) = load(
            "quota-backend-bytes: 8.589934592e+09\nsnapshot-count: 8_000\nheartbeat-interval: 150.0\n\
             pre-vote: off\nsocket-options: {reuse-port: yes}\nlog-level: \"\"\nlisten-peer-urls: \"\"\n\
             advertise-client-urls: \"\"\nbackend-batch-interval: 2e7\n",
        )
        .unwrap();
        assert_eq!((config.quota_bytes, config.snapshot_count), (8 << 30, 8_000));
        assert_eq!((config.heartbeat.as_millis(), config.pre_vote), (150, false));
        assert_eq!(config.flush_interval, Duration::from_millis(20));
        assert!(config.socket_reuse_port);
        assert_eq!(config.listen_peer_urls.len(), 1);
        for text in ["snapshot-count: 1.5\n", "snapshot-count: 1e300\n", "pre-vote: perhaps\n"] {
            assert!(load(text).is_err(), "{text}");
        }
    }

    /// What etcd knows of a client's certificate only by its file is taken from there.
    #[test]
    fn names_of_clients() {
        let (config, _) = load("client-transport-security:\n  allowed-cn: [a, b]\n").unwrap();
        assert_eq!(config.security.client.allowed_cns, ["a", "b"]);
    }

    /// Wrong shapes, a file that is not there and one that is no YAML are refused with code 1.
    #[test]
    fn refusals() {
        for text in ["snapshot-count: \"5\"\n", "pre-vote: 3\n", "a: [", "- a\n", "cors: {a: b}\n"]
        {
            match load(text) {
                Err(error) => assert_eq!(error.exit_code(), 1, "{text}"),
                Ok((_, warnings)) => assert!(text.starts_with("cors"), "{text}: {warnings:?}"),
            }
        }
        let missing = parse(["--config-file=/nonexistent".to_owned()], []).unwrap_err();
        assert_eq!(missing.exit_code(), 1);
    }
}
