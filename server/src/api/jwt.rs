//! Signed tokens: `--auth-token=jwt,…`. A member that has only a public key can judge them and not make them.
//!
//! The envelope is RFC 7515's compact form, and what is claimed is etcd's: `username`, `revision`, `exp`
//! (`etcd:server/auth/jwt.go`). The cryptography is that of the TLS library. Times beyond `exp` and `nbf` are not looked at,
//! nor is who made the token, as in etcd.

use crate::auth::Caller;
use crate::clock::SharedClock;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What `--auth-token=jwt,…` says, files read.
pub struct JwtOptions {
    /// `sign-method`: RS256 … HS512.
    pub method: String,
    /// Content of `pub-key`: PEM, a key or a certificate of it.
    pub public_key: Option<Vec<u8>>,
    /// Content of `priv-key`: PEM, or the secret itself for HS*.
    pub private_key: Option<Vec<u8>>,
    /// `ttl`.
    pub ttl: Duration,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JwtError {
    /// `sign-method` is none of those that there are.
    #[error(
        "auth: invalid auth signature method {0:?}. Name one of RS, PS, ES or HS with 256, 384 or 512, or EdDSA."
    )]
    Method(String),
    /// There is no key of the kind that the method needs.
    #[error(
        "auth: missing key data. Give --auth-token a priv-key, or a pub-key for a member that only judges tokens."
    )]
    MissingKey,
    /// A file is no key of the method's kind.
    #[error("auth: the {0} key fits no {1} signature ({2}). Give a PEM file of that kind.")]
    BadKey(&'static str, String, &'static str),
    /// The two keys are not of one pair.
    #[error("auth: public and private keys don't match. Give the two halves of one pair.")]
    Mismatch,
    /// Only a public key is there.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
    /// The library could not sign.
    #[error("auth: a token could not be signed")]
    Sign,
}

/// What makes signatures.
enum Signer {
    Rsa(&'static dyn RsaEncoding, Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Hmac(Arc<hmac::Key>),
}

/// What judges signatures.
enum Verifier {
    Public(ParsedPublicKey),
    Hmac(Arc<hmac::Key>),
}

/// Makes and judges signed tokens.
pub struct Jwt {
    method: String,
    signer: Option<Signer>,
    verifier: Verifier,
    ttl: Duration,
    clock: SharedClock,
}

// It holds a private key.
impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tokens signed with {}", self.method)
    }
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
}

/// Of the header that came with a token only the method counts, and it must be the one this member was given.
#[derive(Deserialize)]
struct GivenHeader {
    alg: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    exp: u64,
    revision: u64,
    username: &'a str,
}

/// Numbers are what JSON has: Go reads them as floating point.
#[derive(Deserialize)]
struct GivenClaims {
    username: String,
    revision: f64,
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    nbf: Option<f64>,
}

impl Jwt {
    /// Reads the keys.
    ///
    /// # Errors
    /// A method that is none, or keys that are missing, of another kind, or not of one pair.
    pub fn new(options: JwtOptions, clock: SharedClock) -> Result<Jwt, JwtError> {
        let JwtOptions { method, public_key, private_key, ttl } = options;
        if let Some(algorithm) = hmac_algorithm(&method) {
            let secret = private_key.filter(|key| !key.is_empty()).ok_or(JwtError::MissingKey)?;
            let key = Arc::new(hmac::Key::new(algorithm, &secret));
            let (signer, verifier) = (Some(Signer::Hmac(key.clone())), Verifier::Hmac(key));
            return Ok(Jwt { method, signer, verifier, ttl, clock });
        }
        let verification = verification(&method).ok_or_else(|| JwtError::Method(method.clone()))?;
        let signer = private_key.map(|pem| signer(&method, &pem)).transpose()?;
        let given = public_key.map(|pem| public(&method, verification, &pem)).transpose()?;
        let bad = |_| JwtError::BadKey("private", method.clone(), "it is of another kind");
        let key = match (&signer, given) {
            (_, Some(given)) => given,
            (Some(signer), None) => {
                ParsedPublicKey::new(verification, signer.public_key()).map_err(bad)?
            }
            (None, None) => return Err(JwtError::MissingKey),
        };
        let jwt = Jwt { method, signer, verifier: Verifier::Public(key), ttl, clock };
        jwt.check_pair()?;
        Ok(jwt)
    }

    /// What is signed with one key must be good for the other.
    fn check_pair(&self) -> Result<(), JwtError> {
        const PROBE: &[u8] = b"quorate";
        let Some(signer) = &self.signer else { return Ok(()) };
        let signature = signer.sign(PROBE).ok_or_else(|| {
            JwtError::BadKey("private", self.method.clone(), "it is of another kind")
        })?;
        if self.verifier.is_good(PROBE, &signature) { Ok(()) } else { Err(JwtError::Mismatch) }
    }

    /// Makes a token for a user whose password was right under an auth revision.
    ///
    /// # Errors
    /// There is no private key.
    pub fn sign(&self, username: &str, revision: u64) -> Result<String, JwtError> {
        let exp = (self.clock.unix_time() + self.ttl).as_secs();
        let part = |json: Result<Vec<u8>, serde_json::Error>| {
            json.map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(|_| JwtError::Sign)
        };
        let header = part(serde_json::to_vec(&Header { alg: &self.method, typ: "JWT" }))?;
        let claims = part(serde_json::to_vec(&Claims { exp, revision, username }))?;
        self.sign_parts(&format!("{header}.{claims}"))
    }

    /// Adds the signature to a header and claims.
    pub(super) fn sign_parts(&self, message: &str) -> Result<String, JwtError> {
        let signer = self.signer.as_ref().ok_or(JwtError::VerifyOnly)?;
        let signature = signer.sign(message.as_bytes()).ok_or(JwtError::Sign)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Who a token speaks for; `None` where it is none, of another method, changed, not in force, or without a claim
    /// that etcd demands.
    pub fn verify(&self, token: &str) -> Option<Caller> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let header: GivenHeader = serde_json::from_slice(&decode(header)?).ok()?;
        if header.alg != self.method
            || !self.verifier.is_good(message.as_bytes(), &decode(signature)?)
        {
            return None;
        }
        // An object, whatever else serde would take for one.
        let claims: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&decode(claims)?).ok()?;
        let claims: GivenClaims = serde_json::from_value(claims.into()).ok()?;
        let now = self.clock.unix_time().as_secs_f64();
        // A zero is no time at all to Go's library.
        let is_over = claims.exp.is_some_and(|exp| exp != 0.0 && now >= exp);
        let is_early = claims.nbf.is_some_and(|nbf| nbf != 0.0 && now < nbf);
        if is_over || is_early || claims.revision < 0.0 {
            return None;
        }
        Some(Caller { name: claims.username.into(), revision: claims.revision as u64 })
    }
}

impl Signer {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Signer::Rsa(padding, key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Signer::Ecdsa(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            Signer::Ed25519(key) => Some(key.try_sign(message).ok()?.as_ref().to_vec()),
            Signer::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    fn public_key(&self) -> &[u8] {
        match self {
            Signer::Rsa(_, key) => key.public_key().as_ref(),
            Signer::Ecdsa(key) => key.public_key().as_ref(),
            Signer::Ed25519(key) => key.public_key().as_ref(),
            Signer::Hmac(_) => &[],
        }
    }
}

impl Verifier {
    fn is_good(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifier::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

fn hmac_algorithm(method: &str) -> Option<hmac::Algorithm> {
    match method {
        "HS256" => Some(hmac::HMAC_SHA256),
        "HS384" => Some(hmac::HMAC_SHA384),
        "HS512" => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn verification(method: &str) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match method {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "PS384" => &RSA_PSS_2048_8192_SHA384,
        "PS512" => &RSA_PSS_2048_8192_SHA512,
        "ES256" => &ECDSA_P256_SHA256_FIXED,
        "ES384" => &ECDSA_P384_SHA384_FIXED,
        "ES512" => &ECDSA_P521_SHA512_FIXED,
        "EdDSA" => &ED25519,
        _ => return None,
    })
}

fn rsa_padding(method: &str) -> Option<&'static dyn RsaEncoding> {
    Some(match method {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        _ => return None,
    })
}

fn ecdsa_signing(method: &str) -> Option<&'static EcdsaSigningAlgorithm> {
    Some(match method {
        "ES256" => &ECDSA_P256_SHA256_FIXED_SIGNING,
        "ES384" => &ECDSA_P384_SHA384_FIXED_SIGNING,
        "ES512" => &ECDSA_P521_SHA512_FIXED_SIGNING,
        _ => return None,
    })
}

/// The first block of a PEM text with one of these labels; `openssl ecparam` writes another one before it.
fn block(pem: &[u8], labels: &[&str]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(pem).ok()?;
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if labels.contains(&label) {
            let body: String = body.split_whitespace().collect();
            let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
            return Some((label.to_owned(), der));
        }
        rest = after;
    }
}

fn signer(method: &str, pem: &[u8]) -> Result<Signer, JwtError> {
    let bad = |reason: &'static str| JwtError::BadKey("private", method.to_owned(), reason);
    let (label, der) = block(pem, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
        .ok_or_else(|| bad("it has no PRIVATE KEY block"))?;
    let other_kind = |_| bad("it is of another kind");
    if let Some(padding) = rsa_padding(method) {
        let key = match label.as_str() {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
            _ => RsaKeyPair::from_pkcs8(&der),
        };
        return Ok(Signer::Rsa(padding, Box::new(key.map_err(other_kind)?)));
    }
    if let Some(algorithm) = ecdsa_signing(method) {
        let key = EcdsaKeyPair::from_private_key_der(algorithm, &der);
        return Ok(Signer::Ecdsa(key.map_err(other_kind)?));
    }
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
    Ok(Signer::Ed25519(key.map_err(other_kind)?))
}

fn public(
    method: &str,
    verification: &'static dyn VerificationAlgorithm,
    pem: &[u8],
) -> Result<ParsedPublicKey, JwtError> {
    let bad = |reason: &'static str| JwtError::BadKey("public", method.to_owned(), reason);
    let (label, der) = block(pem, &["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"])
        .ok_or_else(|| bad("it has no PUBLIC KEY or CERTIFICATE block"))?;
    let key = if label == "CERTIFICATE" {
        let parsed = x509_parser::parse_x509_certificate(&der);
        let (_, certificate) = parsed.map_err(|_| bad("its certificate cannot be read"))?;
        ParsedPublicKey::new(verification, certificate.public_key().raw)
    } else {
        ParsedPublicKey::new(verification, der)
    };
    key.map_err(|_| bad("it is of another kind"))
}
