//! What is not a state of this program is refused, with the place and what to do, and left as it is.

use crate::{Backend, BackendOptions, EngineKind, StorageError};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn open(path: &Path, engine: EngineKind) -> Result<Arc<Backend>, StorageError> {
    Backend::open(path, BackendOptions { engine, ..BackendOptions::default() })
}

fn refusal(path: &Path, engine: EngineKind) -> StorageError {
    match open(path, engine) {
        Ok(_) => panic!("opened what should have been refused"),
        Err(error) => error,
    }
}

fn fresh(engine: EngineKind) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), engine).unwrap().close().unwrap();
    directory
}

/// A state of the other engine is refused by name, and still opens with its own.
#[test]
fn state_of_the_other_engine_is_refused() {
    let directory = fresh(EngineKind::Redb);
    let error = refusal(directory.path(), EngineKind::Sled);
    assert!(matches!(error, StorageError::Refused { .. }));
    let text = error.to_string();
    assert!(text.contains("CURRENT") && text.contains("--storage-engine"), "{text}");
    open(directory.path(), EngineKind::Redb).unwrap();
}

/// A second open of the same state is refused while the first lives.
#[test]
fn state_in_use_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), EngineKind::Redb).unwrap();
    let error = refusal(directory.path(), EngineKind::Redb);
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    open(directory.path(), EngineKind::Redb).unwrap();
}

/// A layout that a newer version wrote is refused as such.
#[test]
fn newer_layout_is_refused() {
    let directory = fresh(EngineKind::Redb);
    let current = directory.path().join("CURRENT");
    let text = fs::read_to_string(&current).unwrap().replace("quorate-state 1", "quorate-state 2");
    fs::write(&current, text).unwrap();
    let text = refusal(directory.path(), EngineKind::Redb).to_string();
    assert!(text.contains("newer version"), "{text}");
}

/// A `CURRENT` with a flipped bit is refused, not guessed at.
#[test]
fn damaged_current_is_refused() {
    let directory = fresh(EngineKind::Redb);
    let current = directory.path().join("CURRENT");
    let text = fs::read_to_string(&current).unwrap().replace("generation 1", "generation 3");
    fs::write(&current, text).unwrap();
    let text = refusal(directory.path(), EngineKind::Redb).to_string();
    assert!(text.contains("checksum"), "{text}");
}

/// A directory that lost its `CURRENT` is refused, and its database is not taken for a stray.
#[test]
fn lost_current_does_not_lose_the_state() {
    let directory = fresh(EngineKind::Redb);
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    let error = refusal(directory.path(), EngineKind::Redb);
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    assert!(directory.path().join("000001.redb").exists());
}

/// Somebody else's directory is refused and left as it is.
#[test]
fn foreign_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("db"), "of another program").unwrap();
    let text = refusal(directory.path(), EngineKind::Redb).to_string();
    assert!(text.contains("--data-dir"), "{text}");
}

/// A database that is no database of the engine is an error that names the file, whatever its bytes.
#[test]
fn damaged_database_is_an_error() {
    for bytes in [Vec::new(), b"no database".to_vec(), vec![0; 100_000], vec![255; 100_000]] {
        let directory = fresh(EngineKind::Redb);
        fs::write(directory.path().join("000001.redb"), bytes).unwrap();
        let error = refusal(directory.path(), EngineKind::Redb);
        assert!(error.to_string().contains("000001.redb") && error.is_fatal(), "{error}");
    }
}

/// Bits flipped anywhere in a sled database give an error or the old rows, never a crash of the process.
#[test]
fn damaged_sled_database_does_not_crash() {
    for position in [0, 10, 100, 1_000, 20_000] {
        let directory = fresh(EngineKind::Sled);
        let path = directory.path().join("000001.sled/db");
        let mut bytes = fs::read(&path).unwrap();
        if let Some(byte) = bytes.get_mut(position) {
            *byte ^= 0xff;
        }
        fs::write(&path, bytes).unwrap();
        if let Err(error) = open(directory.path(), EngineKind::Sled) {
            assert!(error.to_string().contains("000001.sled"), "{error}");
        }
    }
}

/// What a crash left of an unfinished generation is removed at the next open; what is not ours stays.
#[test]
fn strays_are_removed() {
    let directory = fresh(EngineKind::Redb);
    let stray = directory.path().join("000002.redb");
    let foreign = directory.path().join("notes.redb");
    fs::write(&stray, "unfinished").unwrap();
    fs::write(&foreign, "not ours").unwrap();
    open(directory.path(), EngineKind::Redb).unwrap();
    assert!(!stray.exists() && foreign.exists());
}

/// Nobody but the owner can read the state.
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    for engine in [EngineKind::Redb, EngineKind::Sled] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("member/state");
        let backend = open(&directory, engine).unwrap();
        backend.close().unwrap();
        let mut paths = vec![directory];
        while let Some(path) = paths.pop() {
            let metadata = fs::metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                let is_inside_sled = path.to_string_lossy().contains(".sled/");
                assert!(mode == 0o700 || is_inside_sled, "{} {mode:o}", path.display());
            } else if !path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
    }
}
