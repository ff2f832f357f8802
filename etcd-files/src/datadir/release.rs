//! Release lines of etcd, and what a database must be like for one of them to start on it.

use std::fmt;
use std::str::FromStr;

use crate::bbolt::{Database, RewritePlan};
use crate::error::{Error, Result};
use crate::rows::{bucket, meta};

/// A release line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 3.4: no term and no configuration state in the database.
    V3_4,
    /// 3.5: no storage version.
    V3_5,
    /// 3.6.
    V3_6,
    /// 3.7, which Quorate equals.
    V3_7,
}

impl Release {
    const ALL: [Release; 4] = [Release::V3_4, Release::V3_5, Release::V3_6, Release::V3_7];

    /// The cluster version of a cluster of this release: `X.Y.0`.
    pub fn cluster_version(self) -> String {
        format!("{self}.0")
    }

    /// The newest release line that is not above a version such as `3.6.0`; `None` for one that is older than all.
    fn of(version: &str) -> Option<Release> {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
        let version = (parts.next()??, parts.next()??);
        Release::ALL.into_iter().rev().find(|release| release.numbers() <= version)
    }

    fn numbers(self) -> (u32, u32) {
        match self {
            Release::V3_4 => (3, 4),
            Release::V3_5 => (3, 5),
            Release::V3_6 => (3, 6),
            Release::V3_7 => (3, 7),
        }
    }

    /// Completes the plan of a rewrite so that this release starts on its result.
    pub(super) fn fit(self, plan: &mut RewritePlan, source: &Database) -> Result<()> {
        let mut change = |name: &str, key: &[u8], value: Option<Vec<u8>>| {
            plan.entry(name.to_owned()).or_default().changes.insert(key.to_vec(), value);
        };
        let version = match source.bucket(bucket::CLUSTER)? {
            Some(rows) => rows.get(meta::CLUSTER_VERSION)?,
            None => None,
        };
        let version = version.map(|text| String::from_utf8_lossy(&text).into_owned());
        if version.is_some_and(|version| Release::of(&version).is_none_or(|is| is > self)) {
            let lowered = self.cluster_version().into_bytes();
            change(bucket::CLUSTER, meta::CLUSTER_VERSION, Some(lowered));
        }
        let schema = (self >= Release::V3_6).then(|| self.cluster_version().into_bytes());
        change(bucket::META, meta::STORAGE_VERSION, schema);
        if self < Release::V3_5 {
            change(bucket::META, meta::TERM, None);
            change(bucket::META, meta::CONF_STATE, None);
        }
        Ok(())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.numbers();
        write!(formatter, "{major}.{minor}")
    }
}

impl FromStr for Release {
    type Err = Error;

    fn from_str(text: &str) -> Result<Release> {
        let found = Release::ALL.into_iter().find(|release| release.to_string() == text);
        found.ok_or_else(|| {
            Error::Refused(format!("unknown etcd release {text:?}: give 3.4, 3.5, 3.6 or 3.7"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts are read back, and a version belongs to the newest line that is not above it.
    #[test]
    fn releases_and_versions() {
        for release in Release::ALL {
            assert_eq!(release.to_string().parse::<Release>().unwrap(), release);
            assert_eq!(Release::of(&release.cluster_version()), Some(release));
        }
        assert_eq!(Release::of("3.8.0"), Some(Release::V3_7));
        assert_eq!(Release::of("3.0.0"), None);
        assert!("3.3".parse::<Release>().is_err());
    }
}
