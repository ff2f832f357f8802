//! Authentication: the session's token, and the calls of the Auth service.

use crate::call::{Client, Method};
use crate::config::Credentials;
use crate::error::{ClientError, Result};
use quorate_proto::authpb::{Permission, UserAddOptions};
use quorate_proto::errors::EtcdError;
use quorate_proto::etcdserverpb as pb;
use tokio::sync::Mutex;

/// The token shared by all clones of a client.
pub(crate) struct Session {
    credentials: Option<Credentials>,
    state: Mutex<State>,
}

enum State {
    /// Not asked yet, or the last token was refused.
    Unknown,
    /// The cluster said that authentication is off.
    Off,
    Token(String),
}

impl Session {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Session { credentials, state: Mutex::new(State::Unknown) }
    }

    /// The token to send, fetched if needed. One caller fetches, the others wait for it.
    pub(crate) async fn token(&self, client: &Client) -> Result<Option<String>> {
        let (user, password) = match &self.credentials {
            None => return Ok(None),
            Some(Credentials::Token(token)) => return Ok(Some(token.clone())),
            Some(Credentials::Password { user, password }) => (user, password),
        };
        let mut state = self.state.lock().await;
        match &*state {
            State::Token(token) => return Ok(Some(token.clone())),
            State::Off => return Ok(None),
            State::Unknown => {}
        }
        let anonymous = Client { session: Session::new(None).into(), ..client.clone() };
        match anonymous.auth().authenticate(user, password).await {
            Ok(answer) => {
                *state = State::Token(answer.token.clone());
                Ok(Some(answer.token))
            }
            Err(error) if error.etcd() == Some(EtcdError::AuthenticationIsNotEnabled) => {
                *state = State::Off;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// True if the call failed for want of a fresh token and we can get one.
    pub(crate) fn refresh_helps(&self, error: &ClientError, token: Option<&str>) -> bool {
        matches!(self.credentials, Some(Credentials::Password { .. }))
            && match error.etcd() {
                Some(EtcdError::InvalidAuthToken | EtcdError::RevisionOfAuthStoreIsOld) => true,
                // Authentication was off when we asked and has been turned on since.
                Some(EtcdError::UserNameIsEmpty) => token.is_none(),
                _ => false,
            }
    }

    /// Drops the token that was refused, unless another caller has replaced it already.
    pub(crate) async fn forget(&self, refused: Option<&str>) {
        let mut state = self.state.lock().await;
        let same = match &*state {
            State::Token(token) => refused == Some(token.as_str()),
            State::Off => refused.is_none(),
            State::Unknown => false,
        };
        if same {
            *state = State::Unknown;
        }
    }
}

impl Session {
    /// Drops whatever token there is, for streams, which do not know which token they were opened with.
    pub(crate) async fn forget_any(&self) {
        *self.state.lock().await = State::Unknown;
    }
}

macro_rules! method {
    ($effect:ident, $name:literal) => {
        Method::$effect(concat!("/etcdserverpb.Auth/", $name))
    };
}

/// The Auth service. Errors are the server's.
#[derive(Clone)]
pub struct AuthClient(Client);

impl Client {
    /// The Auth service.
    pub fn auth(&self) -> AuthClient {
        AuthClient(self.clone())
    }
}

impl AuthClient {
    /// Exchanges a password for a token. Client calls do this by themselves.
    pub async fn authenticate(
        &self,
        user: &str,
        password: &str,
    ) -> Result<pb::AuthenticateResponse> {
        let request =
            pb::AuthenticateRequest { name: user.to_owned(), password: password.to_owned() };
        // A second token does no harm, so this may be sent again like a read. Boxed, because every call may end here.
        Box::pin(self.0.unary(method!(read, "Authenticate"), request)).await
    }

    /// Turns authentication on.
    pub async fn enable(&self) -> Result<pb::AuthEnableResponse> {
        self.0.unary(method!(write, "AuthEnable"), pb::AuthEnableRequest {}).await
    }

    /// Turns authentication off.
    pub async fn disable(&self) -> Result<pb::AuthDisableResponse> {
        self.0.unary(method!(write, "AuthDisable"), pb::AuthDisableRequest {}).await
    }

    /// Whether authentication is on, and its revision.
    pub async fn status(&self) -> Result<pb::AuthStatusResponse> {
        self.0.unary(method!(read, "AuthStatus"), pb::AuthStatusRequest {}).await
    }

    /// Adds a user; `password` `None` makes one that can only log in by certificate.
    pub async fn user_add(
        &self,
        name: &str,
        password: Option<&str>,
    ) -> Result<pb::AuthUserAddResponse> {
        let request = pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.unwrap_or_default().to_owned(),
            options: Some(UserAddOptions { no_password: password.is_none() }),
            hashed_password: String::new(),
        };
        self.0.unary(method!(write, "UserAdd"), request).await
    }

    /// The roles of a user.
    pub async fn user_get(&self, name: &str) -> Result<pb::AuthUserGetResponse> {
        let request = pb::AuthUserGetRequest { name: name.to_owned() };
        self.0.unary(method!(read, "UserGet"), request).await
    }

    /// All users.
    pub async fn user_list(&self) -> Result<pb::AuthUserListResponse> {
        self.0.unary(method!(read, "UserList"), pb::AuthUserListRequest {}).await
    }

    /// Deletes a user.
    pub async fn user_delete(&self, name: &str) -> Result<pb::AuthUserDeleteResponse> {
        let request = pb::AuthUserDeleteRequest { name: name.to_owned() };
        self.0.unary(method!(write, "UserDelete"), request).await
    }

    /// Gives a user another password.
    pub async fn user_change_password(
        &self,
        name: &str,
        password: &str,
    ) -> Result<pb::AuthUserChangePasswordResponse> {
        let request = pb::AuthUserChangePasswordRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            hashed_password: String::new(),
        };
        self.0.unary(method!(write, "UserChangePassword"), request).await
    }

    /// Gives a role to a user.
    pub async fn user_grant_role(
        &self,
        user: &str,
        role: &str,
    ) -> Result<pb::AuthUserGrantRoleResponse> {
        let request = pb::AuthUserGrantRoleRequest { user: user.to_owned(), role: role.to_owned() };
        self.0.unary(method!(write, "UserGrantRole"), request).await
    }

    /// Takes a role from a user.
    pub async fn user_revoke_role(
        &self,
        name: &str,
        role: &str,
    ) -> Result<pb::AuthUserRevokeRoleResponse> {
        let request =
            pb::AuthUserRevokeRoleRequest { name: name.to_owned(), role: role.to_owned() };
        self.0.unary(method!(write, "UserRevokeRole"), request).await
    }

    /// Adds a role.
    pub async fn role_add(&self, name: &str) -> Result<pb::AuthRoleAddResponse> {
        let request = pb::AuthRoleAddRequest { name: name.to_owned() };
        self.0.unary(method!(write, "RoleAdd"), request).await
    }

    /// The permissions of a role.
    pub async fn role_get(&self, role: &str) -> Result<pb::AuthRoleGetResponse> {
        let request = pb::AuthRoleGetRequest { role: role.to_owned() };
        self.0.unary(method!(read, "RoleGet"), request).await
    }

    /// All roles.
    pub async fn role_list(&self) -> Result<pb::AuthRoleListResponse> {
        self.0.unary(method!(read, "RoleList"), pb::AuthRoleListRequest {}).await
    }

    /// Deletes a role.
    pub async fn role_delete(&self, role: &str) -> Result<pb::AuthRoleDeleteResponse> {
        let request = pb::AuthRoleDeleteRequest { role: role.to_owned() };
        self.0.unary(method!(write, "RoleDelete"), request).await
    }

    /// Gives a permission to a role.
    pub async fn role_grant_permission(
        &self,
        name: &str,
        permission: Permission,
    ) -> Result<pb::AuthRoleGrantPermissionResponse> {
        let request =
            pb::AuthRoleGrantPermissionRequest { name: name.to_owned(), perm: Some(permission) };
        self.0.unary(method!(write, "RoleGrantPermission"), request).await
    }

    /// Takes the permission of exactly this interval from a role.
    pub async fn role_revoke_permission(
        &self,
        request: pb::AuthRoleRevokePermissionRequest,
    ) -> Result<pb::AuthRoleRevokePermissionResponse> {
        self.0.unary(method!(write, "RoleRevokePermission"), request).await
    }
}
