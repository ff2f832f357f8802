//! Copies a database row by row into a new file, with changes applied on the way.

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;

use super::reader::Database;
use super::writer::{Layout, write_file};
use crate::error::{Error, Result};

/// Rows that replace those of the source; `None` removes one.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Changes by bucket name. Buckets that are not named are copied as they are; ones that the source lacks are made.
pub type RewritePlan = BTreeMap<String, BucketPlan>;

/// What happens to one bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketPlan {
    /// The source's rows are left out.
    pub drops_rows: bool,
    /// Rows put or removed.
    pub changes: Changes,
}

/// Writes the rows of `source`, changed by `plan`, as a new database into `file`, which is not synced. `path` is for
/// messages.
pub fn rewrite<F: Write + Seek>(
    source: &Database,
    plan: RewritePlan,
    file: F,
    path: &Path,
) -> Result<Layout> {
    rewrite_judged(source, plan, file, path, |_, _, _| Ok(()))
}

/// [`rewrite`] that `judge` may stop at any row of the source that is copied: it gets the bucket, the key and the value.
pub fn rewrite_judged<F: Write + Seek>(
    source: &Database,
    plan: RewritePlan,
    file: F,
    path: &Path,
    judge: impl Fn(&str, &[u8], &[u8]) -> Result<()>,
) -> Result<Layout> {
    write_file(file, path, |image| {
        copy(source, plan, &judge, |step| {
            match step {
                Step::Bucket(name) => image.begin_bucket(name),
                Step::Row(key, value) => image.push(key, value),
            }
            .map_err(Error::io("write", path))
        })
    })
}

/// One thing to write.
enum Step<'a> {
    Bucket(&'a str),
    Row(&'a [u8], &'a [u8]),
}

/// Walks all buckets of the source and of the plan in order, with the plan's changes applied.
fn copy(
    source: &Database,
    mut plan: RewritePlan,
    judge: &impl Fn(&str, &[u8], &[u8]) -> Result<()>,
    mut emit: impl FnMut(Step<'_>) -> Result<()>,
) -> Result<()> {
    let mut buckets = BTreeMap::new();
    for (name, bucket) in source.buckets()? {
        let name = String::from_utf8(name.to_vec())
            .map_err(|_| Error::unsupported(source.path(), "a bucket whose name is no text"))?;
        plan.entry(name.clone()).or_default();
        buckets.insert(name, bucket);
    }
    for (name, BucketPlan { drops_rows, changes }) in plan {
        emit(Step::Bucket(&name))?;
        let rows = match buckets.get(&name) {
            Some(bucket) if !drops_rows => Some(bucket.rows()?),
            _ => None,
        };
        let mut changes = changes.into_iter().peekable();
        for row in rows.into_iter().flatten() {
            let (key, value) = row?;
            while let Some((new, put)) = changes.next_if(|(new, _)| new[..] < key[..]) {
                put.iter().try_for_each(|value| emit(Step::Row(&new, value)))?;
            }
            match changes.next_if(|(new, _)| new[..] == key[..]) {
                Some((_, put)) => put.iter().try_for_each(|new| emit(Step::Row(&key, new)))?,
                None => {
                    judge(&name, &key, &value)?;
                    emit(Step::Row(&key, &value))?;
                }
            }
        }
        for (new, put) in changes {
            put.iter().try_for_each(|value| emit(Step::Row(&new, value)))?;
        }
    }
    Ok(())
}
