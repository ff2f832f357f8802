//! Names that older releases of etcd gave to flags, above all the `--experimental-*` forms of 3.5: unit files are full
//! of them. They are accepted as flags, variables and keys of the file, with one warning each. What a name of today
//! means is in [`super::FLAGS`].

use super::Kind;

/// What an old name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This flag.
    Flag(&'static str),
    /// This feature gate, on or off.
    Gate(&'static str),
}

/// One old name.
#[derive(Clone, Copy, Debug)]
pub struct OldSpelling {
    /// The name without dashes.
    pub name: &'static str,
    /// Shape of its value.
    pub kind: Kind,
    /// What it stands for now.
    pub meaning: Meaning,
}

const fn flag(name: &'static str, kind: Kind, now: &'static str) -> OldSpelling {
    OldSpelling { name, kind, meaning: Meaning::Flag(now) }
}

const fn gate(name: &'static str, now: &'static str) -> OldSpelling {
    OldSpelling { name, kind: Kind::Switch, meaning: Meaning::Gate(now) }
}

/// All of them (`etcd:server/embed/config.go` of 3.4, 3.5 and 3.6).
#[rustfmt::skip]
pub const OLD_SPELLINGS: &[OldSpelling] = &[
    gate("experimental-initial-corrupt-check", "InitialCorruptCheck"),
    gate("experimental-compact-hash-check-enabled", "CompactHashCheck"),
    gate("experimental-enable-lease-checkpoint", "LeaseCheckpoint"),
    gate("experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist"),
    gate("experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer"),
    gate("experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag"),
    gate("experimental-set-member-localaddr", "SetMemberLocalAddr"),
    flag("experimental-corrupt-check-time", Kind::Time, "corrupt-check-time"),
    flag("experimental-compact-hash-check-time", Kind::Time, "compact-hash-check-time"),
    flag("experimental-compaction-batch-limit", Kind::Count, "compaction-batch-limit"),
    flag("experimental-compaction-sleep-interval", Kind::Time, "compaction-sleep-interval"),
    flag("experimental-peer-skip-client-san-verification", Kind::Switch, "peer-skip-client-san-verification"),
    flag("experimental-memory-mlock", Kind::Switch, "memory-mlock"),
    flag("experimental-bootstrap-defrag-threshold-megabytes", Kind::Count, "bootstrap-defrag-threshold-megabytes"),
    flag("experimental-max-learners", Kind::Count, "max-learners"),
    flag("experimental-watch-progress-notify-interval", Kind::Time, "watch-progress-notify-interval"),
    flag("experimental-warning-apply-duration", Kind::Time, "warning-apply-duration"),
    flag("experimental-warning-unary-request-duration", Kind::Time, "warning-unary-request-duration"),
    flag("experimental-downgrade-check-time", Kind::Time, "downgrade-check-time"),
    flag("experimental-snapshot-catchup-entries", Kind::Count, "snapshot-catchup-entries"),
    flag("experimental-backend-bbolt-freelist-type", Kind::Text, "backend-bbolt-freelist-type"),
    flag("experimental-enable-distributed-tracing", Kind::Switch, "enable-distributed-tracing"),
    flag("experimental-distributed-tracing-address", Kind::Text, "distributed-tracing-address"),
    flag("experimental-distributed-tracing-service-name", Kind::Text, "distributed-tracing-service-name"),
    flag("experimental-distributed-tracing-instance-id", Kind::Text, "distributed-tracing-instance-id"),
    flag("experimental-distributed-tracing-sampling-rate", Kind::Count, "distributed-tracing-sampling-rate"),
];

#[cfg(test)]
mod tests {
    use super::super::FLAGS;
    use super::*;

    /// Every old name stands for something that exists, and is no name of today.
    #[test]
    fn meanings_exist() {
        for old in OLD_SPELLINGS {
            assert!(FLAGS.iter().all(|flag| flag.name != old.name), "{}", old.name);
            if let Meaning::Flag(name) = old.meaning {
                assert!(FLAGS.iter().any(|flag| flag.name == name), "{name}");
            }
        }
    }
}
