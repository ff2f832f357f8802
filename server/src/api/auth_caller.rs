//! Who calls: from a token or a certificate to a name. What the name may do is judged elsewhere.
//!
//! Source: `etcd:server/auth/store.go` (AuthInfoFromCtx, AuthInfoFromTLS); `reference/etcd-api.md`, sections 10 and 12.

use super::context::Context;
use super::identity::CertificateName;
use super::jwt::Jwt;
use crate::apply::{Judge, Reply};
use crate::auth::{Caller, token_index};
use futures::future::Either;
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb::InternalRaftRequest;
use std::fmt;
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status};

/// How tokens are made and judged: `--auth-token`.
#[derive(Clone, Debug)]
pub enum TokenKind {
    /// Random letters that every member knows.
    Simple,
    /// Signed claims.
    Jwt(Arc<Jwt>),
}

/// How callers prove who they are.
#[derive(Clone, Debug)]
pub struct LoginOptions {
    /// `--auth-token`.
    pub tokens: TokenKind,
    /// `--client-cert-auth`: a certificate's name counts where no token was sent.
    pub by_certificate: bool,
}

/// What a request brought to prove who calls.
#[derive(Clone, Default)]
pub struct Credentials {
    token: Option<String>,
    certificate: Option<Arc<str>>,
}

// Tokens are as good as passwords.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (token, certificate) = (self.token.is_some(), &self.certificate);
        write!(f, "credentials with token: {token}, with certificate: {certificate:?}")
    }
}

impl Credentials {
    /// True when a token was sent.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads a request's metadata: `token`, else `authorization`, else the connection's certificate. What the gateway
    /// forwards came over the gateway's connection, not the client's, so no certificate speaks for it.
    pub fn of(metadata: &MetadataMap, extensions: &Extensions) -> Credentials {
        let token = metadata.get("token").or_else(|| metadata.get("authorization")).map(|value| {
            // What is no text is no token either; it is refused when it is looked up.
            let text = value.to_str().unwrap_or_default();
            text.strip_prefix("Bearer ").unwrap_or(text).to_owned()
        });
        let is_gateway = metadata.contains_key("grpcgateway-accept");
        let certificate = extensions.get::<CertificateName>().filter(|_| !is_gateway);
        Credentials { token, certificate: certificate.map(|name| name.0.clone()) }
    }
}

impl Context {
    /// The credentials of a request. While authentication is off no token can be good, but a certificate will be as
    /// soon as this member has applied that it is on: before the request is judged, or while its stream lives.
    pub fn credentials<T>(&self, request: &Request<T>) -> Credentials {
        if self.state.auth.is_enabled() || self.login.by_certificate {
            Credentials::of(request.metadata(), request.extensions())
        } else {
            Credentials::default()
        }
    }

    /// Who calls; nobody while authentication is off or where nothing was brought.
    ///
    /// # Errors
    /// [`EtcdError::InvalidAuthToken`].
    pub async fn caller(&self, credentials: &Credentials) -> Result<Caller, EtcdError> {
        if !self.state.auth.is_enabled() {
            return Ok(Caller::default());
        }
        if let Some(token) = &credentials.token {
            let caller = match &self.login.tokens {
                TokenKind::Simple => self.holder(token).await,
                TokenKind::Jwt(jwt) => jwt.verify(token),
            };
            return caller.ok_or_else(|| {
                tracing::debug!("invalid auth token");
                EtcdError::InvalidAuthToken
            });
        }
        Ok(self.holder_of_certificate(credentials))
    }

    fn holder_of_certificate(&self, credentials: &Credentials) -> Caller {
        match &credentials.certificate {
            Some(name) if self.login.by_certificate => {
                Caller { name: name.clone(), revision: self.state.auth.view().revision() }
            }
            _ => Caller::default(),
        }
    }

    /// A token names the entry that made it; a member that is behind catches up before it judges.
    async fn holder(&self, token: &str) -> Option<Caller> {
        let index = token_index(token)?;
        if index > self.raft.applied_index() {
            // The token of an entry that never was must not keep a caller for longer than any other request.
            let wait = Box::pin(self.raft.wait_applied(index));
            tokio::time::timeout(self.limits.request_timeout, wait).await.ok()?;
        }
        self.state.auth.holder(token)
    }

    /// Lets root pass.
    ///
    /// # Errors
    /// An invalid token, nobody, or another user.
    pub async fn require_root(&self, credentials: &Credentials) -> Result<(), Status> {
        if !self.state.auth.is_enabled() {
            return Ok(());
        }
        let caller = self.caller(credentials).await?;
        Ok(self.state.auth.view().check_root(&caller)?)
    }

    /// Lets every user pass.
    ///
    /// # Errors
    /// An invalid token, or nobody.
    pub async fn require_user(&self, credentials: &Credentials) -> Result<(), Status> {
        if !self.state.auth.is_enabled() {
            return Ok(());
        }
        let caller = self.caller(credentials).await?;
        Ok(self.state.auth.view().check_known(&caller)?)
    }

    /// Judges a read, and tells by whose rights it may be done; see [`Context::check_unchanged`].
    ///
    /// # Errors
    /// An invalid token, or a missing right.
    pub async fn judge(
        &self,
        credentials: &Credentials,
        judge: impl FnOnce(&Judge<'_>) -> Result<(), EtcdError>,
    ) -> Result<Caller, Status> {
        if !self.state.auth.is_enabled() {
            return Ok(Caller::default());
        }
        let caller = self.caller(credentials).await?;
        let view = self.state.auth.view();
        judge(&Judge { view: &view, lessor: &self.state.lessor, caller: &caller })?;
        Ok(caller)
    }

    /// After a read: its rights must still be those of now, or what it saw may be what a change has hidden.
    ///
    /// # Errors
    /// [`EtcdError::RevisionOfAuthStoreIsOld`].
    pub fn check_unchanged(&self, caller: &Caller) -> Result<(), EtcdError> {
        if !caller.is_nobody() && caller.revision != self.state.auth.view().revision() {
            return Err(EtcdError::RevisionOfAuthStoreIsOld);
        }
        Ok(())
    }

    /// Proposes a request in the caller's name; it is judged when it is applied.
    ///
    /// # Errors
    /// An invalid token, or as [`Context::propose`].
    pub fn propose_as<'a>(
        &'a self,
        credentials: &'a Credentials,
        request: InternalRaftRequest,
    ) -> impl Future<Output = Result<Reply, Status>> + Send + use<'a> {
        // A certificate's name is written down even while this member believes that nobody asks for it: it may be behind.
        let is_named = credentials.certificate.is_some() && self.login.by_certificate;
        if is_named || self.state.auth.is_enabled() {
            // Boxed: the request waits for its caller's name, and is too large for the futures of all layers above.
            Either::Right(Box::pin(self.propose_stamped(credentials, request)))
        } else {
            Either::Left(self.propose(request))
        }
    }

    async fn propose_stamped(
        &self,
        credentials: &Credentials,
        mut request: InternalRaftRequest,
    ) -> Result<Reply, Status> {
        let caller = match self.state.auth.is_enabled() {
            true => self.caller(credentials).await?,
            false => self.holder_of_certificate(credentials),
        };
        if !caller.is_nobody() {
            let header = request.header.get_or_insert_default();
            header.username = caller.name.as_ref().to_owned();
            header.auth_revision = caller.revision;
        }
        self.propose(request).await
    }

    /// The same for a request whose answer says no more than the revision.
    ///
    /// # Errors
    /// As [`Context::propose_as`].
    pub async fn propose_done_as(
        &self,
        credentials: &Credentials,
        request: InternalRaftRequest,
    ) -> Result<i64, Status> {
        super::context::done(self.propose_as(credentials, request).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(headers: &[(&'static str, &[u8])], certificate: Option<&str>) -> Credentials {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(name) = certificate {
            extensions.insert(CertificateName(name.into()));
        }
        Credentials::of(&MetadataMap::from_headers(map), &extensions)
    }

    /// `token` before `authorization`, one `Bearer ` cut, and bytes that are no text stay a token that nobody holds.
    #[test]
    fn tokens_are_found() {
        let token = |headers: &[(&'static str, &[u8])]| credentials(headers, None).token;
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[("token", b"a.1")]).as_deref(), Some("a.1"));
        assert_eq!(token(&[("authorization", b"Bearer a.1")]).as_deref(), Some("a.1"));
        assert_eq!(token(&[("authorization", b"a.1")]).as_deref(), Some("a.1"));
        let both: &[(&'static str, &[u8])] = &[("authorization", b"b.2"), ("token", b"a.1")];
        assert_eq!(token(both).as_deref(), Some("a.1"));
        assert_eq!(token(&[("token", b"Bearer Bearer x")]).as_deref(), Some("Bearer x"));
        assert_eq!(token(&[("token", b"\xff\xfe")]).as_deref(), Some(""));
        assert!(!format!("{:?}", credentials(&[("token", b"secret.1")], None)).contains("secret"));
    }

    /// A certificate speaks for the client, but not for what the gateway forwards.
    #[test]
    fn certificates_are_found() {
        let name = |headers: &[(&'static str, &[u8])]| {
            credentials(headers, Some("alice")).certificate.map(|name| name.to_string())
        };
        assert_eq!(name(&[]).as_deref(), Some("alice"));
        assert_eq!(name(&[("grpcgateway-accept", b"*/*")]), None);
        assert_eq!(credentials(&[], None).certificate, None);
    }
}
