//! Every flag of etcd v3.7.1 in one table, and what Quorate does with it.
//!
//! The parser, the environment, `--help` and the reference page are all made from this table, so they cannot disagree.
//! Source: `reference/etcd-api.md`, section 16.

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A boolean; given bare it means true.
    Switch,
    /// A whole number that is not negative.
    Count,
    /// A number of bytes that may be negative.
    Size,
    /// A Go duration.
    Time,
}

/// What Quorate does with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It has etcd's effect.
    Honoured,
    /// It is accepted with one warning and has no effect.
    Ignored,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Heading in `--help`.
    pub group: &'static str,
    /// Name without dashes.
    pub name: &'static str,
    /// Shape of its value.
    pub kind: Kind,
    /// Value where none is given.
    pub default: &'static str,
    /// What becomes of it.
    pub support: Support,
    /// One sentence for `--help`.
    pub help: &'static str,
}

const fn flag(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    support: Support,
    help: &'static str,
) -> Flag {
    Flag { group, name, kind, default, support, help }
}

/// All flags, in the order of `--help`.
#[rustfmt::skip]
pub const FLAGS: &[Flag] = &[
    flag("Member", "name", Kind::Text, "default", Support::Honoured, "Human-readable name of this member."),
    flag("Member", "data-dir", Kind::Text, "", Support::Honoured, "Data directory; <name>.etcd where empty."),
    flag("Member", "wal-dir", Kind::Text, "", Support::Honoured, "Directory of the write-ahead log, where it is to be apart from the data directory."),
    flag("Member", "snapshot-count", Kind::Count, "10000", Support::Honoured, "Applied entries between state flushes that allow the log to be purged."),
    flag("Member", "snapshot-catchup-entries", Kind::Count, "5000", Support::Honoured, "Log entries kept for slow followers."),
    flag("Member", "heartbeat-interval", Kind::Count, "100", Support::Honoured, "Heartbeat interval in milliseconds."),
    flag("Member", "election-timeout", Kind::Count, "1000", Support::Honoured, "Election timeout in milliseconds; at least five heartbeats."),
    flag("Member", "initial-election-tick-advance", Kind::Switch, "true", Support::Honoured, "Shorten the first election wait."),
    flag("Member", "listen-peer-urls", Kind::Text, "http://localhost:2380", Support::Honoured, "URLs to listen on for other members."),
    flag("Member", "listen-client-urls", Kind::Text, "http://localhost:2379", Support::Honoured, "URLs to listen on for clients."),
    flag("Member", "listen-client-http-urls", Kind::Text, "", Support::Honoured, "URLs for HTTP only; the client URLs then serve gRPC only."),
    flag("Member", "max-snapshots", Kind::Count, "5", Support::Ignored, "Snapshot files to keep; deprecated."),
    flag("Member", "max-wals", Kind::Count, "5", Support::Honoured, "Log segments to keep, 0 for all."),
    flag("Member", "memory-mlock", Kind::Switch, "false", Support::Ignored, "Lock memory; Quorate does not map its state."),
    flag("Member", "quota-backend-bytes", Kind::Size, "0", Support::Honoured, "Storage quota in bytes; 0 for 2 GiB, negative for none."),
    flag("Member", "backend-bbolt-freelist-type", Kind::Text, "map", Support::Ignored, "Freelist of bbolt; Quorate has no bbolt inside."),
    flag("Member", "backend-batch-interval", Kind::Time, "0", Support::Honoured, "Longest time before applied state is made durable; 0 for 100ms."),
    flag("Member", "backend-batch-limit", Kind::Count, "0", Support::Honoured, "Most rows before applied state is made durable; 0 for 10000."),
    flag("Member", "max-txn-ops", Kind::Count, "128", Support::Honoured, "Most operations in one transaction."),
    flag("Member", "max-request-bytes", Kind::Count, "1572864", Support::Honoured, "Largest request in bytes."),
    flag("Member", "max-concurrent-streams", Kind::Count, "4294967295", Support::Honoured, "Most streams on one client connection."),
    flag("Member", "grpc-keepalive-min-time", Kind::Time, "5s", Support::Honoured, "Shortest time between client pings; who pings faster is disconnected."),
    flag("Member", "grpc-keepalive-interval", Kind::Time, "2h", Support::Honoured, "Time between server pings, 0 for none."),
    flag("Member", "grpc-keepalive-timeout", Kind::Time, "20s", Support::Honoured, "Time to wait for a ping answer."),
    flag("Member", "socket-reuse-port", Kind::Switch, "false", Support::Honoured, "Set SO_REUSEPORT on listeners."),
    flag("Member", "socket-reuse-address", Kind::Switch, "false", Support::Ignored, "Set SO_REUSEADDR on listeners; they always have it here."),
    flag("Member", "enable-grpc-gateway", Kind::Switch, "true", Support::Honoured, "Serve the JSON gateway."),
    flag("Member", "raft-read-timeout", Kind::Time, "5s", Support::Ignored, "Read timeout of peer connections; they are watched by pings here."),
    flag("Member", "raft-write-timeout", Kind::Time, "5s", Support::Ignored, "Write timeout of peer connections; they are watched by pings here."),
    flag("Member", "feature-gates", Kind::Text, "", Support::Honoured, "Name=true,... of features to switch."),
    flag("Member", "storage-engine", Kind::Text, "redb", Support::Honoured, "State engine: redb or sled. Quorate only."),
    flag("Clustering", "initial-advertise-peer-urls", Kind::Text, "http://localhost:2380", Support::Honoured, "Peer URLs that the other members are told."),
    flag("Clustering", "initial-cluster", Kind::Text, "", Support::Honoured, "name=url,... of the initial members; <name>=<advertised peer URLs> where empty."),
    flag("Clustering", "initial-cluster-state", Kind::Text, "new", Support::Honoured, "new or existing; ignored once there is data."),
    flag("Clustering", "initial-cluster-token", Kind::Text, "etcd-cluster", Support::Honoured, "Token that keeps clusters apart."),
    flag("Clustering", "advertise-client-urls", Kind::Text, "http://localhost:2379", Support::Honoured, "Client URLs that the cluster is told."),
    flag("Clustering", "discovery-token", Kind::Text, "", Support::Honoured, "Token of v3 discovery."),
    flag("Clustering", "discovery-endpoints", Kind::Text, "", Support::Honoured, "Endpoints of v3 discovery."),
    flag("Clustering", "discovery-dial-timeout", Kind::Time, "2s", Support::Honoured, "Discovery dial timeout."),
    flag("Clustering", "discovery-request-timeout", Kind::Time, "5s", Support::Honoured, "Discovery request timeout."),
    flag("Clustering", "discovery-keepalive-time", Kind::Time, "2s", Support::Honoured, "Discovery keep-alive time."),
    flag("Clustering", "discovery-keepalive-timeout", Kind::Time, "6s", Support::Honoured, "Discovery keep-alive timeout."),
    flag("Clustering", "discovery-insecure-transport", Kind::Switch, "true", Support::Honoured, "Discovery without TLS."),
    flag("Clustering", "discovery-insecure-skip-tls-verify", Kind::Switch, "false", Support::Honoured, "Discovery without verification."),
    flag("Clustering", "discovery-cert", Kind::Text, "", Support::Honoured, "Discovery client certificate."),
    flag("Clustering", "discovery-key", Kind::Text, "", Support::Honoured, "Discovery client key."),
    flag("Clustering", "discovery-cacert", Kind::Text, "", Support::Honoured, "Discovery CA."),
    flag("Clustering", "discovery-user", Kind::Text, "", Support::Honoured, "Discovery user."),
    flag("Clustering", "discovery-password", Kind::Text, "", Support::Honoured, "Discovery password."),
    flag("Clustering", "discovery-fallback", Kind::Text, "exit", Support::Honoured, "exit; proxy is refused, as by etcd since 3.6."),
    flag("Clustering", "discovery-srv", Kind::Text, "", Support::Honoured, "DNS domain to bootstrap from."),
    flag("Clustering", "discovery-srv-name", Kind::Text, "", Support::Honoured, "Suffix of the DNS SRV name."),
    flag("Clustering", "strict-reconfig-check", Kind::Switch, "true", Support::Honoured, "Refuse membership changes that would lose the quorum."),
    flag("Clustering", "pre-vote", Kind::Switch, "true", Support::Honoured, "Ask for votes before raising the term."),
    flag("Clustering", "auto-compaction-mode", Kind::Text, "periodic", Support::Honoured, "periodic or revision."),
    flag("Clustering", "auto-compaction-retention", Kind::Text, "0", Support::Honoured, "History to keep; 0 for no automatic compaction."),
    flag("Clustering", "v2-deprecation", Kind::Text, "write-only", Support::Ignored, "Phase of the v2 store; always write-only."),
    flag("Security", "cert-file", Kind::Text, "", Support::Honoured, "Certificate of the client port."),
    flag("Security", "key-file", Kind::Text, "", Support::Honoured, "Key of the client port."),
    flag("Security", "client-cert-file", Kind::Text, "", Support::Honoured, "Separate certificate for outgoing use."),
    flag("Security", "client-key-file", Kind::Text, "", Support::Honoured, "Separate key for outgoing use."),
    flag("Security", "client-cert-auth", Kind::Switch, "false", Support::Honoured, "Demand client certificates."),
    flag("Security", "client-crl-file", Kind::Text, "", Support::Honoured, "Revoked client certificates."),
    flag("Security", "client-cert-allowed-cn", Kind::Text, "", Support::Honoured, "Common names that client certificates may carry; in etcd a key of the configuration file only."),
    flag("Security", "client-cert-allowed-hostname", Kind::Text, "", Support::Honoured, "Names that client certificates may carry."),
    flag("Security", "trusted-ca-file", Kind::Text, "", Support::Honoured, "CA of client certificates."),
    flag("Security", "auto-tls", Kind::Switch, "false", Support::Honoured, "Self-signed client TLS."),
    flag("Security", "peer-cert-file", Kind::Text, "", Support::Honoured, "Certificate of the peer port."),
    flag("Security", "peer-key-file", Kind::Text, "", Support::Honoured, "Key of the peer port."),
    flag("Security", "peer-client-cert-file", Kind::Text, "", Support::Honoured, "Separate certificate for outgoing peer use."),
    flag("Security", "peer-client-key-file", Kind::Text, "", Support::Honoured, "Separate key for outgoing peer use."),
    flag("Security", "peer-client-cert-auth", Kind::Switch, "false", Support::Honoured, "Demand peer certificates."),
    flag("Security", "peer-trusted-ca-file", Kind::Text, "", Support::Honoured, "CA of peer certificates."),
    flag("Security", "peer-auto-tls", Kind::Switch, "false", Support::Honoured, "Self-signed peer TLS."),
    flag("Security", "peer-crl-file", Kind::Text, "", Support::Honoured, "Revoked peer certificates."),
    flag("Security", "peer-cert-allowed-cn", Kind::Text, "", Support::Honoured, "Common name that peers must carry."),
    flag("Security", "peer-cert-allowed-hostname", Kind::Text, "", Support::Honoured, "Name that peers must carry."),
    flag("Security", "peer-skip-client-san-verification", Kind::Switch, "false", Support::Honoured, "Do not compare peer addresses with their certificates."),
    flag("Security", "cipher-suites", Kind::Text, "", Support::Honoured, "Cipher suites, by Go name."),
    flag("Security", "tls-max-version", Kind::Text, "", Support::Honoured, "Highest TLS version."),
    flag("Security", "self-signed-cert-validity", Kind::Count, "1", Support::Honoured, "Validity of generated certificates in years."),
    flag("Security", "tls-min-version", Kind::Text, "TLS1.2", Support::Honoured, "Lowest TLS version."),
    flag("Security", "cors", Kind::Text, "*", Support::Honoured, "Origins that browsers may ask from, separated by commas; * for all."),
    flag("Security", "host-whitelist", Kind::Text, "*", Support::Honoured, "Host names accepted on plain HTTP, separated by commas; * for all."),
    flag("Auth", "auth-token", Kind::Text, "simple", Support::Honoured, "simple, or jwt,pub-key=...,priv-key=...,sign-method=...,ttl=..."),
    flag("Auth", "bcrypt-cost", Kind::Count, "10", Support::Honoured, "Cost of password hashing."),
    flag("Auth", "auth-token-ttl", Kind::Count, "300", Support::Honoured, "Lifetime of simple tokens in seconds."),
    flag("Profiling and monitoring", "enable-pprof", Kind::Switch, "false", Support::Ignored, "Profiles over HTTP; they are those of the Go runtime."),
    flag("Profiling and monitoring", "metrics", Kind::Text, "basic", Support::Honoured, "basic or extensive."),
    flag("Profiling and monitoring", "listen-metrics-urls", Kind::Text, "", Support::Honoured, "Further URLs for /metrics and /health."),
    flag("Logging", "logger", Kind::Text, "zap", Support::Honoured, "zap; the format is always that of zap."),
    flag("Logging", "log-outputs", Kind::Text, "default", Support::Honoured, "default, stderr, stdout, systemd/journal or file paths, separated by commas."),
    flag("Logging", "log-level", Kind::Text, "info", Support::Honoured, "debug, info, warn, error, panic or fatal."),
    flag("Logging", "log-format", Kind::Text, "json", Support::Honoured, "json or console."),
    flag("Logging", "enable-log-rotation", Kind::Switch, "false", Support::Honoured, "Rotate the log file; needs a single one in --log-outputs."),
    flag("Logging", "log-rotation-config-json", Kind::Text, "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, \"compress\": false}", Support::Honoured, "When a log file is replaced: maxsize in MB, maxage in days, maxbackups, localtime, compress."),
    flag("Logging", "warning-unary-request-duration", Kind::Time, "300ms", Support::Honoured, "Calls that take longer are logged."),
    flag("Tracing", "enable-distributed-tracing", Kind::Switch, "false", Support::Ignored, "Send traces; Quorate sends none."),
    flag("Tracing", "distributed-tracing-address", Kind::Text, "localhost:4317", Support::Ignored, "Address of the collector."),
    flag("Tracing", "distributed-tracing-service-name", Kind::Text, "etcd", Support::Ignored, "Service name in traces."),
    flag("Tracing", "distributed-tracing-instance-id", Kind::Text, "", Support::Ignored, "Instance id in traces."),
    flag("Tracing", "distributed-tracing-sampling-rate", Kind::Count, "0", Support::Ignored, "Samples per million."),
    flag("Features", "corrupt-check-time", Kind::Time, "", Support::Honoured, "Interval of the comparison of whole hashes by the leader; 0 for never. 12h where it is not given; etcd never does it by itself."),
    flag("Features", "compact-hash-check-time", Kind::Time, "1m", Support::Honoured, "Interval of the comparison of the hashes that compactions leave (feature gate CompactHashCheck)."),
    flag("Features", "compaction-batch-limit", Kind::Count, "0", Support::Honoured, "Revisions removed per compaction step; 0 for 1000."),
    flag("Features", "compaction-sleep-interval", Kind::Time, "0", Support::Honoured, "Pause between compaction steps; 0 for 10ms."),
    flag("Features", "watch-progress-notify-interval", Kind::Time, "0", Support::Honoured, "Interval of progress notices; 0 for 10m."),
    flag("Features", "warning-apply-duration", Kind::Time, "100ms", Support::Honoured, "Applies that take longer are logged."),
    flag("Features", "bootstrap-defrag-threshold-megabytes", Kind::Count, "0", Support::Honoured, "Defragment at start if this much can be freed."),
    flag("Features", "max-learners", Kind::Count, "1", Support::Honoured, "Most learners at a time."),
    flag("Features", "downgrade-check-time", Kind::Time, "5s", Support::Honoured, "Interval at which the leader looks for a change of the cluster version while a downgrade is under way."),
    flag("Features", "auto-promote-learners", Kind::Switch, "false", Support::Honoured, "The leader promotes a learner once it is in sync. Quorate only."),
    flag("Features", "nospace-disarm-after", Kind::Time, "30s", Support::Honoured, "A member that raised NOSPACE frees what can be freed and takes its alarm back after it has been well below the quota for this long; 0 for never, as in etcd. Quorate only."),
    flag("Features", "max-answer-bytes-in-flight", Kind::Count, "0", Support::Honoured, "Bytes of answers that may wait for their clients at a time; 0 for 512 MiB. Quorate only."),
    flag("Features", "max-request-bytes-in-flight", Kind::Count, "0", Support::Honoured, "Bytes of requests that are still coming, and of large writes without an answer, at a time; 0 for 256 MiB. Quorate only."),
    flag("Unsafe", "force-new-cluster", Kind::Switch, "false", Support::Honoured, "Become a cluster of one from this data directory."),
    flag("Unsafe", "unsafe-no-fsync", Kind::Switch, "false", Support::Honoured, "Never sync: acknowledged writes are lost with the machine."),
    flag("Other", "config-file", Kind::Text, "", Support::Honoured, "Configuration file, YAML or JSON; replaces all other flags and variables."),
    flag("Retired", "cluster-active-size", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "cluster-remove-delay", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "cluster-sync-interval", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "config", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "force", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "max-result-buffer", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "max-retry-attempts", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "peer-heartbeat-interval", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "peer-election-timeout", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "retry-interval", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "snapshot", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "v", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "vv", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "enable-v2", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy-failure-wait", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy-refresh-interval", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy-dial-timeout", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy-read-timeout", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "proxy-write-timeout", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "debug", Kind::Switch, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "log-package-levels", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "experimental-enable-v2v3", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
    flag("Retired", "experimental-wait-cluster-ready-timeout", Kind::Text, "", Support::Ignored, "No effect since etcd 3."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// A name stands once in the table.
    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for flag in FLAGS {
            assert!(seen.insert(flag.name), "{} twice", flag.name);
        }
    }

    /// Whoever says that a flag is honoured reads it: its name stands in the code that makes the configuration.
    #[test]
    fn honoured_flags_are_read() {
        let readers = [
            include_str!("checks.rs"),
            include_str!("defence.rs"),
            include_str!("discovery.rs"),
            include_str!("gates.rs"),
            include_str!("log.rs"),
            include_str!("parse.rs"),
            include_str!("security.rs"),
        ];
        for flag in FLAGS.iter().filter(|flag| flag.support == Support::Honoured) {
            let quoted = format!("\"{}\"", flag.name);
            assert!(readers.iter().any(|text| text.contains(&quoted)), "{} is not read", flag.name);
        }
    }
}
