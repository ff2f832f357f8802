//! `--auth-token`: `simple`, or `jwt` with its options. Files are named here and read by the node.

use super::{ConfigError, parse_duration};
use std::path::PathBuf;
use std::time::Duration;

/// Lifetime of signed tokens where `ttl` is not given.
const JWT_TTL: Duration = Duration::from_secs(300);

/// How tokens are made and judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthToken {
    /// Random letters that every member knows.
    Simple,
    /// Signed claims.
    Jwt {
        /// `sign-method`.
        method: String,
        /// `pub-key`.
        public_key: Option<PathBuf>,
        /// `priv-key`.
        private_key: Option<PathBuf>,
        /// `ttl`.
        ttl: Duration,
    },
}

fn malformed(value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Malformed { flag: "auth-token", value: value.to_owned(), expected }
}

/// Reads the flag. Options that etcd does not know are passed over there with a warning; they are refused here, because
/// a misspelt key file would be found only by whoever cannot log in.
///
/// # Errors
/// Another kind of token, an option without value, given twice or unknown, or no duration.
pub fn parse_auth_token(value: &str) -> Result<AuthToken, ConfigError> {
    let mut parts = value.split(',');
    match parts.next() {
        Some("simple") => return Ok(AuthToken::Simple),
        Some("jwt") => {}
        _ => return Err(malformed(value, "simple or jwt,... is needed")),
    }
    let (mut method, mut public_key, mut private_key, mut ttl) = (None, None, None, None);
    for part in parts {
        let pair = part.split_once('=').filter(|(_, value)| !value.contains('='));
        let (name, text) =
            pair.ok_or_else(|| malformed(value, "options have the form name=value"))?;
        let slot = match name {
            "sign-method" => &mut method,
            "pub-key" => &mut public_key,
            "priv-key" => &mut private_key,
            "ttl" => &mut ttl,
            _ => {
                return Err(malformed(
                    value,
                    "its options are pub-key, priv-key, sign-method, ttl",
                ));
            }
        };
        if slot.replace(text).is_some() {
            return Err(malformed(value, "every option may be given once"));
        }
    }
    let method =
        method.ok_or_else(|| malformed(value, "jwt needs sign-method, for example RS256"))?;
    let ttl = match ttl.filter(|ttl| !ttl.is_empty()) {
        None => JWT_TTL,
        Some(ttl) => {
            parse_duration(ttl).ok_or_else(|| malformed(value, "ttl is a duration such as 10m"))?
        }
    };
    let path = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(PathBuf::from);
    Ok(AuthToken::Jwt {
        method: method.to_owned(),
        public_key: path(public_key),
        private_key: path(private_key),
        ttl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms of etcd's documentation are read, and what is misspelt is told.
    #[test]
    fn forms() {
        assert_eq!(parse_auth_token("simple").unwrap(), AuthToken::Simple);
        let jwt = "jwt,pub-key=app.rsa.pub,priv-key=app.rsa,sign-method=RS512,ttl=10m";
        let expected = AuthToken::Jwt {
            method: "RS512".to_owned(),
            public_key: Some("app.rsa.pub".into()),
            private_key: Some("app.rsa".into()),
            ttl: Duration::from_secs(600),
        };
        assert_eq!(parse_auth_token(jwt).unwrap(), expected);
        for wrong in [
            "",
            "jwt",
            "saml",
            "jwt,sign-method",
            "jwt,sign-method=RS256,ttl=x",
            "jwt,sign-method=RS256,priv=key",
            "jwt,sign-method=RS256,sign-method=RS256",
            "jwt,sign-method=RS256,ttl=1s=2",
        ] {
            assert!(parse_auth_token(wrong).is_err(), "{wrong}");
        }
    }
}
