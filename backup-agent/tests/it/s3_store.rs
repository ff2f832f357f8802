//! The S3 store by itself: every call, an overloaded server, wrong keys.

use quorate_backup_agent::store::{S3Checksum, S3Options, S3Store, SnapshotStore};

use crate::support::{BUCKET, Fault, S3Server};

async fn open(server: &S3Server, keys: &tempfile::TempDir, checksum: S3Checksum) -> S3Store {
    let options = S3Options {
        endpoint: Some(server.url.clone()),
        key_files: Some(server.key_files(keys.path())),
        checksum,
        ..S3Options::default()
    };
    S3Store::open(BUCKET, "p", &options).await.expect("a store")
}

/// Small objects are written, listed, read, measured and deleted, with every checksum mode; what is not there is
/// `None`, and deleting it is no error.
#[tokio::test(flavor = "multi_thread")]
async fn small_objects() {
    let server = S3Server::start().await;
    let keys = tempfile::tempdir().expect("a temporary directory");
    for checksum in [S3Checksum::Crc32c, S3Checksum::Sha256, S3Checksum::None] {
        let store = open(&server, &keys, checksum).await;
        store.put_bytes("c/one", "first".into()).await.expect("written");
        store.put_bytes("c/two", "second".into()).await.expect("written");
        let listed = store.list().await.expect("listed");
        let names: Vec<_> = listed.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(names, ["c/one", "c/two"]);
        assert_eq!(store.get_bytes("c/two", 100).await.expect("read"), "second");
        assert!(store.get_bytes("c/two", 3).await.is_err(), "larger than allowed");
        assert_eq!(store.stat("c/one").await.expect("stat").expect("there").size, 5);
        assert!(store.stat("c/none").await.expect("stat").is_none());
        for name in ["c/one", "c/two", "c/none"] {
            store.delete(name).await.expect("deleted");
        }
        assert!(store.list().await.expect("listed").is_empty());
        assert!(store.get_bytes("../escape", 10).await.is_err());
    }
}

/// A server that answers 503 now and then is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_server_is_asked_again() {
    let server = S3Server::start().await;
    let keys = tempfile::tempdir().expect("a temporary directory");
    let store = open(&server, &keys, S3Checksum::Crc32c).await;
    server.set_fault(Fault::Flaky);
    for index in 0..3 {
        store.put_bytes(&format!("o{index}"), "x".into()).await.expect("written");
    }
    assert_eq!(store.list().await.expect("listed").len(), 3);
}

/// Wrong keys end in the store's own words and are not retryable.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_told() {
    let server = S3Server::start().await;
    let keys = tempfile::tempdir().expect("a temporary directory");
    let files = server.key_files(keys.path());
    std::fs::write(&files.1, "not the secret").expect("written");
    let options = S3Options {
        endpoint: Some(server.url.clone()),
        key_files: Some(files),
        ..S3Options::default()
    };
    let store = S3Store::open(BUCKET, "", &options).await.expect("a store");
    let error = store.list().await.expect_err("refused");
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
    assert!(!error.is_retryable() && error.exit_code() == 6);
}
