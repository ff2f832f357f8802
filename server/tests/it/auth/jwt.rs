//! Signed tokens: those of etcd are good here and ours there, and both tell an old one.

use super::pair::{NOBODY, Pair, add_user, auth, grant};
use crate::wire::{AuthCall, Call};
use AuthCall::{Enable, GrantRole, Login, RoleAdd, UserGet};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine as _;
use quorate_proto::authpb::permission::Type::Readwrite;
use quorate_proto::etcdserverpb as pb;
use std::path::Path;

/// The two halves of a key pair as PEM files.
struct Keys {
    folder: tempfile::TempDir,
    method: &'static str,
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Keys {
    fn new(method: &'static str) -> Keys {
        let (private, public) = match method {
            "ES512" => {
                let key = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
                let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
                (key.to_pkcs8v1().unwrap().as_ref().to_vec(), public.as_ref().to_vec())
            }
            "EdDSA" => {
                let key = Ed25519KeyPair::generate().unwrap();
                let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
                let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
                (private.as_ref().to_vec(), public.as_ref().to_vec())
            }
            _ => {
                let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let private: Pkcs8V1Der<'_> = key.as_der().unwrap();
                let public: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
                (private.as_ref().to_vec(), public.as_ref().to_vec())
            }
        };
        let keys = Keys { folder: tempfile::tempdir().unwrap(), method };
        std::fs::write(keys.path("priv"), pem("PRIVATE KEY", &private)).unwrap();
        std::fs::write(keys.path("pub"), pem("PUBLIC KEY", &public)).unwrap();
        keys
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn flag(&self, with_private: bool) -> String {
        let show = |path: &Path| path.display().to_string();
        let mut flag = format!(
            "--auth-token=jwt,sign-method={},pub-key={},ttl=10m",
            self.method,
            show(&self.path("pub"))
        );
        if with_private {
            flag += &format!(",priv-key={}", show(&self.path("priv")));
        }
        flag
    }
}

async fn set_up(pair: &mut Pair) {
    for call in [add_user("root", "rootpw"), add_user("u", "pw")] {
        pair.ask((NOBODY, call)).await;
    }
    pair.ask_all(auth(NOBODY, vec![RoleAdd("r"), GrantRole("root", "root"), GrantRole("u", "r")]))
        .await;
    pair.ask((NOBODY, grant("r", Readwrite, "k", ""))).await;
    pair.ask_all(auth(NOBODY, vec![Enable])).await;
}

fn put(key: &'static str) -> Call {
    Call::Put(pb::PutRequest { key: key.into(), ..Default::default() })
}

/// Both servers make tokens that both take, and after a change of roles both say that they are old.
async fn cross(method: &'static str) {
    let keys = Keys::new(method);
    let mut pair = Pair::start(&[&keys.flag(true)]).await;
    set_up(&mut pair).await;
    pair.login("root", "rootpw").await;
    pair.login("u", "pw").await;
    let range = Call::Range(pb::RangeRequest { key: "k".into(), ..Default::default() });
    let create = pb::WatchCreateRequest { key: "k".into(), ..Default::default() };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    let watch = Call::Watch(vec![pb::WatchRequest { request_union: Some(union) }], 1);
    let asked =
        [range, put("k"), put("z"), watch, Call::Auth(UserGet("u")), Call::Auth(UserGet("root"))];
    for round in ["fresh", "old"] {
        for call in &asked {
            pair.ask(("u", call.clone())).await;
        }
        // Theirs here, ours there.
        pair.swap_tokens();
        for call in &asked {
            let said = pair.ask(("u", call.clone())).await;
            assert_eq!(round == "old", said.contains("is old"), "{method} {call:?}: {said}");
            if round == "old" {
                break;
            }
        }
        pair.swap_tokens();
        pair.ask_all(auth("root", vec![RoleAdd("q")])).await;
    }
    // Questions to root alone are not judged by revision.
    pair.ask_all(auth("root", vec![UserGet("u")])).await;
    pair.login("u", "pw").await;
    pair.ask(("u", put("k"))).await;
    pair.finish(25);
}

/// RSA signatures.
#[tokio::test]
async fn rsa_tokens_are_etcds() {
    cross("PS256").await;
}

/// Elliptic curves, with the largest of them.
#[tokio::test]
async fn ecdsa_tokens_are_etcds() {
    cross("ES512").await;
}

/// A member with a public key alone judges tokens and makes none.
#[tokio::test]
async fn a_public_key_only_judges() {
    let keys = Keys::new("EdDSA");
    let mut pair = Pair::start(&[&keys.flag(false)]).await;
    set_up(&mut pair).await;
    pair.ask((NOBODY, Call::Auth(Login("u", "pw")))).await;
    pair.ask((NOBODY, Call::Auth(Login("u", "wrong")))).await;
    pair.ask((NOBODY, put("k"))).await;
    pair.finish(10);
}
