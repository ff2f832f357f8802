//! Which rights a request needs (`etcd:server/etcdserver/apply/auth.go`). They are judged when an entry is applied, so
//! that what an earlier entry took away is gone for the next one; reads are judged by the same rules when served.

use super::State;
use crate::auth::{Access, AuthView, Caller};
use crate::lease::Lessor;
use bytes::Bytes;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::request_op::Request as Op;
use quorate_proto::etcdserverpb::{
    DeleteRangeRequest, InternalRaftRequest, PutRequest, RequestOp, TxnRequest,
};
use std::collections::HashSet;

type Judged = Result<(), EtcdError>;

/// Judges the requests of one caller by one view.
pub struct Judge<'a> {
    /// What is true.
    pub view: &'a AuthView,
    /// Whose keys hang on which lease.
    pub lessor: &'a Lessor,
    /// Who asks.
    pub caller: &'a Caller,
}

impl Judge<'_> {
    /// Judges every comparison and every operation of both branches, whichever will be taken.
    ///
    /// # Errors
    /// A right is missing; see [`AuthView::check`].
    pub fn txn(&self, request: &TxnRequest) -> Judged {
        self.nested(request, &mut HashSet::new())
    }

    /// `leases` are those whose keys have been judged: a transaction may name one a hundred thousand times.
    fn nested(&self, request: &TxnRequest, leases: &mut HashSet<i64>) -> Judged {
        for compare in &request.compare {
            self.view.check(self.caller, Access::Read, &compare.key, &compare.range_end)?;
        }
        let mut ops = request.success.iter().chain(&request.failure);
        ops.try_for_each(|op| self.operation(op, leases))
    }

    /// Judges the use of a lease: who cannot write all keys that hang on it may neither hang another one on it nor let
    /// them go nor keep them.
    ///
    /// # Errors
    /// A right is missing; see [`AuthView::check`].
    pub fn lease(&self, id: i64) -> Judged {
        self.lease_keys(id, Access::Write)
    }

    /// Judges a look at the keys that hang on a lease.
    ///
    /// # Errors
    /// A right is missing; see [`AuthView::check`].
    pub fn lease_keys(&self, id: i64, access: Access) -> Judged {
        if id == 0 || self.view.check_root(self.caller).is_ok() {
            return Ok(());
        }
        self.keys(&self.lessor.keys(id).unwrap_or_default(), access)
    }

    /// Judges single keys; root need not be proven by a revision for them.
    ///
    /// # Errors
    /// A right is missing; see [`AuthView::check`].
    pub fn keys(&self, keys: &[Bytes], access: Access) -> Judged {
        if self.view.check_root(self.caller).is_ok() {
            return Ok(());
        }
        keys.iter().try_for_each(|key| self.view.check(self.caller, access, key, &[]))
    }

    fn operation(&self, op: &RequestOp, leases: &mut HashSet<i64>) -> Judged {
        match &op.request {
            Some(Op::RequestRange(range)) => {
                self.view.check(self.caller, Access::Read, &range.key, &range.range_end)
            }
            Some(Op::RequestPut(put)) => self.put(put, leases),
            Some(Op::RequestDeleteRange(delete)) => self.delete_range(delete),
            Some(Op::RequestTxn(txn)) => self.nested(txn, leases),
            None => Ok(()),
        }
    }

    fn put(&self, request: &PutRequest, leases: &mut HashSet<i64>) -> Judged {
        self.view.check(self.caller, Access::Write, &request.key, &[])?;
        if request.lease != 0 && leases.insert(request.lease) {
            self.lease(request.lease)?;
        }
        if request.prev_kv {
            self.view.check(self.caller, Access::Read, &request.key, &[])?;
        }
        Ok(())
    }

    fn delete_range(&self, request: &DeleteRangeRequest) -> Judged {
        let (key, range_end) = (&request.key, &request.range_end);
        self.view.check(self.caller, Access::Write, key, range_end)?;
        if request.prev_kv {
            self.view.check(self.caller, Access::Read, key, range_end)?;
        }
        Ok(())
    }
}

/// Judges an entry by the caller in its header. Compactions, grants of leases, alarms and what concerns the cluster are
/// judged before they are proposed: members propose them too, in nobody's name.
pub(super) fn check_entry(state: &State, request: &InternalRaftRequest) -> Judged {
    let view = state.auth.view();
    let caller = caller_of(request);
    let judge = Judge { view: &view, lessor: &state.lessor, caller: &caller };
    if is_for_root(request) {
        view.check_root(&caller)
    } else if let Some(put) = &request.put {
        judge.put(put, &mut HashSet::new())
    } else if let Some(txn) = &request.txn {
        judge.txn(txn)
    } else if let Some(delete) = &request.delete_range {
        judge.delete_range(delete)
    } else if let Some(revoke) = &request.lease_revoke {
        judge.lease(revoke.id)
    } else {
        Ok(())
    }
}

fn caller_of(request: &InternalRaftRequest) -> Caller {
    let Some(header) = &request.header else { return Caller::default() };
    Caller { name: header.username.as_str().into(), revision: header.auth_revision }
}

fn is_for_root(request: &InternalRaftRequest) -> bool {
    request.auth_enable.is_some()
        || request.auth_disable.is_some()
        || request.auth_user_add.is_some()
        || request.auth_user_delete.is_some()
        || request.auth_user_change_password.is_some()
        || request.auth_user_grant_role.is_some()
        || request.auth_user_revoke_role.is_some()
        || request.auth_role_add.is_some()
        || request.auth_role_delete.is_some()
        || request.auth_role_grant_permission.is_some()
        || request.auth_role_revoke_permission.is_some()
}
