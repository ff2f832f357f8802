//! An engine without a disk, for tests and for measuring what the disk costs. Nothing in it survives the process.

use super::engine::{Change, Durability, Engine, EngineSizes, EngineView, RowVisitor};
use super::{EngineError, Keyspace};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// The rows of all keyspaces, ordered by keyspace, then key.
#[derive(Clone, Debug, Default)]
struct Rows {
    map: BTreeMap<(Keyspace, Bytes), Bytes>,
    in_use: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    rows: ArcSwap<Rows>,
}

impl Engine for MemoryEngine {
    fn commit(&self, changes: &[Change], _durability: Durability) -> Result<(), EngineError> {
        // A whole copy for each commit keeps views exact at no effort; the engine is for small states.
        let mut rows = Rows::clone(&self.rows.load());
        for change in changes {
            let size = |value: &Bytes| (change.key.len() + value.len()) as u64;
            let place = (change.keyspace, change.key.clone());
            let old = match &change.value {
                Some(value) => {
                    rows.in_use += size(value);
                    rows.map.insert(place, value.clone())
                }
                None => rows.map.remove(&place),
            };
            rows.in_use -= old.as_ref().map_or(0, size);
        }
        self.rows.store(Arc::new(rows));
        Ok(())
    }

    fn latest(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        Ok(self.rows.load_full())
    }

    fn pin(&self) -> Result<Arc<dyn EngineView>, EngineError> {
        self.latest()
    }

    fn sizes(&self) -> EngineSizes {
        let in_use = self.rows.load().in_use;
        EngineSizes { total: in_use, in_use }
    }
}

impl EngineView for Rows {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.map.get(&(keyspace, Bytes::copy_from_slice(key))).cloned())
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), EngineError> {
        let from = Bound::Included((keyspace, Bytes::copy_from_slice(from)));
        for ((found, key), value) in self.map.range((from, Bound::Unbounded)) {
            let is_past = *found != keyspace || to.is_some_and(|to| key.as_ref() >= to);
            if is_past || visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
