//! bcrypt, in the text that Go writes. Slow by design: never on a thread that serves or applies.

use bcrypt::Version;

/// Lowest, default and highest cost (`golang.org/x/crypto/bcrypt`).
pub const COST_MIN: u32 = 4;
/// See [`COST_MIN`].
pub const COST_DEFAULT: u32 = 10;
/// See [`COST_MIN`].
pub const COST_MAX: u32 = 31;
/// Bytes of a password that bcrypt can tell apart.
const PASSWORD_BYTES_MAX: usize = 72;

/// Why a password cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Go's text.
    #[error("bcrypt: password length exceeds 72 bytes")]
    TooLong,
    /// No randomness for the salt, or a cost that was not checked.
    #[error("bcrypt: {0}")]
    Hash(#[source] bcrypt::BcryptError),
}

/// Hashes a password into bcrypt text.
///
/// # Errors
/// The password is longer than bcrypt can tell apart.
pub fn hash(password: &[u8], cost: u32) -> Result<String, PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let parts = bcrypt::hash_with_result(password, cost).map_err(PasswordError::Hash)?;
    Ok(parts.format_for_version(Version::TwoA))
}

/// True when the password is the hashed one. A hash that is none fits nothing.
pub fn verify(password: &[u8], hash: &[u8]) -> bool {
    std::str::from_utf8(hash)
        .is_ok_and(|hash| bcrypt::verify(password, hash).is_ok_and(|fits| fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes made by Go fit, ours read like Go's, and length is judged as Go judges it.
    #[test]
    fn passwords_are_gos() {
        // From golang.org/x/crypto/bcrypt's own tests.
        let go = b"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga";
        assert!(verify(b"allmine", go));
        assert!(!verify(b"allmin", go));
        assert!(!verify(b"", b"") && !verify(b"x", b"\xff") && !verify(b"x", b"$2a$"));
        let ours = hash("ünïcode".as_bytes(), COST_MIN).unwrap();
        assert!(ours.starts_with("$2a$04$") && ours.len() == 60, "{ours}");
        assert!(verify("ünïcode".as_bytes(), ours.as_bytes()));
        let longest = hash(&[b'x'; 72], COST_MIN).unwrap();
        assert!(verify(&[b'x'; 72], longest.as_bytes()));
        assert!(!verify(&[b'x'; 71], longest.as_bytes()));
        let error = hash(&[b'x'; 73], COST_MIN).unwrap_err();
        assert_eq!(error.to_string(), "bcrypt: password length exceeds 72 bytes");
    }
}
