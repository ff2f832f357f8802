//! Passwords and tokens leave no trace: not in the log at its most talkative, and in clear not on disk.

use super::pair::{add_user, change_password, start};
use crate::wire::{AuthCall, Call, Wire};
use AuthCall::{Enable, GrantRole};
use quorate_proto::etcdserverpb as pb;
use std::path::Path;

/// Every file below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn holds(path: &Path, secret: &str) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Plays a life with passwords right and wrong, and returns all secrets that were in play: passwords, then tokens.
async fn live(wire: &Wire) -> (Vec<&'static str>, Vec<String>) {
    let passwords =
        ["Secret-root-1", "Secret-user-2", "Secret-wrong-3", "Secret-new-4", "Secret-none-5"];
    let [root, user, wrong, new, none] = passwords;
    for call in [
        add_user("root", root),
        add_user("u", user),
        Call::Auth(AuthCall::UserAdd(pb::AuthUserAddRequest {
            name: "nopw".to_owned(),
            password: none.to_owned(),
            options: Some(quorate_proto::authpb::UserAddOptions { no_password: true }),
            ..Default::default()
        })),
        Call::Auth(GrantRole("root", "root")),
        Call::Auth(Enable),
    ] {
        let answer = wire.call(call).await;
        assert!(answer.contains("header"), "{answer}");
    }
    let mut tokens =
        vec![wire.login("root", root).await.unwrap(), wire.login("u", user).await.unwrap()];
    assert!(wire.login("u", wrong).await.is_err());
    assert!(wire.login("nopw", none).await.is_err());
    let as_root = wire.with_token(&tokens[0]);
    assert!(as_root.call(change_password("u", new)).await.contains("header"));
    tokens.push(wire.login("u", new).await.unwrap());
    tokens.push("Forged-token-6.77".to_owned());
    for token in &tokens {
        let range = pb::RangeRequest { key: "k".into(), ..Default::default() };
        wire.with_token(token).call(Call::Range(range)).await;
    }
    (passwords.into(), tokens)
}

async fn check(extra: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_quorate-server"));
    // Everything is logged, and every call counts as slow.
    let talkative =
        ["--bcrypt-cost=4", "--log-level=debug", "--warning-unary-request-duration=1ns"];
    let mut cluster = start(program, folder.path(), 1, &[&talkative, extra].concat());
    let wire = Wire::connect(&cluster.client_urls()[0]).await;
    let (passwords, tokens) = live(&wire).await;
    cluster.stop().unwrap();
    let log = cluster.members[0].process.log.clone();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("/etcdserverpb.Auth/Authenticate"), "the log is not talkative:\n{text}");
    for secret in passwords.iter().copied().chain(tokens.iter().map(String::as_str)) {
        assert!(!text.contains(secret), "{secret} in the log:\n{text}");
    }
    assert!(!text.contains("$2a$"), "a hash in the log:\n{text}");
    for path in files(folder.path()) {
        for secret in &passwords {
            assert!(!holds(&path, secret), "{secret} in {}", path.display());
        }
    }
}

/// Simple tokens.
#[tokio::test]
async fn simple_tokens_leave_no_trace() {
    check(&[]).await;
}

/// Signed tokens and their key.
#[tokio::test]
async fn signed_tokens_leave_no_trace() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "Secret-user-2").unwrap();
    let flag = format!("--auth-token=jwt,sign-method=HS384,priv-key={}", secret.path().display());
    check(&[&flag]).await;
}
