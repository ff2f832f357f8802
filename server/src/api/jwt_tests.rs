//! Signed tokens of every method: made, judged, changed, over, of another key. Beside etcd they stand in `tests/it`.

use super::jwt::{Jwt, JwtError, JwtOptions};
use crate::clock::ManualClock;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(300);

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").into_bytes()
}

/// Private and public half as PEM.
fn keys(method: &str) -> (Vec<u8>, Vec<u8>) {
    let curve = |algorithm: &'static EcdsaSigningAlgorithm| {
        let key = EcdsaKeyPair::generate(algorithm).unwrap();
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let private = key.to_pkcs8v1().unwrap();
        (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
    };
    match method {
        "ES256" => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES384" => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
        "ES512" => curve(&ECDSA_P521_SHA512_FIXED_SIGNING),
        "EdDSA" => {
            let key = Ed25519KeyPair::generate().unwrap();
            let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
            let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
            (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
        }
        _ => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
            // The form of `openssl rsa -pubout -RSAPublicKey_out`.
            let public = key.public_key().as_ref();
            (pem("PRIVATE KEY", private.as_ref()), pem("RSA PUBLIC KEY", public))
        }
    }
}

fn jwt(method: &str, private: Option<&[u8]>, public: Option<&[u8]>) -> Result<Jwt, JwtError> {
    jwt_at(method, private, public, Arc::default())
}

fn jwt_at(
    method: &str,
    private: Option<&[u8]>,
    public: Option<&[u8]>,
    clock: Arc<ManualClock>,
) -> Result<Jwt, JwtError> {
    let options = JwtOptions {
        method: method.to_owned(),
        public_key: public.map(<[u8]>::to_vec),
        private_key: private.map(<[u8]>::to_vec),
        ttl: TTL,
    };
    Jwt::new(options, clock)
}

/// A certificate is a public key too: many give the server's own pair. One of another pair is refused.
#[test]
fn certificates_are_public_keys() {
    let certificate = |pair: &rcgen::KeyPair| {
        let parameters = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        parameters.self_signed(pair).unwrap().pem().into_bytes()
    };
    for (method, algorithm) in
        [("RS256", &rcgen::PKCS_RSA_SHA256), ("ES256", &rcgen::PKCS_ECDSA_P256_SHA256)]
    {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let other = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let private = pair.serialize_pem().into_bytes();
        let signer = jwt(method, Some(&private), Some(&certificate(&pair))).unwrap();
        let judge = jwt(method, None, Some(&certificate(&pair))).unwrap();
        assert!(judge.verify(&signer.sign("a", 1).unwrap()).is_some(), "{method}");
        let mismatch = jwt(method, Some(&private), Some(&certificate(&other)));
        assert!(matches!(mismatch, Err(JwtError::Mismatch)), "{method}");
    }
}

/// Every method signs and judges with both halves, judges with the public one alone, and makes its own public half of
/// the private one.
#[test]
fn every_method() {
    let rsa = keys("RS256");
    for method in
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    {
        let (private, public) =
            if method.starts_with(['R', 'P']) { rsa.clone() } else { keys(method) };
        let both = jwt(method, Some(&private), Some(&public)).unwrap();
        let token = both.sign("alice", 7).unwrap();
        let alone = jwt(method, Some(&private), None).unwrap();
        let judge = jwt(method, None, Some(&public)).unwrap();
        for who in [&both, &alone, &judge] {
            let caller = who.verify(&token).unwrap();
            assert_eq!((caller.name.as_ref(), caller.revision), ("alice", 7), "{method}");
        }
        assert!(matches!(judge.sign("alice", 7), Err(JwtError::VerifyOnly)));
        assert!(!format!("{both:?}").contains(token.as_str()));
    }
    for method in ["HS256", "HS384", "HS512"] {
        let secret = jwt(method, Some(b"secret"), None).unwrap();
        let token = secret.sign("bob", 1).unwrap();
        assert_eq!(secret.verify(&token).unwrap().name.as_ref(), "bob");
        assert!(jwt(method, Some(b"other"), None).unwrap().verify(&token).is_none());
        assert!(matches!(jwt(method, None, Some(b"x")), Err(JwtError::MissingKey)));
    }
}

/// Keys of another kind, of another pair, or none: told at the start, each by its name.
#[test]
fn bad_keys() {
    let (private, public) = keys("ES256");
    let (other_private, _) = keys("ES256");
    assert!(matches!(jwt("none", Some(&private), None), Err(JwtError::Method(_))));
    assert!(matches!(jwt("", Some(&private), None), Err(JwtError::Method(_))));
    assert!(matches!(jwt("ES256", None, None), Err(JwtError::MissingKey)));
    assert!(matches!(jwt("ES256", Some(&other_private), Some(&public)), Err(JwtError::Mismatch)));
    for method in ["ES384", "RS256", "EdDSA"] {
        let private_only = jwt(method, Some(&private), None);
        assert!(matches!(private_only, Err(JwtError::BadKey("private", ..))), "{method}");
        let public_only = jwt(method, None, Some(&public));
        assert!(matches!(public_only, Err(JwtError::BadKey("public", ..))), "{method}");
    }
    assert!(matches!(jwt("ES256", Some(b"no pem"), None), Err(JwtError::BadKey("private", ..))));
}

fn forge(header: &str, claims: &str, signer: &Jwt) -> String {
    // Through the front door: a token of the signer with its parts replaced, signed again by hand.
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    signer.sign_parts(&format!("{}.{}", part(header), part(claims))).unwrap()
}

/// Only the member's own method counts: not `none`, not a public key used as a secret.
#[test]
fn methods_are_not_chosen_by_tokens() {
    let (private, public) = keys("RS256");
    let judge = jwt("RS256", Some(&private), Some(&public)).unwrap();
    let claims = r#"{"username":"root","revision":9,"exp":99999999999}"#;
    let with_secret = jwt("HS256", Some(&public), None).unwrap();
    assert!(judge.verify(&forge(r#"{"alg":"HS256"}"#, claims, &with_secret)).is_none());
    assert!(judge.verify(&forge(r#"{"alg":"RS256"}"#, claims, &with_secret)).is_none());
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let unsigned = format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims));
    assert!(judge.verify(&unsigned).is_none());
    assert!(judge.verify(&forge(r#"{"alg":"RS256","typ":"JWT"}"#, claims, &judge)).is_some());
}

/// Claims that are missing, of another type, or out of time make no caller.
#[test]
fn claims() {
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(1000));
    let jwt = jwt_at("HS256", Some(b"secret"), None, clock.clone()).unwrap();
    let judged = |claims: &str| jwt.verify(&forge(r#"{"alg":"HS256"}"#, claims, &jwt)).is_some();
    for good in [
        r#"{"username":"u","revision":3}"#,
        r#"{"username":"u","revision":3.0,"exp":1001}"#,
        r#"{"username":"u","revision":3,"exp":1000.5,"nbf":1000}"#,
        r#"{"username":"u","revision":3,"aud":"x","iss":"y","iat":9999}"#,
    ] {
        assert!(judged(good), "{good}");
    }
    for bad in [
        "{}",
        r#"{"username":"u"}"#,
        r#"{"revision":3}"#,
        r#"{"username":1,"revision":3}"#,
        r#"{"username":"u","revision":"3"}"#,
        r#"{"username":"u","revision":-1}"#,
        r#"{"username":"u","revision":3,"exp":1000}"#,
        r#"{"username":"u","revision":3,"exp":"1001"}"#,
        r#"{"username":"u","revision":3,"nbf":1001}"#,
        r#"["u",3]"#,
        "null",
    ] {
        assert!(!judged(bad), "{bad}");
    }
    let token = jwt.sign("u", 3).unwrap();
    clock.advance(TTL - Duration::from_secs(1));
    assert!(jwt.verify(&token).is_some());
    clock.advance(Duration::from_secs(1));
    assert!(jwt.verify(&token).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever is sent as a token, and however a good one is changed, nobody is let in by it and nothing breaks.
    #[test]
    fn changed_tokens_are_refused(
        noise in any::<String>(),
        shaped in "[A-Za-z0-9_.=-]{0,120}",
        at in any::<prop::sample::Index>(),
        with in "[A-Za-z0-9_.-]",
        cut in any::<prop::sample::Index>(),
    ) {
        let jwt = jwt("HS256", Some(b"secret"), None).unwrap();
        let good = jwt.sign("root", 1).unwrap();
        let mut changed = good.clone();
        let place = at.index(good.len());
        changed.replace_range(place..=place, &with);
        let short = &good[..cut.index(good.len())];
        for text in [noise.as_str(), &shaped, &changed, short] {
            prop_assert!(text == good || jwt.verify(text).is_none(), "{}", text);
        }
    }
}
