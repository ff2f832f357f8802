//! Names of backups and of their objects. Ids sort by time; a random end keeps two agents from colliding.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

const SNAPSHOT_SUFFIX: &str = ".snapshot.db";
const MANIFEST_SUFFIX: &str = ".manifest.json";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A backup's id: `20261121T085857Z-1234-0123abcd` (start in UTC, revision, random).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// Makes the id of a backup that was started at `started_at` and holds `revision`.
    pub fn new(started_at: Timestamp, revision: i64, random: u32) -> Self {
        let time = started_at.to_zoned(TimeZone::UTC).strftime(TIME_FORMAT).to_string();
        Self(format!("{time}-{revision}-{random:08x}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the snapshot object.
    pub fn snapshot_object(&self, cluster_id: &str) -> String {
        format!("{cluster_id}/{self}{SNAPSHOT_SUFFIX}")
    }

    /// Name of the manifest object.
    pub fn manifest_object(&self, cluster_id: &str) -> String {
        format!("{cluster_id}/{self}{MANIFEST_SUFFIX}")
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

impl TryFrom<String> for BackupId {
    type Error = AgentError;

    fn try_from(text: String) -> Result<Self, AgentError> {
        text.parse()
    }
}

impl FromStr for BackupId {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self, AgentError> {
        let parts: Vec<_> = text.split('-').collect();
        let is_id = match parts.as_slice() {
            [time, revision, random] => {
                time.len() == 16
                    && jiff::civil::DateTime::strptime(TIME_FORMAT, time).is_ok()
                    && revision.parse::<i64>().is_ok_and(|revision| revision >= 0)
                    && random.len() == 8
                    && u32::from_str_radix(random, 16).is_ok()
            }
            _ => false,
        };
        if is_id {
            return Ok(Self(text.to_owned()));
        }
        Err(AgentError::configuration(
            format!("\"{text}\" is not a backup id"),
            "Ids look like 20261121T085857Z-1234-0123abcd; `list` shows them.",
        ))
    }
}

/// What an object's name says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// The manifest of a backup.
    Manifest(BackupId),
    /// The snapshot of a backup.
    Snapshot(BackupId),
    /// Nothing of ours.
    Foreign,
}

/// Reads an object's name.
pub fn object_kind(name: &str) -> ObjectKind {
    let file = name.rsplit('/').next().unwrap_or(name);
    let id = |suffix| file.strip_suffix(suffix).and_then(|id: &str| id.parse().ok());
    if let Some(id) = id(MANIFEST_SUFFIX) {
        return ObjectKind::Manifest(id);
    }
    id(SNAPSHOT_SUFFIX).map_or(ObjectKind::Foreign, ObjectKind::Snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Object names lead back to the id, and foreign files are left alone.
    #[test]
    fn names_lead_back() {
        let at = "2026-11-21T08:58:57.5Z".parse().expect("a timestamp");
        let id = BackupId::new(at, 1234, 0x0123_abcd);
        assert_eq!(id.as_str(), "20261121T085857Z-1234-0123abcd");
        assert_eq!(object_kind(&id.snapshot_object("c1")), ObjectKind::Snapshot(id.clone()));
        assert_eq!(object_kind(&id.manifest_object("c1")), ObjectKind::Manifest(id));
        for foreign in ["README", "c1/x.snapshot.db", "c1/20261321T085857Z-1-0123abcd.snapshot.db"]
        {
            assert_eq!(object_kind(foreign), ObjectKind::Foreign, "{foreign}");
        }
    }
}
