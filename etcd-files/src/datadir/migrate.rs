//! Changes the schema version of a stopped member's database, up or down, as `etcdutl migrate` does, so that another
//! release of etcd opens it. The errors are etcd's (`etcd:server/storage/schema`).

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use quorate_proto::{etcdserverpb::InternalRaftRequest, raftpb};

use super::claim::{Access, Claim};
use super::defragment::replace;
use super::layout::DataDir;
use crate::bbolt::{BucketPlan, Changes, Database, RewritePlan};
use crate::disk::{Disk, OsDisk};
use crate::error::{Error, Result};
use crate::rows::{bucket, meta};
use crate::wal::{EntryReader, Reader, Replay};

/// Entries read from disk at a time.
const RUN: usize = 256;

/// A version of the schema, `3.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Schema {
    /// 3 for all that can be migrated.
    pub major: i64,
    /// 5 for the first that can be recognised.
    pub minor: i64,
}

impl Schema {
    const V3_5: Schema = Schema { major: 3, minor: 5 };
    const V3_6: Schema = Schema { major: 3, minor: 6 };
    /// The newest whose changes are known.
    const NEWEST: Schema = Schema { major: 3, minor: 7 };
}

impl std::fmt::Display for Schema {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// The schema was the wanted one already.
    UpToDate,
    /// It was changed.
    Changed {
        /// What it was.
        from: Schema,
    },
    /// It was overwritten although a migration is not possible.
    Forced {
        /// Why it is not.
        why: String,
    },
}

/// Migrates the database of a data directory; `is_forced` overwrites the version where a migration is refused.
///
/// # Errors
/// The directory is in use or unreadable, its release is too old to be recognised, or there is no way to `target`;
/// then it is left as it was.
pub fn migrate(
    data_dir: &DataDir,
    target: Schema,
    is_forced: bool,
    patience: Option<Duration>,
) -> Result<Migrated> {
    let path = data_dir.database();
    let _claim = Claim::take(&path, Access::Exclusive, patience)?;
    let needs = minimal_schema(data_dir)?;
    let current = detect(&Database::open(&path)?)?;
    if current == target {
        return Ok(Migrated::UpToDate);
    }
    let outcome = match refusal(current, target, needs) {
        None => Migrated::Changed { from: current },
        Some(why) if is_forced => Migrated::Forced { why },
        Some(why) => return Err(Error::Refused(why)),
    };
    // 3.5 is recognised by the row not being there.
    let version = (target >= Schema::V3_6).then(|| format!("{target}.0").into_bytes());
    let changes = Changes::from([(meta::STORAGE_VERSION.to_vec(), version)]);
    let change = BucketPlan { drops_rows: false, changes };
    replace(&path, RewritePlan::from([(bucket::META.to_owned(), change)]))?;
    Ok(outcome)
}

/// The schema of a database.
fn detect(database: &Database) -> Result<Schema> {
    let refuse = |text: &str| Err(Error::Refused(text.to_owned()));
    let marks = database.bucket(bucket::META)?;
    let row = |key: &[u8]| match &marks {
        Some(marks) => marks.get(key),
        None => Ok(None),
    };
    if let Some(version) = row(meta::STORAGE_VERSION)? {
        let text = String::from_utf8_lossy(&version).into_owned();
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        if let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) {
            return Ok(Schema { major, minor });
        }
        return Err(Error::unsupported(database.path(), format!("storage version {text:?}")));
    }
    // 3.5 wrote both with its first snapshot at the latest.
    let has_term = row(meta::TERM)?.and_then(|term| meta::decode_number(&term)).unwrap_or(0) > 0;
    match (row(meta::CONF_STATE)?, has_term) {
        (None, true) => refuse("missing confstate information"),
        (_, false) => refuse("missing term information"),
        (Some(_), true) => Ok(Schema::V3_5),
    }
}

/// Why there is no way from one schema to the other; `None` where there is.
fn refusal(current: Schema, target: Schema, needs: Option<Schema>) -> Option<String> {
    if current.major != target.major {
        let why = "changing major storage version is not supported";
        return Some(format!("cannot create migration plan: {why}"));
    }
    // Every step needs the changes of the higher of its two versions.
    let first = current.min(target).minor + 1;
    let last = current.max(target).minor;
    let steps: Vec<i64> = match current < target {
        true => (first..=last).collect(),
        false => (first..=last).rev().collect(),
    };
    let unknown = |minor: &&i64| **minor < Schema::V3_6.minor || **minor > Schema::NEWEST.minor;
    if let Some(minor) = steps.iter().find(unknown) {
        let version = Schema { minor: *minor, ..target };
        return Some(format!(
            "cannot create migration plan: version \"{version}.0\" is not supported"
        ));
    }
    let needs = needs.filter(|needs| target < current && target < *needs)?;
    Some(format!(
        "cannot downgrade storage, WAL contains newer entries, as the target version ({target}.0) is lower than the \
         version ({needs}.0) detected from WAL logs"
    ))
}

/// The oldest schema whose release understands the log. Of what releases from 3.5 on write, only the entry by which a
/// downgrade is tested has come since.
fn minimal_schema(data_dir: &DataDir) -> Result<Option<Schema>> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let replay = Replay::read(&mut Reader::open(&disk, &data_dir.wal())?)?;
    let reader = EntryReader::open(&disk, &data_dir.wal())?;
    let first = replay.last_snapshot().map_or(0, |snapshot| snapshot.index());
    let skipped = first.saturating_sub(replay.first_index.saturating_sub(1));
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(replay.entries.len());
    for run in replay.entries[skipped..].chunks(RUN) {
        for entry in reader.read_run(run)? {
            if tests_downgrade(&entry) {
                return Ok(Some(Schema::V3_6));
            }
        }
    }
    Ok(None)
}

fn tests_downgrade(entry: &raftpb::Entry) -> bool {
    let is_normal = entry.r#type() == raftpb::EntryType::EntryNormal;
    let data = entry.data.clone().unwrap_or_default();
    is_normal
        && InternalRaftRequest::decode(data)
            .is_ok_and(|request| request.downgrade_version_test.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(minor: i64) -> Schema {
        Schema { major: 3, minor }
    }

    /// Steps among the known versions go both ways; what is beyond them, or of another major, is refused in etcd's
    /// words, each step naming the higher version.
    #[test]
    fn plans_are_etcds() {
        assert_eq!(refusal(schema(7), schema(5), None), None);
        assert_eq!(refusal(schema(5), schema(7), None), None);
        let unknown = "cannot create migration plan: version \"3.8.0\" is not supported".to_owned();
        assert_eq!(refusal(schema(7), schema(9), None), Some(unknown.clone()));
        assert_eq!(refusal(schema(8), schema(6), None), Some(unknown));
        let major = refusal(schema(7), Schema { major: 4, minor: 0 }, None).unwrap_or_default();
        assert!(major.ends_with("changing major storage version is not supported"), "{major}");
    }

    /// A log that an older release cannot read keeps the schema from going down to it, and from nothing else.
    #[test]
    fn newer_entries_bar_the_way_down() {
        let barred = refusal(schema(7), schema(5), Some(schema(6))).unwrap_or_default();
        assert!(barred.starts_with("cannot downgrade storage, WAL contains newer entries"));
        assert_eq!(refusal(schema(7), schema(6), Some(schema(6))), None);
    }
}
