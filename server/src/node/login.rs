//! How callers of this member prove who they are: from flags and key files to what the doors use.

use super::error::{Context as _, Result};
use crate::api::{
    COST_DEFAULT, COST_MAX, COST_MIN, Jwt, JwtOptions, LoginOptions, Passwords, TokenKind,
};
use crate::clock::SharedClock;
use crate::config::{AuthToken, Config};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the keys of signed tokens, if tokens are to be signed.
///
/// # Errors
/// A file cannot be read or holds no key of the right kind.
pub fn options(config: &Config, clock: SharedClock) -> Result<LoginOptions> {
    let tokens = match &config.auth_token {
        AuthToken::Simple => TokenKind::Simple,
        AuthToken::Jwt { method, public_key, private_key, ttl } => {
            let read = |path: &PathBuf| {
                let what = format!("--auth-token: failed to read {}", path.display());
                std::fs::read(path).context(&what)
            };
            let options = JwtOptions {
                method: method.clone(),
                public_key: public_key.as_ref().map(read).transpose()?,
                private_key: private_key.as_ref().map(read).transpose()?,
                ttl: *ttl,
            };
            let jwt = Jwt::new(options, clock).context("--auth-token cannot be used")?;
            TokenKind::Jwt(Arc::new(jwt))
        }
    };
    Ok(LoginOptions { tokens, by_certificate: config.security.client.client_cert_auth })
}

/// What hashes and checks passwords, on so many threads. As etcd does, it takes the default for a cost that bcrypt does
/// not have.
pub fn passwords(config: &Config, threads: usize) -> Passwords {
    let mut cost = config.bcrypt_cost;
    if !(COST_MIN..=COST_MAX).contains(&cost) {
        tracing::warn!(
            min_cost = COST_MIN,
            max_cost = COST_MAX,
            default_cost = COST_DEFAULT,
            given_cost = cost,
            "use default bcrypt cost instead of the invalid given cost"
        );
        cost = COST_DEFAULT;
    }
    Passwords::new(cost, threads)
}
