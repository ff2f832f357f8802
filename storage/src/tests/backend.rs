//! What the rooms above rely on, engine by engine: visibility, order, marks, views, flushes, poison.

use crate::{
    AppliedMark, Backend, BackendOptions, Batch, EngineKind, Faults, Keyspace, StorageError,
};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

fn options(engine: EngineKind) -> BackendOptions {
    // So long that nothing is flushed unless a test asks for it.
    let flush_interval = Duration::from_secs(3600);
    BackendOptions { engine, flush_interval, ..BackendOptions::default() }
}

macro_rules! on_every_engine {
    ($($rule:ident)*) => {
        mod on_redb { $(#[test] fn $rule() { super::$rule(super::EngineKind::Redb); })* }
        mod on_sled { $(#[test] fn $rule() { super::$rule(super::EngineKind::Sled); })* }
    };
}

on_every_engine! {
    rows_are_visible_before_and_after_the_flush
    scan_merges_layers_and_engine
    get_many_finds_rows_everywhere
    view_stands_still
    defragment_keeps_every_row
    replace_all_leaves_only_the_new_state
    sizes_survive_a_rewrite
}

fn mark(index: u64) -> AppliedMark {
    AppliedMark { term: 2, index, leader_member_id: 7 }
}

fn revision_key(main: u64) -> Bytes {
    let mut key = main.to_be_bytes().to_vec();
    key.push(b'_');
    key.extend([0; 8]);
    Bytes::from(key)
}

fn put(backend: &Backend, index: u64) {
    let mut batch = Batch::applied(mark(index));
    batch.put(Keyspace::Key, revision_key(index), format!("value {index}"));
    batch.put(Keyspace::Lease, index.to_be_bytes().to_vec(), format!("lease {index}"));
    backend.write(batch).unwrap();
}

fn keys(backend: &Backend, keyspace: Keyspace) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    backend.scan(keyspace, &[], None, &mut visit).unwrap();
    keys
}

/// A row is seen as soon as it is written, and still after it was flushed and reopened.
fn rows_are_visible_before_and_after_the_flush(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    assert_eq!(backend.applied_at_open(), None);
    put(&backend, 1);
    let value = Some(Bytes::from_static(b"value 1"));
    assert_eq!(backend.get(Keyspace::Key, &revision_key(1)).unwrap(), value);
    assert_eq!(*backend.durable().borrow(), None);
    assert_eq!(backend.flush().unwrap(), mark(1));
    assert_eq!(backend.get(Keyspace::Key, &revision_key(1)).unwrap(), value);
    put(&backend, 2);
    drop(backend);
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    assert_eq!(backend.applied_at_open(), Some(mark(2)));
    assert_eq!(backend.get(Keyspace::Key, &revision_key(1)).unwrap(), value);
    assert_eq!(keys(&backend, Keyspace::Lease).len(), 2);
}

/// A scan merges what is written with what is flushed, and hides what was removed.
fn scan_merges_layers_and_engine(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    (1..=4).for_each(|index| put(&backend, index));
    backend.flush().unwrap();
    (5..=6).for_each(|index| put(&backend, index));
    let mut batch = Batch::housekeeping();
    batch.delete(Keyspace::Key, revision_key(2));
    batch.delete(Keyspace::Key, revision_key(6));
    backend.write(batch).unwrap();
    let expected: Vec<_> = [1, 3, 4, 5].map(|main| revision_key(main).to_vec()).into();
    assert_eq!(keys(&backend, Keyspace::Key), expected);
    assert_eq!(backend.get(Keyspace::Key, &revision_key(6)).unwrap(), None);
}

/// Many rows are found in one call, whether they wait or are flushed.
fn get_many_finds_rows_everywhere(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    (1..=100).for_each(|index| put(&backend, index * 3));
    backend.flush().unwrap();
    (101..=150).for_each(|index| put(&backend, index * 3));
    let keys: Vec<_> = (1..=460).map(revision_key).collect();
    let values = backend.get_many(Keyspace::Key, &keys).unwrap();
    for (main, value) in (1..=460).zip(values) {
        let expected = (main % 3 == 0 && main <= 450).then(|| format!("value {main}"));
        assert_eq!(value, expected.map(Bytes::from), "revision {main}");
    }
}

/// A view does not move while the state does.
fn view_stands_still(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    put(&backend, 1);
    let view = backend.view().unwrap();
    put(&backend, 2);
    backend.flush().unwrap();
    assert_eq!(*view.applied(), mark(1));
    assert_eq!(view.get(Keyspace::Key, &revision_key(2)).unwrap(), None);
    assert_eq!(*backend.view().unwrap().applied(), mark(2));
}

/// A defragmentation loses nothing that was written before or while it ran, and views of the old database go on.
fn defragment_keeps_every_row(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    (1..=500).for_each(|index| put(&backend, index));
    let view = backend.view().unwrap();
    std::thread::scope(|scope| {
        let defragment = scope.spawn(|| backend.defragment().unwrap());
        for index in 501..=900 {
            put(&backend, index);
            if index % 50 == 0 {
                backend.flush().unwrap();
            }
        }
        defragment.join().unwrap();
    });
    assert_eq!(keys(&backend, Keyspace::Key).len(), 900);
    assert_eq!(
        view.get(Keyspace::Key, &revision_key(500)).unwrap().as_deref(),
        Some(&b"value 500"[..])
    );
    backend.flush().unwrap();
    drop(backend);
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    assert_eq!(backend.applied_at_open(), Some(mark(900)));
    assert_eq!(keys(&backend, Keyspace::Key).len(), 900);
}

/// What is flushed while a defragmentation copies is in the new database too.
#[test]
fn defragment_catches_up_with_flushes() {
    let disk = quorate_etcd_files::lossy_disk::LossyDisk::default();
    let options = BackendOptions { disk: Arc::new(disk.clone()), ..options(EngineKind::Redb) };
    let path = std::path::Path::new("/state");
    let backend = Backend::open(path, options.clone()).unwrap();
    (1..=100).for_each(|index| put(&backend, index));
    backend.flush().unwrap();
    disk.set_sync_delay(Duration::from_millis(10));
    let mut newest = 100;
    std::thread::scope(|scope| {
        let defragment = scope.spawn(|| backend.defragment().unwrap());
        while !defragment.is_finished() {
            newest += 1;
            put(&backend, newest);
            let mut batch = Batch::housekeeping();
            batch.delete(Keyspace::Key, revision_key(newest - 100));
            backend.write(batch).unwrap();
            backend.flush().unwrap();
        }
    });
    assert!(newest > 102, "nothing was flushed meanwhile");
    let expected: Vec<_> = (newest - 99..=newest).map(|main| revision_key(main).to_vec()).collect();
    assert_eq!(keys(&backend, Keyspace::Key), expected);
    disk.heal();
    drop(backend);
    let backend = Backend::open(path, options).unwrap();
    assert_eq!(keys(&backend, Keyspace::Key), expected);
}

/// A received state replaces everything, the unflushed rows included, and is what a restart finds.
fn replace_all_leaves_only_the_new_state(engine: EngineKind) {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    (1..=10).for_each(|index| put(&backend, index));
    backend.flush().unwrap();
    put(&backend, 11);
    let rows = [(Keyspace::Key, revision_key(99), Bytes::from_static(b"received"))];
    backend.replace_all(rows.map(Ok), mark(99)).unwrap();
    assert_eq!(keys(&backend, Keyspace::Key), [revision_key(99).to_vec()]);
    assert!(keys(&backend, Keyspace::Lease).is_empty());
    assert_eq!(*backend.durable().borrow(), Some(mark(99)));
    put(&backend, 100);
    drop(backend);
    let backend = Backend::open(directory.path(), options(engine)).unwrap();
    assert_eq!(backend.applied_at_open(), Some(mark(100)));
    assert_eq!(keys(&backend, Keyspace::Key).len(), 2);
}

/// After a failed commit nothing is served and the member is told to stop.
#[test]
fn failed_commit_poisons() {
    let faults = Arc::new(Faults::default());
    let directory = tempfile::tempdir().unwrap();
    let options = BackendOptions { faults: Some(faults.clone()), ..options(EngineKind::Memory) };
    let backend = Backend::open(directory.path(), options).unwrap();
    put(&backend, 1);
    faults.fail_commit(1);
    assert!(matches!(backend.flush(), Err(StorageError::Poisoned { .. })));
    assert!(backend.get(Keyspace::Key, &revision_key(1)).is_err());
    assert!(backend.write(Batch::housekeeping()).is_err());
    assert!(backend.fatal().borrow().as_ref().is_some_and(StorageError::is_fatal));
}

/// The flusher flushes by itself: after the interval, and at once when enough rows wait.
#[test]
fn flusher_needs_no_request() {
    for (flush_interval, flush_rows) in
        [(Duration::from_millis(1), usize::MAX), (Duration::from_secs(3600), 4)]
    {
        let directory = tempfile::tempdir().unwrap();
        let options = BackendOptions { flush_interval, flush_rows, ..BackendOptions::default() };
        let backend = Backend::open(directory.path(), options).unwrap();
        let mut durable = backend.durable();
        (1..=2).for_each(|index| put(&backend, index));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reached = durable.wait_for(|durable| durable.as_ref() == Some(&mark(2)));
        runtime.block_on(reached).unwrap();
    }
}

/// A writer that outruns the disk waits, and what waits stays below the limit by one batch.
#[test]
fn writer_waits_for_the_disk() {
    let disk = quorate_etcd_files::lossy_disk::LossyDisk::default();
    disk.set_sync_delay(Duration::from_millis(5));
    let options = BackendOptions {
        unflushed_bytes_max: 100_000,
        disk: Arc::new(disk),
        ..options(EngineKind::Redb)
    };
    let backend = Backend::open(std::path::Path::new("/state"), options).unwrap();
    for index in 1..=100 {
        let mut batch = Batch::applied(mark(index));
        batch.put(Keyspace::Key, revision_key(index), vec![0; 20_000]);
        backend.write(batch).unwrap();
        let waiting = backend.shared.unflushed.load(std::sync::atomic::Ordering::SeqCst);
        assert!(waiting < 130_000, "{waiting} bytes wait");
    }
    assert_eq!(backend.flush().unwrap(), mark(100));
}

/// The observer hears of every commit, and sizes follow the rows.
#[test]
fn commits_are_observed() {
    let n_heard = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let heard = n_heard.clone();
    let observe = move |_| {
        heard.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    };
    let directory = tempfile::tempdir().unwrap();
    let options =
        BackendOptions { on_commit: Some(Arc::new(observe)), ..options(EngineKind::Redb) };
    let backend = Backend::open(directory.path(), options).unwrap();
    let before = backend.sizes();
    put(&backend, 1);
    backend.flush().unwrap();
    backend.flush().unwrap();
    assert_eq!(n_heard.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(backend.sizes().in_use_bytes > before.in_use_bytes);
    assert!(backend.sizes().total_bytes >= backend.sizes().in_use_bytes);
}

/// Readers beside a writer and a busy flusher find every revision up to the one that was published.
#[test]
fn readers_never_miss_a_published_row() {
    for engine in [EngineKind::Redb, EngineKind::Sled] {
        let directory = tempfile::tempdir().unwrap();
        let flush_interval = Duration::from_millis(1);
        let options = BackendOptions { flush_interval, ..options(engine) };
        let backend = Backend::open(directory.path(), options).unwrap();
        let published = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for index in 1..=3_000 {
                    put(&backend, index);
                    published.store(index, std::sync::atomic::Ordering::SeqCst);
                }
            });
            while !writer.is_finished() {
                let newest = published.load(std::sync::atomic::Ordering::SeqCst);
                let wanted = [newest, newest / 2 + 1, newest.saturating_sub(100).max(1)];
                for main in wanted.into_iter().filter(|main| *main <= newest && *main > 0) {
                    let value = backend.get(Keyspace::Key, &revision_key(main)).unwrap();
                    assert!(value.is_some(), "revision {main} of {newest} is missing");
                }
                let keys: Vec<_> =
                    (newest.saturating_sub(50).max(1)..=newest).map(revision_key).collect();
                let values = backend.get_many(Keyspace::Key, &keys).unwrap();
                assert!(values.iter().all(Option::is_some));
            }
        });
        assert_eq!(keys(&backend, Keyspace::Key).len(), 3_000);
    }
}

/// A replacement that ends in an error, or is dropped, changes nothing and leaves no file.
#[test]
fn failed_replacement_leaves_the_old_state() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(EngineKind::Redb)).unwrap();
    put(&backend, 1);
    let rows = [
        Ok((Keyspace::Key, revision_key(5), Bytes::new())),
        Err(StorageError::BadReplacement("the leader went away".to_owned())),
    ];
    assert!(backend.replace_all(rows, mark(9)).is_err());
    assert!(
        backend.replace_all([Ok((Keyspace::Key, Bytes::new(), Bytes::new()))], mark(9)).is_err()
    );
    assert_eq!(backend.flush().unwrap(), mark(1));
    assert_eq!(keys(&backend, Keyspace::Key), [revision_key(1).to_vec()]);
    let n_databases = std::fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some())
        .count();
    assert_eq!(n_databases, 1);
}

/// A closed backend answers nothing and says why.
#[test]
fn closed_backend_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Backend::open(directory.path(), options(EngineKind::Redb)).unwrap();
    put(&backend, 1);
    backend.close().unwrap();
    assert!(matches!(backend.write(Batch::housekeeping()), Err(StorageError::Closed)));
    assert!(matches!(backend.get(Keyspace::Key, b"k"), Err(StorageError::Closed)));
    assert!(matches!(backend.flush(), Err(StorageError::Closed)));
}

/// What a rewritten state takes is known after a restart, too: never less than what is in it.
fn sizes_survive_a_rewrite(engine: EngineKind) {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::open(folder.path(), options(engine)).unwrap();
    let value = Bytes::from(vec![7; 100_000]);
    let row = |main| Ok((Keyspace::Key, revision_key(main), value.clone()));
    backend.replace_all((1..=100).map(row), mark(100)).unwrap();
    let reopened = |backend: Arc<Backend>| {
        backend.close().unwrap();
        drop(backend);
        let backend = Backend::open(folder.path(), options(engine)).unwrap();
        let sizes = backend.sizes();
        assert!(sizes.in_use_bytes >= 10_000_000, "{sizes:?}");
        assert!(sizes.total_bytes >= sizes.in_use_bytes, "{sizes:?}");
        backend
    };
    let backend = reopened(backend);
    backend.defragment().unwrap();
    reopened(backend);
}
