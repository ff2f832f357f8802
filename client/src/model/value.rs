//! A measured value that never pretends: known, unknown with a reason, or stale with its age.
//!
//! Not for configuration or for facts that cannot be missing. "Unknown" is never shown or summed as 0.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap};

/// What is known about one figure of the cluster.
///
/// In JSON: `{"value": v}`, `{"value": v, "age_ms": n}` or `{"unknown": "reason"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<T> {
    /// Reported in the newest round.
    Known(T),
    /// Never reported; the reason is a lower-case fragment.
    Unknown(String),
    /// Reported once, but the newest attempt failed or is overdue.
    Stale {
        /// The last report.
        value: T,
        /// The time since that report.
        age: Duration,
    },
}

impl<T> Value<T> {
    /// An unknown value with its reason.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown(reason.into())
    }

    /// The value, only while it is fresh.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) | Self::Stale { .. } => None,
        }
    }

    /// The value, fresh or stale.
    pub fn last(&self) -> Option<&T> {
        match self {
            Self::Known(value) | Self::Stale { value, .. } => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Whether the newest attempt failed while an older report is held.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// Why there is no value; `None` if there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::Known(_) | Self::Stale { .. } => None,
        }
    }

    /// Borrows the content.
    pub fn as_ref(&self) -> Value<&T> {
        match self {
            Self::Known(value) => Value::Known(value),
            Self::Unknown(reason) => Value::Unknown(reason.clone()),
            Self::Stale { value, age } => Value::Stale { value, age: *age },
        }
    }

    /// Changes the content and keeps freshness.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Value<U> {
        match self {
            Self::Known(value) => Value::Known(change(value)),
            Self::Unknown(reason) => Value::Unknown(reason),
            Self::Stale { value, age } => Value::Stale { value: change(value), age },
        }
    }

    /// Like [`Value::map`], for a content that may turn out to be missing.
    pub fn try_map<U>(self, change: impl FnOnce(T) -> Result<U, String>) -> Value<U> {
        match self {
            Self::Known(value) => match change(value) {
                Ok(value) => Value::Known(value),
                Err(reason) => Value::Unknown(reason),
            },
            Self::Unknown(reason) => Value::Unknown(reason),
            Self::Stale { value, age } => match change(value) {
                Ok(value) => Value::Stale { value, age },
                Err(reason) => Value::Unknown(reason),
            },
        }
    }

    /// This value, or the other one where this one is unknown.
    pub fn or(self, other: impl FnOnce() -> Self) -> Self {
        if matches!(self, Self::Unknown(_)) { other() } else { self }
    }
}

impl<T: Serialize> Serialize for Value<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Known(value) => map.serialize_entry("value", value)?,
            Self::Unknown(reason) => map.serialize_entry("unknown", reason)?,
            Self::Stale { value, age } => {
                map.serialize_entry("value", value)?;
                map.serialize_entry("age_ms", &age.as_millis())?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that reads the JSON can tell the three states apart and never sees a made-up 0.
    #[test]
    fn json_tells_the_three_states_apart() {
        let json = |value: Value<u64>| serde_json::to_string(&value).unwrap();
        assert_eq!(json(Value::Known(7)), r#"{"value":7}"#);
        assert_eq!(json(Value::unknown("no answer")), r#"{"unknown":"no answer"}"#);
        let stale = Value::Stale { value: 7, age: Duration::from_millis(1500) };
        assert_eq!(json(stale), r#"{"value":7,"age_ms":1500}"#);
    }

    /// Freshness survives a change of the content.
    #[test]
    fn map_keeps_freshness() {
        let age = Duration::from_secs(3);
        assert_eq!(Value::Stale { value: 2, age }.map(|n| n * 2), Value::Stale { value: 4, age });
        assert_eq!(
            Value::Known(0).try_map(|_: i32| Err::<i32, _>("not reported".into())),
            Value::unknown("not reported")
        );
    }
}
