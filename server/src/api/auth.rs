//! The Auth service (`reference/etcd-api.md`, section 10). Changes go through the log, questions are read here after a
//! quorum has confirmed the leader; who may ask is judged as etcd judges it.

use super::auth_caller::{Credentials, TokenKind};
use super::context::SharedContext;
use super::status;
use crate::apply::Reply;
use crate::metrics::RequestKind;
use base64::Engine as _;
use quorate_proto::authpb::UserAddOptions;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::auth_server::Auth;
use quorate_proto::etcdserverpb::{
    AuthDisableRequest, AuthDisableResponse, AuthEnableRequest, AuthEnableResponse,
    AuthRoleAddRequest, AuthRoleAddResponse, AuthRoleDeleteRequest, AuthRoleDeleteResponse,
    AuthRoleGetRequest, AuthRoleGetResponse, AuthRoleGrantPermissionRequest,
    AuthRoleGrantPermissionResponse, AuthRoleListRequest, AuthRoleListResponse,
    AuthRoleRevokePermissionRequest, AuthRoleRevokePermissionResponse, AuthStatusRequest,
    AuthStatusResponse, AuthUserAddRequest, AuthUserAddResponse, AuthUserChangePasswordRequest,
    AuthUserChangePasswordResponse, AuthUserDeleteRequest, AuthUserDeleteResponse,
    AuthUserGetRequest, AuthUserGetResponse, AuthUserGrantRoleRequest, AuthUserGrantRoleResponse,
    AuthUserListRequest, AuthUserListResponse, AuthUserRevokeRoleRequest,
    AuthUserRevokeRoleResponse, AuthenticateRequest, AuthenticateResponse,
    InternalAuthenticateRequest, InternalRaftRequest, ResponseHeader,
};
use rand::Rng;
use std::time::Instant;
use tonic::{Request, Response, Status};

/// Letters of a simple token.
const TOKEN_LETTERS: usize = 16;

/// Handlers of the Auth service.
pub struct AuthApi {
    context: SharedContext,
}

type Header = Option<ResponseHeader>;

impl AuthApi {
    /// Handlers of a member.
    pub fn new(context: SharedContext) -> AuthApi {
        AuthApi { context }
    }

    /// Proposes a change and returns the header of its answer.
    async fn change(
        &self,
        credentials: &Credentials,
        request: InternalRaftRequest,
    ) -> Result<Header, Status> {
        match self.context.propose_as(credentials, request).await? {
            Reply::Done { revision } => Ok(self.context.header(revision)),
            Reply::BadPasswordHash => Err(status::no_password_user()),
            other => Err(status::unexpected_reply(&other)),
        }
    }

    /// The base64 of a password's hash. Only for root: hashing is dear, and nobody else may change passwords anyway.
    async fn hashed(&self, credentials: &Credentials, password: String) -> Result<String, Status> {
        self.context.require_root(credentials).await?;
        let hash = self.context.passwords.hash(password).await?;
        Ok(base64::engine::general_purpose::STANDARD.encode(hash))
    }

    /// Checks a password, and returns the auth revision under which it was right.
    async fn check_password(&self, name: &str, password: &str) -> Result<u64, Status> {
        let view = self.context.state.auth.view();
        if !view.is_enabled() {
            return Err(EtcdError::AuthenticationIsNotEnabled.into());
        }
        let Some(user) = view.user(name) else {
            self.context.passwords.verify_nobody(password.to_owned()).await?;
            return Err(EtcdError::AuthFailed.into());
        };
        if user.has_no_password() {
            return Err(status::no_password_user());
        }
        let hash = user.password_hash().clone();
        if self.context.passwords.verify(password.to_owned(), hash).await? {
            Ok(view.revision())
        } else {
            tracing::warn!(user = name, "invalid authentication was requested");
            Err(EtcdError::AuthFailed.into())
        }
    }

    /// Waits until this member knows what it is asked, and measures that: etcd has the question go through the log.
    async fn reach(&self, kind: RequestKind) -> Result<(), Status> {
        let started = Instant::now();
        let reached = self.context.linearize().await;
        let times = &self.context.metrics.server.request_times;
        times.observe(kind, reached.is_ok(), started.elapsed());
        reached
    }

    /// What only root may ask, and what everybody may ask about itself.
    async fn judge_question(
        &self,
        kind: RequestKind,
        credentials: &Credentials,
        is_own: impl FnOnce(&crate::auth::AuthView, &str) -> bool,
    ) -> Result<(), Status> {
        self.reach(kind).await?;
        let caller = self.context.caller(credentials).await?;
        let view = self.context.state.auth.view();
        match view.check_root(&caller) {
            Err(error) if !is_own(&view, &caller.name) => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn random_letters() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut random = rand::rng();
    (0..TOKEN_LETTERS).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

#[tonic::async_trait]
impl Auth for AuthApi {
    async fn auth_enable(
        &self,
        request: Request<AuthEnableRequest>,
    ) -> Result<Response<AuthEnableResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_enable = Some(request.into_inner());
        let request = InternalRaftRequest { auth_enable, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthEnableResponse { header }))
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_disable = Some(request.into_inner());
        let request = InternalRaftRequest { auth_disable, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthDisableResponse { header }))
    }

    async fn auth_status(
        &self,
        request: Request<AuthStatusRequest>,
    ) -> Result<Response<AuthStatusResponse>, Status> {
        let credentials = self.context.credentials(&request);
        // Nobody is refused, but a token that is sent must be one.
        self.context.caller(&credentials).await?;
        self.reach(RequestKind::AuthStatus).await?;
        let view = self.context.state.auth.view();
        Ok(Response::new(AuthStatusResponse {
            header: self.context.header_now(),
            enabled: view.is_enabled(),
            auth_revision: view.revision(),
        }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let AuthenticateRequest { name, password } = request.into_inner();
        self.context.linearize().await?;
        loop {
            let checked = self.check_password(&name, &password).await?;
            let simple_token = match &self.context.login.tokens {
                TokenKind::Simple => random_letters(),
                TokenKind::Jwt(_) => String::new(),
            };
            let login = InternalAuthenticateRequest {
                name: name.clone(),
                password: String::new(),
                simple_token: simple_token.clone(),
            };
            let request = InternalRaftRequest { authenticate: Some(login), ..Default::default() };
            let (revision, auth_revision, index) = match self.context.propose(request).await? {
                Reply::Authenticated { revision, auth_revision, index } => {
                    (revision, auth_revision, index)
                }
                other => return Err(status::unexpected_reply(&other)),
            };
            if auth_revision != checked {
                tracing::info!("revision when password checked became stale; retrying");
                continue;
            }
            let token = match &self.context.login.tokens {
                TokenKind::Simple => format!("{simple_token}.{index}"),
                TokenKind::Jwt(jwt) => jwt
                    .sign(&name, auth_revision)
                    .map_err(|error| Status::unknown(error.to_string()))?,
            };
            let header = self.context.header(revision);
            return Ok(Response::new(AuthenticateResponse { header, token }));
        }
    }

    async fn user_add(
        &self,
        request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let mut add = request.into_inner();
        let password = std::mem::take(&mut add.password);
        let no_password = matches!(add.options, Some(UserAddOptions { no_password: true }));
        add.hashed_password = match no_password {
            true => String::new(),
            false => self.hashed(&credentials, password).await?,
        };
        let request = InternalRaftRequest { auth_user_add: Some(add), ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(
        &self,
        request: Request<AuthUserGetRequest>,
    ) -> Result<Response<AuthUserGetResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let name = request.into_inner().name;
        self.judge_question(RequestKind::AuthUserGet, &credentials, |_, caller| caller == name)
            .await?;
        let view = self.context.state.auth.view();
        let user = view.user(&name).ok_or(EtcdError::UserNameNotFound)?;
        let (header, roles) = (self.context.header_now(), user.roles().to_vec());
        Ok(Response::new(AuthUserGetResponse { header, roles }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Result<Response<AuthUserListResponse>, Status> {
        let credentials = self.context.credentials(&request);
        self.judge_question(RequestKind::AuthUserList, &credentials, |_, _| false).await?;
        let users = self.context.state.auth.view().user_names();
        Ok(Response::new(AuthUserListResponse { header: self.context.header_now(), users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_user_delete = Some(request.into_inner());
        let request = InternalRaftRequest { auth_user_delete, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthUserDeleteResponse { header }))
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let mut change = request.into_inner();
        let password = std::mem::take(&mut change.password);
        if !password.is_empty() {
            change.hashed_password = self.hashed(&credentials, password).await?;
        }
        let auth_user_change_password = Some(change);
        let request = InternalRaftRequest { auth_user_change_password, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_user_grant_role = Some(request.into_inner());
        let request = InternalRaftRequest { auth_user_grant_role, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthUserGrantRoleResponse { header }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_user_revoke_role = Some(request.into_inner());
        let request = InternalRaftRequest { auth_user_revoke_role, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthUserRevokeRoleResponse { header }))
    }

    async fn role_add(
        &self,
        request: Request<AuthRoleAddRequest>,
    ) -> Result<Response<AuthRoleAddResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_role_add = Some(request.into_inner());
        let request = InternalRaftRequest { auth_role_add, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthRoleAddResponse { header }))
    }

    async fn role_get(
        &self,
        request: Request<AuthRoleGetRequest>,
    ) -> Result<Response<AuthRoleGetResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let role = request.into_inner().role;
        let is_own = |view: &crate::auth::AuthView, caller: &str| view.has_role(caller, &role);
        self.judge_question(RequestKind::AuthRoleGet, &credentials, is_own).await?;
        let view = self.context.state.auth.view();
        let perm = view.role_permissions(&role).ok_or(EtcdError::RoleNameNotFound)?;
        Ok(Response::new(AuthRoleGetResponse { header: self.context.header_now(), perm }))
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Result<Response<AuthRoleListResponse>, Status> {
        let credentials = self.context.credentials(&request);
        self.judge_question(RequestKind::AuthRoleList, &credentials, |_, _| false).await?;
        let roles = self.context.state.auth.view().role_names();
        Ok(Response::new(AuthRoleListResponse { header: self.context.header_now(), roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_role_delete = Some(request.into_inner());
        let request = InternalRaftRequest { auth_role_delete, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthRoleDeleteResponse { header }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_role_grant_permission = Some(request.into_inner());
        let request = InternalRaftRequest { auth_role_grant_permission, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthRoleGrantPermissionResponse { header }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        let credentials = self.context.credentials(&request);
        let auth_role_revoke_permission = Some(request.into_inner());
        let request = InternalRaftRequest { auth_role_revoke_permission, ..Default::default() };
        let header = self.change(&credentials, request).await?;
        Ok(Response::new(AuthRoleRevokePermissionResponse { header }))
    }
}
