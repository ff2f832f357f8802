//! Entries about users, roles and logins. The rules are the auth room's; here they meet the batch and the answer.

use super::applier::{Applier, Refusal};
use super::outcome::Reply;
use crate::auth::{self, Change};
use crate::storage::Batch;
use quorate_proto::etcdserverpb::{InternalAuthenticateRequest, InternalRaftRequest};

type Changed = Result<(), auth::Refusal>;

impl Applier {
    /// Applies a request about users and roles; `None` for one about something else.
    pub(super) fn apply_auth(
        &mut self,
        batch: &mut Batch,
        request: &InternalRaftRequest,
    ) -> Option<Result<Reply, Refusal>> {
        let r = request;
        if let Some(login) = &r.authenticate {
            return Some(self.apply_authenticate(batch, login));
        }
        let changed = if r.auth_enable.is_some() {
            self.change_auth(batch, |change| change.enable())
        } else if r.auth_disable.is_some() {
            self.change_auth(batch, |change| change.disable())
        } else if let Some(add) = &r.auth_user_add {
            self.change_auth(batch, |change| change.add_user(add))
        } else if let Some(delete) = &r.auth_user_delete {
            self.change_auth(batch, |change| change.delete_user(&delete.name))
        } else if let Some(password) = &r.auth_user_change_password {
            self.change_auth(batch, |change| change.change_password(password))
        } else if let Some(grant) = &r.auth_user_grant_role {
            self.change_auth(batch, |change| change.grant_role(grant))
        } else if let Some(revoke) = &r.auth_user_revoke_role {
            self.change_auth(batch, |change| change.revoke_role(revoke))
        } else if let Some(add) = &r.auth_role_add {
            self.change_auth(batch, |change| change.add_role(&add.name))
        } else if let Some(delete) = &r.auth_role_delete {
            self.change_auth(batch, |change| change.delete_role(&delete.role))
        } else if let Some(grant) = &r.auth_role_grant_permission {
            self.change_auth(batch, |change| change.grant_permission(grant))
        } else if let Some(revoke) = &r.auth_role_revoke_permission {
            self.change_auth(batch, |change| change.revoke_permission(revoke))
        } else {
            return None;
        };
        let revision = self.writer.revision();
        Some(match changed {
            Ok(()) => Ok(Reply::Done { revision }),
            Err(auth::Refusal::Answer(error)) => Err(error.into()),
            Err(auth::Refusal::BadHash) => Ok(Reply::BadPasswordHash),
        })
    }

    fn change_auth(
        &self,
        batch: &mut Batch,
        change: impl FnOnce(&mut Change<'_>) -> Changed,
    ) -> Changed {
        self.state.auth.change(batch, change)
    }

    /// The proposer has checked the password; whether nothing has changed since it learns from the revision.
    fn apply_authenticate(
        &mut self,
        batch: &Batch,
        request: &InternalAuthenticateRequest,
    ) -> Result<Reply, Refusal> {
        let index = batch.mark().map_or(0, |mark| mark.index);
        let letters = &request.simple_token;
        let token = (!letters.is_empty()).then(|| format!("{letters}.{index}"));
        self.state.auth.log_in(&request.name, token)?;
        let revision = self.writer.revision();
        let auth_revision = self.state.auth.view().revision();
        Ok(Reply::Authenticated { revision, auth_revision, index })
    }
}
