//! Debug output of the messages that carry passwords, their hashes or tokens: it says that there is one, never which.
//!
//! `build.rs` keeps the derived output away from these messages, so none of them prints by accident, alone or inside
//! another message.

use std::fmt::{Debug, Formatter, Result};

use crate::{authpb, etcdserverpb as pb};

/// What is printed in place of a secret.
struct Secret(bool);

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(if self.0 { "(secret)" } else { "(none)" })
    }
}

fn secret(text: &str) -> Secret {
    Secret(!text.is_empty())
}

impl Debug for authpb::User {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("password", &Secret(!self.password.is_empty()))
            .field("roles", &self.roles)
            .field("options", &self.options)
            .finish()
    }
}

impl Debug for pb::AuthenticateRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut out = f.debug_struct("AuthenticateRequest");
        out.field("name", &self.name).field("password", &secret(&self.password)).finish()
    }
}

impl Debug for pb::AuthenticateResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut out = f.debug_struct("AuthenticateResponse");
        out.field("header", &self.header).field("token", &secret(&self.token)).finish()
    }
}

impl Debug for pb::AuthUserAddRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AuthUserAddRequest")
            .field("name", &self.name)
            .field("password", &secret(&self.password))
            .field("options", &self.options)
            .field("hashed_password", &secret(&self.hashed_password))
            .finish()
    }
}

impl Debug for pb::AuthUserChangePasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AuthUserChangePasswordRequest")
            .field("name", &self.name)
            .field("password", &secret(&self.password))
            .field("hashed_password", &secret(&self.hashed_password))
            .finish()
    }
}

impl Debug for pb::InternalAuthenticateRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("InternalAuthenticateRequest")
            .field("name", &self.name)
            .field("password", &secret(&self.password))
            .field("simple_token", &secret(&self.simple_token))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No secret shows in an entry's debug output, however deep it stands.
    #[test]
    fn debug_output_has_no_secrets() {
        let s = || "hunter2".to_owned();
        let entry = pb::InternalRaftRequest {
            auth_user_add: Some(pb::AuthUserAddRequest {
                password: s(),
                hashed_password: s(),
                ..Default::default()
            }),
            auth_user_change_password: Some(pb::AuthUserChangePasswordRequest {
                password: s(),
                hashed_password: s(),
                ..Default::default()
            }),
            authenticate: Some(pb::InternalAuthenticateRequest {
                password: s(),
                simple_token: s(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let login = pb::AuthenticateRequest { name: "u".to_owned(), password: s() };
        let token = pb::AuthenticateResponse { token: s(), header: None };
        let user = authpb::User { password: s().into(), ..Default::default() };
        let texts = [
            format!("{entry:?}"),
            format!("{login:?}"),
            format!("{token:#?}"),
            format!("{user:?}"),
        ];
        for text in texts {
            assert!(!text.contains("hunter2") && text.contains("(secret)"), "{text}");
        }
    }
}
