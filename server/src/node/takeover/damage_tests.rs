//! A directory that nobody could go on with is refused before anything of it is moved, each time anew.

use super::tests::{etcds_directory, options, original};
use super::{Places, refuse_lone_log, settle};
use quorate_etcd_files::disk::OsDisk;
use std::sync::Arc;

/// Replaces all occurrences of some bytes in etcd's database; pages have no checksums.
fn patch(places: &Places, from: &[u8], to: &[u8]) {
    let path = places.member().join("snap").join("db");
    let mut bytes = std::fs::read(&path).unwrap();
    let found: Vec<_> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!found.is_empty(), "{from:?} is not in the database");
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Wants the take-over to be refused twice in the same words, with nothing changed or begun.
fn refused(places: &Places) -> String {
    let was = original(&places.member(), None);
    let refuse = || {
        let error = settle(places, &options(Arc::new(OsDisk))).unwrap_err().to_string();
        assert_eq!(original(&places.member(), None), was, "{error}");
        assert!(!places.is_begun() && places.is_etcds(), "{error}");
        assert!(error.contains("Nothing was changed"), "{error}");
        error
    };
    let first = refuse();
    assert_eq!(refuse(), first);
    first
}

/// A row that the state could not read is named by its bucket and its key.
#[test]
fn a_damaged_row_is_refused_before_the_move() {
    let revision = [&2_u64.to_be_bytes()[..], b"_"].concat();
    let cases: [(&[u8], &[u8], &str); 3] = [
        (b"\x0a\x01k\x10\x02", b"\x0e", "row 00000000000000025f0000000000000000 of bucket key"),
        (&revision, b"\0\0\0\0\0\0\0\x02-", "row 00000000000000022d0000000000000000 of bucket key"),
        (b"\x0a\x04root", b"\x0e", "row 726f6f74 of bucket authUsers"),
    ];
    for (from, to, named) in cases {
        let folder = tempfile::tempdir().unwrap();
        let places = etcds_directory(folder.path(), None);
        patch(&places, from, to);
        let error = refused(&places);
        assert!(error.contains(named), "{error}");
    }
}

/// A log that ends before what the database holds has lost entries, and acknowledged ones may be behind them.
#[test]
fn a_log_that_ends_too_early_is_refused_before_the_move() {
    let folder = tempfile::tempdir().unwrap();
    let places = etcds_directory(folder.path(), None);
    patch(
        &places,
        &[&b"consistent_index"[..], &3_u64.to_be_bytes()].concat(),
        &[&b"consistent_index"[..], &9_u64.to_be_bytes()].concat(),
    );
    let error = refused(&places);
    assert!(error.contains("ends here with entry 3"), "{error}");
    assert!(error.contains("applied up to entry 9"), "{error}");
}

/// With etcd's database gone nothing is begun beside its log, so that it can be put back.
#[test]
fn a_log_without_its_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let places = etcds_directory(folder.path(), None);
    refuse_lone_log(&places).unwrap();
    let (db, away) = (places.member().join("snap").join("db"), folder.path().join("db"));
    std::fs::rename(&db, &away).unwrap();
    let was = original(&places.member(), None);
    let error = refuse_lone_log(&places).unwrap_err().to_string();
    assert!(error.contains("goes on from a state of entry 3"), "{error}");
    assert_eq!(original(&places.member(), None), was);
    std::fs::rename(&away, &db).unwrap();
    settle(&places, &options(Arc::new(OsDisk))).unwrap();
    assert!(!places.is_etcds());
    refuse_lone_log(&places).unwrap();
}
