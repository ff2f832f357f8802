//! The flags by which a member protects itself: corruption checks, space, memory, promotion of learners.

use super::ConfigError;
use super::gates::FeatureGates;
use super::reader::Reader;
use std::time::Duration;

/// Time between two comparisons of whole hashes where the operator has not chosen one.
const CORRUPT_CHECK_TIME: Duration = Duration::from_secs(12 * 3600);
/// Bytes of large answers in flight where the operator has not chosen a number.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// Bytes of requests that are still coming where the operator has not chosen a number.
const REQUEST_BYTES_MAX: usize = 256 << 20;

/// What these flags say.
#[derive(Clone, Debug)]
pub struct Defence {
    /// Compare with the others before serving.
    pub checks_at_start: bool,
    /// Refuse to start for any difference, as etcd does where its gate is on, not only against a majority.
    pub is_strict_at_start: bool,
    /// `--corrupt-check-time`; `None` for never.
    pub corrupt_check_time: Option<Duration>,
    /// `--compact-hash-check-time`; `None` where the gate is off.
    pub compact_hash_check_time: Option<Duration>,
    /// `--nospace-disarm-after`; `None` for never.
    pub nospace_disarm_after: Option<Duration>,
    /// `--max-answer-bytes-in-flight`.
    pub answer_bytes_max: usize,
    /// `--max-request-bytes-in-flight`.
    pub request_bytes_max: usize,
    /// `--auto-promote-learners`.
    pub promotes_learners: bool,
    /// `--downgrade-check-time`.
    pub downgrade_check_time: Duration,
}

impl Defence {
    /// Reads and checks the flags.
    ///
    /// # Errors
    /// The first value that etcd would refuse.
    pub(super) fn read(read: &Reader<'_>, gates: &FeatureGates) -> Result<Defence, ConfigError> {
        let compact_hash = read.time("compact-hash-check-time")?;
        if compact_hash.is_zero() {
            let text = "--compact-hash-check-time must be >0 (set to 0s)";
            return Err(ConfigError::Contradiction(text.to_owned()));
        }
        let corrupt = match read.text("corrupt-check-time").as_str() {
            "" => CORRUPT_CHECK_TIME,
            _ => read.time("corrupt-check-time")?,
        };
        let disarm = read.time("nospace-disarm-after")?;
        let downgrade = read.time("downgrade-check-time")?;
        Ok(Defence {
            checks_at_start: gates.is_on("InitialCorruptCheck"),
            is_strict_at_start: gates.is_asked_for("InitialCorruptCheck"),
            corrupt_check_time: (!corrupt.is_zero()).then_some(corrupt),
            compact_hash_check_time: gates.is_on("CompactHashCheck").then_some(compact_hash),
            nospace_disarm_after: (!disarm.is_zero()).then_some(disarm),
            answer_bytes_max: read.number_or("max-answer-bytes-in-flight", ANSWER_BYTES_MAX)?,
            request_bytes_max: read.number_or("max-request-bytes-in-flight", REQUEST_BYTES_MAX)?,
            promotes_learners: read.switch("auto-promote-learners")?,
            downgrade_check_time: downgrade.max(Duration::from_millis(100)),
        })
    }
}
