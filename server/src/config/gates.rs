//! Feature gates (`--feature-gates`): the names that etcd v3.7.1 knows, and what this member makes of each.

use super::ConfigError;
use super::reader::Reader;

/// One gate.
struct Gate {
    name: &'static str,
    is_alpha: bool,
    /// Its state where nobody has switched it; etcd's, unless the room that asks says why not.
    default: bool,
}

const fn alpha(name: &'static str, default: bool) -> Gate {
    Gate { name, is_alpha: true, default }
}

const fn beta(name: &'static str) -> Gate {
    Gate { name, is_alpha: false, default: true }
}

/// `etcd:server/features/etcd_features.go`. The checks against corruption and the kept TTLs are on here: they cost
/// next to nothing, and not to have them is what etcd's users complain of.
const GATES: &[Gate] = &[
    alpha("StopGRPCServiceOnDefrag", false),
    alpha("InitialCorruptCheck", true),
    alpha("CompactHashCheck", true),
    beta("TxnModeWriteWithSharedBuffer"),
    alpha("LeaseCheckpoint", true),
    alpha("LeaseCheckpointPersist", true),
    alpha("SetMemberLocalAddr", false),
    beta("FastLeaseKeepAlive"),
    alpha("PriorityRequest", false),
];
/// Gates of parts that Quorate does not have, or has always on.
const WITHOUT_EFFECT: [&str; 4] = [
    "TxnModeWriteWithSharedBuffer",
    "LeaseCheckpointPersist",
    "FastLeaseKeepAlive",
    "PriorityRequest",
];
/// Names of whole groups.
const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

/// The state of all gates.
#[derive(Clone, Debug)]
pub struct FeatureGates {
    states: Vec<(&'static str, bool)>,
    /// Those that the operator has switched by name.
    given: Vec<&'static str>,
}

impl FeatureGates {
    /// Reads the flag.
    ///
    /// # Errors
    /// An unknown gate, a value that is no boolean, or a gate that needs another one.
    pub(super) fn read(read: &Reader<'_>) -> Result<FeatureGates, ConfigError> {
        let refused = |text: String| read.shape_error("feature-gates", text);
        let mut switched = Vec::new();
        for part in read.list("feature-gates") {
            let (name, value) = part.split_once('=').unwrap_or((&part, ""));
            let Ok(is_on) = value.to_lowercase().parse::<bool>() else {
                return Err(refused(format!(
                    "invalid value of {name}: {value}, err: true or false is needed"
                )));
            };
            let is_known = GATES.iter().any(|gate| gate.name == name);
            if !is_known && name != ALL_ALPHA && name != ALL_BETA {
                return Err(refused(format!("unrecognized feature gate: {name}")));
            }
            switched.push((name.to_owned(), is_on));
        }
        let last = |wanted: &str| {
            switched.iter().rev().find(|(name, _)| name == wanted).map(|(_, on)| *on)
        };
        let state = |gate: &Gate| {
            let group = last(if gate.is_alpha { ALL_ALPHA } else { ALL_BETA });
            (gate.name, last(gate.name).or(group).unwrap_or(gate.default))
        };
        let states: Vec<_> = GATES.iter().map(state).collect();
        let given: Vec<_> =
            GATES.iter().map(|gate| gate.name).filter(|name| last(name).is_some()).collect();
        let gates = FeatureGates { states, given };
        if last("LeaseCheckpointPersist") == Some(true) && last("LeaseCheckpoint") != Some(true) {
            let text = "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint";
            return Err(ConfigError::Contradiction(text.to_owned()));
        }
        Ok(gates)
    }

    /// Whether a gate is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.states.iter().any(|(known, on)| *known == name && *on)
    }

    /// Whether the operator has asked for it by name.
    pub fn is_asked_for(&self, name: &str) -> bool {
        self.is_on(name) && self.given.contains(&name)
    }

    /// Gates that the operator has switched and that switch nothing here.
    pub fn without_effect(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.given.iter().copied().filter(|name| WITHOUT_EFFECT.contains(name))
    }

    /// All gates with their states and stages, for the log and the metrics.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> + '_ {
        self.states
            .iter()
            .zip(GATES)
            .map(|((name, on), gate)| (*name, if gate.is_alpha { "ALPHA" } else { "BETA" }, *on))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Invocation, parse};
    use super::*;

    fn gates(text: &str) -> Result<FeatureGates, ConfigError> {
        match parse([format!("--feature-gates={text}")], [])? {
            Invocation::Serve(values, _) => {
                Config::from_values(&values).map(|config| config.feature_gates)
            }
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// A gate by its own name wins over its group; the last one of two wins.
    #[test]
    fn states() {
        let gates = gates("AllAlpha=false,CompactHashCheck=false,CompactHashCheck=true").unwrap();
        assert!(gates.is_on("CompactHashCheck") && gates.is_asked_for("CompactHashCheck"));
        assert!(!gates.is_on("InitialCorruptCheck") && gates.is_on("FastLeaseKeepAlive"));
        assert_eq!(gates.without_effect().count(), 0);
    }

    /// What etcd refuses is refused with its exit code.
    #[test]
    fn refusals() {
        assert_eq!(gates("Nope=true").unwrap_err().exit_code(), 2);
        assert_eq!(gates("CompactHashCheck=x").unwrap_err().exit_code(), 2);
        assert_eq!(gates("LeaseCheckpointPersist=true").unwrap_err().exit_code(), 1);
    }
}
