//! What every engine must do, one rule a test, run on each of them.
//!
//! An engine is given to the rules as a [`Bench`]: a way to make it and, where it has a disk, to open it again.

use crate::engine::{Change, Durability, Engine, EngineView};
use crate::fault_engine::{FaultEngine, Faults};
use crate::memory_engine::MemoryEngine;
use crate::redb_engine::{RedbEngine, RedbOptions};
use crate::sled_engine::{SledEngine, SledOptions};
use crate::{EngineError, Keyspace};
use bytes::Bytes;
use quorate_etcd_files::disk::OsDisk;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CACHE_BYTES: usize = 8 << 20;

type Opener = fn(&Path) -> Result<Arc<dyn Engine>, EngineError>;

/// One engine on its own directory.
struct Bench {
    directory: tempfile::TempDir,
    make: Opener,
    /// `None` for an engine that keeps nothing.
    reopen: Option<Opener>,
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn make(&self) -> Arc<dyn Engine> {
        (self.make)(&self.path()).unwrap()
    }

    /// Closes the engine and opens it again; the same engine where it has no disk.
    fn reopen(&self, engine: Arc<dyn Engine>) -> Arc<dyn Engine> {
        match self.reopen {
            Some(reopen) => {
                drop(engine);
                reopen(&self.path()).unwrap()
            }
            None => engine,
        }
    }
}

fn redb_options() -> RedbOptions {
    RedbOptions { cache_bytes: CACHE_BYTES, syncs: true }
}

fn sled_options() -> SledOptions {
    SledOptions { cache_bytes: CACHE_BYTES, syncs: true }
}

fn redb() -> Bench {
    Bench {
        directory: tempfile::tempdir().unwrap(),
        make: |path| Ok(Arc::new(RedbEngine::create(&OsDisk, path, redb_options())?)),
        reopen: Some(|path| Ok(Arc::new(RedbEngine::open(&OsDisk, path, redb_options())?))),
    }
}

fn sled() -> Bench {
    Bench {
        directory: tempfile::tempdir().unwrap(),
        make: |path| Ok(Arc::new(SledEngine::create(path, sled_options())?)),
        reopen: Some(|path| Ok(Arc::new(SledEngine::open(path, sled_options())?))),
    }
}

fn memory() -> Bench {
    Bench {
        directory: tempfile::tempdir().unwrap(),
        make: |_| Ok(Arc::new(MemoryEngine::default())),
        reopen: None,
    }
}

fn faultless() -> Bench {
    Bench {
        directory: tempfile::tempdir().unwrap(),
        make: |_| {
            let inner = Arc::new(MemoryEngine::default());
            Ok(Arc::new(FaultEngine::new(inner, Arc::new(Faults::default()))))
        },
        reopen: None,
    }
}

macro_rules! conformance {
    ($($rule:ident)*) => {
        mod on_redb { $(#[test] fn $rule() { super::$rule(&super::redb()); })* }
        mod on_sled { $(#[test] fn $rule() { super::$rule(&super::sled()); })* }
        mod on_memory { $(#[test] fn $rule() { super::$rule(&super::memory()); })* }
        mod on_faultless { $(#[test] fn $rule() { super::$rule(&super::faultless()); })* }
    };
}

conformance! {
    get_finds_what_was_put
    later_commit_overrides
    delete_removes_and_missing_is_no_error
    keyspaces_are_apart
    scan_is_ordered_and_half_open
    scan_stops_when_told
    scan_of_nothing_visits_nothing
    keys_of_any_bytes_are_kept
    empty_and_long_values_are_kept
    long_values_shrink_and_grow
    get_many_answers_each_position
    pinned_view_stands_still
    pinned_view_keeps_long_values
    latest_view_never_mixes_commits
    sizes_follow_the_rows
    rows_survive_a_reopen
    many_rows_survive_a_reopen
    deferred_commits_are_there_after_a_synced_one
    empty_commit_is_allowed
    readers_run_beside_a_writer
}

fn put(keyspace: Keyspace, key: &[u8], value: &[u8]) -> Change {
    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
    Change { keyspace, key, value: Some(value) }
}

fn delete(keyspace: Keyspace, key: &[u8]) -> Change {
    Change { keyspace, key: Bytes::copy_from_slice(key), value: None }
}

fn commit(engine: &Arc<dyn Engine>, changes: &[Change]) {
    engine.commit(changes, Durability::Synced).unwrap();
}

fn get(engine: &Arc<dyn Engine>, keyspace: Keyspace, key: &[u8]) -> Option<Bytes> {
    engine.latest().unwrap().get(keyspace, key).unwrap()
}

fn rows(
    view: &dyn EngineView,
    keyspace: Keyspace,
    from: &[u8],
    to: Option<&[u8]>,
) -> Vec<(Bytes, Bytes)> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    };
    view.scan(keyspace, from, to, &mut visit).unwrap();
    rows
}

fn keys(engine: &Arc<dyn Engine>, keyspace: Keyspace) -> Vec<Bytes> {
    let view = engine.latest().unwrap();
    rows(&*view, keyspace, &[], None).into_iter().map(|(key, _)| key).collect()
}

/// A committed row is found, another is not.
fn get_finds_what_was_put(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Key, b"a", b"1")]);
    assert_eq!(get(&engine, Keyspace::Key, b"a").as_deref(), Some(&b"1"[..]));
    assert_eq!(get(&engine, Keyspace::Key, b"b"), None);
}

/// The last value written is the value.
fn later_commit_overrides(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Meta, b"a", b"1")]);
    commit(&engine, &[put(Keyspace::Meta, b"a", b"2")]);
    assert_eq!(get(&engine, Keyspace::Meta, b"a").as_deref(), Some(&b"2"[..]));
}

/// A removed row is gone, and removing what is not there changes nothing.
fn delete_removes_and_missing_is_no_error(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Lease, b"a", b"1"), put(Keyspace::Lease, b"b", b"2")]);
    commit(&engine, &[delete(Keyspace::Lease, b"a"), delete(Keyspace::Lease, b"c")]);
    assert_eq!(keys(&engine, Keyspace::Lease), ["b"]);
}

/// The same key in two keyspaces is two rows, and a scan does not stray into the neighbours.
fn keyspaces_are_apart(bench: &Bench) {
    let engine = bench.make();
    let changes: Vec<_> =
        Keyspace::ALL.into_iter().map(|space| put(space, b"k", space.name().as_bytes())).collect();
    commit(&engine, &changes);
    for keyspace in Keyspace::ALL {
        let name = keyspace.name().as_bytes();
        assert_eq!(get(&engine, keyspace, b"k").as_deref(), Some(name));
        assert_eq!(keys(&engine, keyspace), ["k"]);
    }
}

/// A scan visits its start and what follows in the order of bytes, but not its end.
fn scan_is_ordered_and_half_open(bench: &Bench) {
    let engine = bench.make();
    let changes: Vec<_> =
        ["a", "b", "ba", "c", "d"].map(|key| put(Keyspace::Key, key.as_bytes(), b"")).into();
    commit(&engine, &changes);
    let view = engine.latest().unwrap();
    let found = |from: &str, to: Option<&str>| -> Vec<Bytes> {
        let to = to.map(str::as_bytes);
        let rows = rows(&*view, Keyspace::Key, from.as_bytes(), to);
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(found("", None), ["a", "b", "ba", "c", "d"]);
    assert_eq!(found("b", Some("c")), ["b", "ba"]);
    assert_eq!(found("bb", None), ["c", "d"]);
    assert_eq!(found("c", Some("b")), [""; 0]);
    assert_eq!(found("b", Some("b")), [""; 0]);
}

/// A visitor that breaks sees no more rows.
fn scan_stops_when_told(bench: &Bench) {
    let engine = bench.make();
    let changes: Vec<_> = (0..10_u8).map(|number| put(Keyspace::Key, &[number], b"")).collect();
    commit(&engine, &changes);
    let mut n_visited = 0;
    let view = engine.latest().unwrap();
    let mut visit = |_: &[u8], _: &[u8]| {
        n_visited += 1;
        if n_visited == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    view.scan(Keyspace::Key, &[], None, &mut visit).unwrap();
    assert_eq!(n_visited, 3);
}

/// A fresh engine has no rows in any keyspace.
fn scan_of_nothing_visits_nothing(bench: &Bench) {
    let engine = bench.make();
    for keyspace in Keyspace::ALL {
        assert!(keys(&engine, keyspace).is_empty());
    }
}

/// Keys with zero bytes, with all ones, and prefixes of each other stay apart and in order.
fn keys_of_any_bytes_are_kept(bench: &Bench) {
    let engine = bench.make();
    let mut expected: Vec<Vec<u8>> =
        vec![vec![0], vec![0, 0], vec![0, 1], vec![255], vec![255, 255], vec![7; 300]];
    expected.sort();
    let changes: Vec<_> = expected.iter().map(|key| put(Keyspace::AuthUsers, key, b"x")).collect();
    commit(&engine, &changes);
    assert_eq!(keys(&engine, Keyspace::AuthUsers), expected);
    let engine = bench.reopen(engine);
    assert_eq!(keys(&engine, Keyspace::AuthUsers), expected);
}

fn long_value(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|position| (position % 251) as u8 ^ salt).collect()
}

const LENGTHS: [usize; 9] = [0, 1, 4095, 4096, 4097, 8192, 100_000, 1 << 20, (3 << 19) + 1];

/// Values from nothing to more than etcd's request limit come back byte for byte.
fn empty_and_long_values_are_kept(bench: &Bench) {
    let engine = bench.make();
    let key = |length: usize| (length as u64).to_be_bytes();
    for length in LENGTHS {
        commit(&engine, &[put(Keyspace::Key, &key(length), &long_value(length, 0))]);
    }
    let engine = bench.reopen(engine);
    for length in LENGTHS {
        let value = get(&engine, Keyspace::Key, &key(length)).unwrap();
        assert!(value == long_value(length, 0), "a value of {length} bytes changed");
    }
    assert_eq!(keys(&engine, Keyspace::Key).len(), LENGTHS.len());
    let blobs = bench.path().join("blobs");
    let n_blobs = std::fs::read_dir(blobs).map_or(0, Iterator::count);
    assert_eq!(n_blobs, 0, "sled put a page into a file that it never syncs");
}

/// Nothing of an older, longer value shines through a newer one.
fn long_values_shrink_and_grow(bench: &Bench) {
    let engine = bench.make();
    for (salt, length) in [50_000, 10, 9_000, 0, 50_001].into_iter().enumerate() {
        let value = long_value(length, salt as u8);
        commit(&engine, &[put(Keyspace::Key, b"k", &value)]);
        assert!(get(&engine, Keyspace::Key, b"k").unwrap() == value);
    }
    commit(&engine, &[delete(Keyspace::Key, b"k")]);
    assert_eq!(get(&engine, Keyspace::Key, b"k"), None);
    assert_eq!(engine.sizes().in_use, 0);
}

/// Many keys, sorted or not, repeated or absent, are answered at their positions.
fn get_many_answers_each_position(bench: &Bench) {
    let engine = bench.make();
    let key = |number: u32| number.to_be_bytes();
    let changes: Vec<_> =
        (0..300).map(|number| put(Keyspace::Key, &key(number * 2), &key(number))).collect();
    commit(&engine, &changes);
    let spread = (0..700).chain((0..700).rev().step_by(17)).chain([4, 4, 999]);
    let asked: Vec<_> = spread.map(key).collect();
    let slices: Vec<&[u8]> = asked.iter().map(|key| &key[..]).collect();
    let mut found = vec![None; asked.len()];
    let view = engine.latest().unwrap();
    view.get_many(Keyspace::Key, &slices, &mut |at, value| found[at] = Some(value)).unwrap();
    for (key, value) in slices.iter().zip(found) {
        assert_eq!(value, view.get(Keyspace::Key, key).unwrap(), "key {key:?}");
    }
}

/// A pinned view shows neither later puts, nor later removals, nor later values.
fn pinned_view_stands_still(bench: &Bench) {
    let engine = bench.make();
    let key = |number: u32| number.to_be_bytes();
    let changes: Vec<_> =
        (0..1000).map(|number| put(Keyspace::Key, &key(number), b"old")).collect();
    commit(&engine, &changes);
    let view = engine.pin().unwrap();
    let before = rows(&*view, Keyspace::Key, &[], None);
    let changed: Vec<_> = (0..1500)
        .map(|number| match number % 3 {
            0 => delete(Keyspace::Key, &key(number)),
            _ => put(Keyspace::Key, &key(number), b"new"),
        })
        .collect();
    commit(&engine, &changed);
    commit(&engine, &changes[..10]);
    assert_eq!(rows(&*view, Keyspace::Key, &[], None), before);
    let part = rows(&*view, Keyspace::Key, &key(500), Some(&key(900)));
    assert_eq!(part, before[500..900]);
    assert_eq!(view.get(Keyspace::Key, &key(3)).unwrap().as_deref(), Some(&b"old"[..]));
    assert_eq!(view.get(Keyspace::Key, &key(1400)).unwrap(), None);
    drop(view);
    assert_eq!(get(&engine, Keyspace::Key, &key(1400)).as_deref(), Some(&b"new"[..]));
}

/// A pinned view still has a long value that was replaced or removed since.
fn pinned_view_keeps_long_values(bench: &Bench) {
    let engine = bench.make();
    let value = long_value(20_000, 1);
    commit(&engine, &[put(Keyspace::Key, b"a", &value), put(Keyspace::Key, b"b", &value)]);
    let view = engine.pin().unwrap();
    commit(
        &engine,
        &[put(Keyspace::Key, b"a", &long_value(30_000, 2)), delete(Keyspace::Key, b"b")],
    );
    for key in [b"a", b"b"] {
        assert!(view.get(Keyspace::Key, key).unwrap().unwrap() == value);
    }
    let found = rows(&*view, Keyspace::Key, &[], None);
    assert!(found.len() == 2 && found.iter().all(|(_, found)| *found == value));
}

/// A latest view that a commit has overtaken gives its own rows or says that it cannot.
fn latest_view_never_mixes_commits(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Key, b"a", b"1"), put(Keyspace::Key, b"b", b"1")]);
    let view = engine.latest().unwrap();
    commit(&engine, &[put(Keyspace::Key, b"a", b"2"), put(Keyspace::Key, b"b", b"2")]);
    let mut values = Vec::new();
    let mut visit = |_: &[u8], value: &[u8]| {
        values.push(value.to_vec());
        ControlFlow::Continue(())
    };
    match view.scan(Keyspace::Key, &[], None, &mut visit) {
        Ok(()) => assert_eq!(values, [b"1", b"1"]),
        Err(EngineError::Moved) => assert!(values.is_empty()),
        Err(error) => panic!("{error}"),
    }
}

/// The bytes in use are those of keys and values, whatever was overwritten or removed on the way.
fn sizes_follow_the_rows(bench: &Bench) {
    let engine = bench.make();
    assert_eq!(engine.sizes().in_use, 0);
    commit(&engine, &[put(Keyspace::Key, b"aa", &[0; 100]), put(Keyspace::Lease, b"b", b"xyz")]);
    assert_eq!(engine.sizes().in_use, 106);
    commit(&engine, &[put(Keyspace::Key, b"aa", &[0; 10_000])]);
    assert_eq!(engine.sizes().in_use, 10_006);
    commit(&engine, &[put(Keyspace::Key, b"aa", b"-"), delete(Keyspace::Lease, b"b")]);
    assert_eq!(engine.sizes().in_use, 3);
    let engine = bench.reopen(engine);
    assert_eq!(engine.sizes().in_use, 3);
    assert!(engine.sizes().total >= 3);
}

/// What was committed is there after the engine was closed and opened.
fn rows_survive_a_reopen(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Key, b"a", b"1"), put(Keyspace::Meta, b"m", b"2")]);
    commit(&engine, &[delete(Keyspace::Key, b"a")]);
    let engine = bench.reopen(engine);
    assert_eq!(get(&engine, Keyspace::Key, b"a"), None);
    assert_eq!(get(&engine, Keyspace::Meta, b"m").as_deref(), Some(&b"2"[..]));
}

/// The same for more rows than fit into a few pages.
fn many_rows_survive_a_reopen(bench: &Bench) {
    let engine = bench.make();
    let key = |number: u64| number.to_be_bytes();
    for round in 0..10 {
        let numbers = round * 500..(round + 1) * 500;
        let changes: Vec<_> =
            numbers.map(|number| put(Keyspace::Key, &key(number), &[7; 100])).collect();
        commit(&engine, &changes);
    }
    let engine = bench.reopen(engine);
    let expected: Vec<_> = (0..5000).map(|number| key(number).to_vec()).collect();
    assert_eq!(keys(&engine, Keyspace::Key), expected);
}

/// Deferred commits become durable with the next synced one.
fn deferred_commits_are_there_after_a_synced_one(bench: &Bench) {
    let engine = bench.make();
    engine.commit(&[put(Keyspace::Key, b"a", b"1")], Durability::Deferred).unwrap();
    assert_eq!(get(&engine, Keyspace::Key, b"a").as_deref(), Some(&b"1"[..]));
    commit(&engine, &[put(Keyspace::Key, b"b", b"2")]);
    let engine = bench.reopen(engine);
    assert_eq!(keys(&engine, Keyspace::Key), ["a", "b"]);
}

/// A commit of nothing is no error and changes nothing.
fn empty_commit_is_allowed(bench: &Bench) {
    let engine = bench.make();
    commit(&engine, &[put(Keyspace::Key, b"a", b"1")]);
    commit(&engine, &[]);
    assert_eq!(keys(&engine, Keyspace::Key), ["a"]);
}

/// While commits run, a reader of a pinned view counts the same rows each time, and a getter never sees a row vanish.
fn readers_run_beside_a_writer(bench: &Bench) {
    let engine = bench.make();
    let key = |number: u32| number.to_be_bytes();
    commit(&engine, &[put(Keyspace::Key, &key(0), &long_value(9_000, 0))]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..60_u32 {
                let changes = [
                    put(Keyspace::Key, &key(0), &long_value(9_000, round as u8)),
                    put(Keyspace::Key, &key(round), b"row"),
                ];
                commit(&engine, &changes);
            }
        });
        while !writer.is_finished() {
            let value = get(&engine, Keyspace::Key, &key(0)).expect("the row is never removed");
            assert!(value == long_value(9_000, value[0]), "half of one value, half of another");
        }
    });
    assert_eq!(keys(&engine, Keyspace::Key).len(), 60);
}
