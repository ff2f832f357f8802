//! Puts and deletes by etcd's rules: revisions, versions, rows (`etcd:server/storage/mvcc/kvstore_txn.go`).

use bytes::Bytes;
use prost::Message;
use quorate_proto::etcdserverpb::PutRequest;
use quorate_proto::mvccpb;

use super::state::{Live, State};
use crate::error::Result;
use crate::rows::{Revision, RevisionKey, bucket};

/// The changes of one entry: all get the same main revision, which counts only if there is any.
#[derive(Debug)]
pub(super) struct Changes<'s, 'a> {
    pub(super) state: &'s mut State<'a>,
    count: i64,
}

impl<'s, 'a> Changes<'s, 'a> {
    pub(super) fn begin(state: &'s mut State<'a>) -> Changes<'s, 'a> {
        Changes { state, count: 0 }
    }

    /// Ends the entry: the revision rises if anything changed.
    pub(super) fn finish(self) {
        if self.count > 0 {
            self.state.revision += 1;
        }
    }

    /// Puts a pair. The caller has checked lease and ignore flags.
    pub(super) fn put(&mut self, request: &PutRequest) -> Result<()> {
        let before = self.state.live.get(&request.key).copied();
        let mut value = request.value.clone();
        let mut lease = request.lease;
        if let Some(before) = before {
            if request.ignore_value {
                value = self.state.pair(&before)?.value;
            }
            if request.ignore_lease {
                lease = before.lease;
            }
        }
        let modified = self.next_revision();
        let live = Live {
            create_revision: before.map_or(modified.main, |before| before.create_revision),
            modified,
            version: before.map_or(1, |before| before.version + 1),
            lease,
        };
        let pair = mvccpb::KeyValue {
            key: request.key.clone(),
            create_revision: live.create_revision,
            mod_revision: modified.main,
            version: live.version,
            value,
            lease,
        };
        self.state.change(bucket::KEY, &modified.encode(), Some(pair.encode_to_vec()));
        self.state.live.insert(request.key.clone(), live);
        Ok(())
    }

    /// Deletes all keys of an interval.
    pub(super) fn delete(&mut self, key: &Bytes, range_end: &Bytes) {
        for (key, _) in self.state.range(key, range_end) {
            let revision = self.next_revision();
            let mut row = Vec::with_capacity(Revision::BYTES + 1);
            RevisionKey { revision, is_tombstone: true }.encode_to(&mut row);
            let tombstone = mvccpb::KeyValue { key: key.clone(), ..Default::default() };
            self.state.change(bucket::KEY, &row, Some(tombstone.encode_to_vec()));
            self.state.live.remove(&key);
        }
    }

    fn next_revision(&mut self) -> Revision {
        let revision = Revision { main: self.state.revision + 1, sub: self.count };
        self.count += 1;
        revision
    }
}
