//! Put, delete, compaction and leases: the entries that touch keys. Transactions are next door.
//!
//! Source of the rules: `etcd:server/etcdserver/txn/{put,delete}.go`, `etcd:server/lease/lessor.go`.

use super::applier::{Applier, Refusal};
use super::outcome::Reply;
use crate::lease;
use crate::mvcc::{Changes, KeyRange, WriteTxn};
use crate::storage::{Batch, Keyspace};
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, LeaseCheckpointRequest,
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, PutResponse, RangeRequest, ResponseHeader,
};
use quorate_proto::mvccpb::KeyValue;

/// A header with nothing but the revision, as answers inside a transaction have it.
pub(super) fn revision_header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// Checks what a put needs of the state: the key for `ignore_*`, the lease.
pub(super) fn check_put(
    txn: &WriteTxn<'_>,
    lessor: &lease::Lessor,
    request: &PutRequest,
) -> Result<(), Refusal> {
    if request.lease != 0 && !lessor.exists(request.lease) {
        return Err(EtcdError::LeaseNotFound.into());
    }
    let needs_key = request.ignore_value || request.ignore_lease;
    if needs_key && txn.get(&request.key)?.is_none() {
        return Err(EtcdError::KeyNotFound.into());
    }
    Ok(())
}

/// Puts a pair; everything was checked.
pub(super) fn put(txn: &mut WriteTxn<'_>, request: &PutRequest) -> Result<PutResponse, Refusal> {
    let needs_previous = request.prev_kv || request.ignore_value || request.ignore_lease;
    let previous: Option<KeyValue> = if needs_previous { txn.get(&request.key)? } else { None };
    let (mut value, mut lease) = (request.value.clone(), request.lease);
    if request.ignore_value || request.ignore_lease {
        let Some(previous) = &previous else { return Err(EtcdError::KeyNotFound.into()) };
        if request.ignore_value {
            value = previous.value.clone();
        }
        if request.ignore_lease {
            lease = previous.lease;
        }
    }
    txn.put(request.key.clone(), value, lease);
    let prev_kv = previous.filter(|_| request.prev_kv);
    Ok(PutResponse { header: revision_header(txn.revision()), prev_kv })
}

/// Deletes an interval.
pub(super) fn delete_range(
    txn: &mut WriteTxn<'_>,
    request: &DeleteRangeRequest,
) -> Result<DeleteRangeResponse, Refusal> {
    let mut prev_kvs = Vec::new();
    if request.prev_kv {
        let (key, range_end) = (request.key.clone(), request.range_end.clone());
        let range = RangeRequest { key, range_end, ..RangeRequest::default() };
        prev_kvs = txn.view().range(&range)?.kvs;
    }
    let range = KeyRange::new(request.key.clone(), request.range_end.clone());
    let deleted = txn.delete_range(&range);
    Ok(DeleteRangeResponse { header: revision_header(txn.revision()), deleted, prev_kvs })
}

impl Applier {
    pub(super) fn apply_put(
        &mut self,
        batch: &mut Batch,
        request: &PutRequest,
    ) -> Result<Reply, Refusal> {
        self.check_writable(true)?;
        let lessor = self.state.lessor.clone();
        let mut txn = self.writer.txn(batch);
        check_put(&txn, &lessor, request)?;
        let response = put(&mut txn, request)?;
        let changes = txn.finish();
        self.move_leases(&changes);
        Ok(Reply::Put(response))
    }

    pub(super) fn apply_delete_range(
        &mut self,
        batch: &mut Batch,
        request: &DeleteRangeRequest,
    ) -> Result<Reply, Refusal> {
        self.check_writable(false)?;
        let mut txn = self.writer.txn(batch);
        let response = delete_range(&mut txn, request)?;
        let changes = txn.finish();
        self.move_leases(&changes);
        Ok(Reply::DeleteRange(response))
    }

    pub(super) fn apply_compaction(
        &mut self,
        batch: &mut Batch,
        request: &CompactionRequest,
    ) -> Result<Reply, Refusal> {
        self.check_writable(false)?;
        self.writer.compact(batch, request.revision)?;
        Ok(Reply::Done { revision: self.writer.revision() })
    }

    pub(super) fn apply_lease_grant(
        &mut self,
        batch: &mut Batch,
        request: &LeaseGrantRequest,
    ) -> Result<Reply, Refusal> {
        self.check_writable(true)?;
        let (id, ttl) = (request.id, request.ttl);
        self.state.lessor.grant(id, ttl)?;
        batch.put(Keyspace::Lease, lease::row_key(id), lease::encode_row(id, ttl, 0));
        Ok(Reply::LeaseGrant { revision: self.writer.revision(), id, ttl })
    }

    pub(super) fn apply_lease_revoke(
        &mut self,
        batch: &mut Batch,
        request: &LeaseRevokeRequest,
    ) -> Result<Reply, Refusal> {
        self.check_corrupt()?;
        let Some(keys) = self.state.lessor.revoke(request.id) else {
            return Err(EtcdError::LeaseNotFound.into());
        };
        batch.delete(Keyspace::Lease, lease::row_key(request.id));
        let mut txn = self.writer.txn(batch);
        for key in keys {
            txn.delete_range(&KeyRange::new(key, Bytes::new()));
        }
        let revision = txn.revision();
        txn.finish();
        Ok(Reply::Done { revision })
    }

    pub(super) fn apply_lease_checkpoint(
        &mut self,
        batch: &mut Batch,
        request: &LeaseCheckpointRequest,
    ) -> Reply {
        for checkpoint in &request.checkpoints {
            let (id, remaining) = (checkpoint.id, checkpoint.remaining_ttl);
            if let Some(granted) = self.state.lessor.checkpoint(id, remaining) {
                let row = lease::encode_row(id, granted, remaining.clamp(0, granted));
                batch.put(Keyspace::Lease, lease::row_key(id), row);
            }
        }
        Reply::Done { revision: self.writer.revision() }
    }

    /// Follows keys from lease to lease.
    pub(super) fn move_leases(&self, changes: &Changes) {
        for change in &changes.changes {
            self.state.lessor.move_key(&change.kv.key, change.previous_lease, change.kv.lease);
        }
    }
}
