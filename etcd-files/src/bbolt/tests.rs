//! Tests of reader, writer and check against each other; against real etcd's files see `tests/real_etcd.rs`.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

type Rowset = BTreeMap<Vec<u8>, Vec<u8>>;

fn image(buckets: &BTreeMap<String, Rowset>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let layout = write_file(&mut file, Path::new("image"), |image| {
        for (name, rows) in buckets {
            image.begin_bucket(name).unwrap();
            for (key, value) in rows {
                image.push(key, value).unwrap();
            }
        }
        Ok(())
    })
    .unwrap();
    let bytes = file.into_inner();
    assert_eq!(bytes.len() as u64, layout.size());
    bytes
}

fn open(bytes: &[u8]) -> crate::Result<(tempfile::TempDir, Database)> {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("db");
    std::fs::write(&path, bytes).unwrap();
    Database::open(&path).map(|database| (temp, database))
}

fn contents(database: &Database) -> crate::Result<BTreeMap<String, Rowset>> {
    let mut all = BTreeMap::new();
    for (name, bucket) in database.buckets()? {
        let rows: crate::Result<Rowset> =
            bucket.rows()?.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec()))).collect();
        all.insert(String::from_utf8_lossy(&name).into_owned(), rows?);
    }
    Ok(all)
}

fn numbered(count: usize, value: usize) -> Rowset {
    (0..count).map(|n| (format!("key{n:08}").into_bytes(), vec![n as u8; value])).collect()
}

/// Sizes around every boundary: inline, one leaf, several leaves, several levels, overflow pages.
#[test]
fn trees_of_all_shapes_are_read_back() {
    for (count, value) in
        [(0, 0), (1, 0), (20, 10), (60, 40), (61, 4096), (20_000, 100), (3, 1 << 20)]
    {
        let buckets = BTreeMap::from([
            ("empty".into(), Rowset::new()),
            ("key".into(), numbered(count, value)),
        ]);
        let (_temp, database) = open(&image(&buckets)).unwrap();
        assert_eq!(database.check().unwrap(), Check::default(), "{count} rows of {value}");
        assert_eq!(contents(&database).unwrap(), buckets, "{count} rows of {value}");
    }
}

/// Long keys leave room for few in a branch; none ends up with a single one.
#[test]
fn long_keys_make_deep_trees() {
    let rows: Rowset =
        (0..200u32).map(|n| ([&[b'k'; 1700][..], &n.to_be_bytes()].concat(), vec![1])).collect();
    let buckets = BTreeMap::from([("key".to_owned(), rows)]);
    let (_temp, database) = open(&image(&buckets)).unwrap();
    assert_eq!(database.check().unwrap(), Check::default());
    assert_eq!(contents(&database).unwrap(), buckets);
}

/// Point reads, the first and last row, and ranges agree with the rows written.
#[test]
fn rows_are_found_by_key() {
    let rows = numbered(5000, 30);
    let buckets = BTreeMap::from([("alarm".to_owned(), Rowset::new()), ("key".to_owned(), rows)]);
    let (_temp, database) = open(&image(&buckets)).unwrap();
    let bucket = database.bucket("key").unwrap().unwrap();
    assert_eq!(bucket.get(b"key00001234").unwrap(), Some(Bytes::from(vec![210; 30])));
    assert_eq!(bucket.get(b"key000012345").unwrap(), None);
    assert_eq!(bucket.first().unwrap().unwrap().0, "key00000000");
    assert_eq!(bucket.last().unwrap().unwrap().0, "key00004999");
    let next = bucket.rows_from(b"key00002999x").unwrap().next().unwrap().unwrap();
    assert_eq!(next.0, "key00003000");
    assert!(bucket.rows_from(b"l").unwrap().next().is_none());
    assert_eq!(database.bucket("alarm").unwrap().unwrap().last().unwrap(), None);
    assert!(database.bucket("nothing").unwrap().is_none());
}

/// Measuring first and writing then gives the same layout, so an image can be streamed with its size known.
#[test]
fn the_layout_depends_on_the_rows_alone() {
    let fill = |image: &mut dyn FnMut(&[u8], &[u8])| {
        numbered(3000, 77).iter().for_each(|(k, v)| image(k, v))
    };
    let mut measuring = ImageWriter::new(std::io::sink());
    measuring.begin_bucket("key").unwrap();
    fill(&mut |key, value| measuring.push(key, value).unwrap());
    let layout = measuring.finish().unwrap().1;
    let mut writing = ImageWriter::new(Vec::new());
    writing.begin_bucket("key").unwrap();
    fill(&mut |key, value| writing.push(key, value).unwrap());
    let (pages, again) = writing.finish().unwrap();
    assert_eq!(layout, again);
    let bytes = [layout.head(), pages].concat();
    assert_eq!(bytes.len() as u64, layout.size());
    assert_eq!(open(&bytes).unwrap().1.check().unwrap(), Check::default());
}

/// Disorder is refused when written, so that it need not be found when read.
#[test]
fn rows_out_of_order_are_refused() {
    let mut image = ImageWriter::new(Vec::new());
    assert!(image.push(b"a", b"").is_err());
    image.begin_bucket("b").unwrap();
    image.push(b"b", b"").unwrap();
    assert!(image.push(b"b", b"").is_err());
    assert!(image.push(b"", b"").is_err());
    assert!(image.begin_bucket("a").is_err());
}

/// A file that ends early is refused at once, with where it ends.
#[test]
fn a_truncated_file_is_refused() {
    let bytes = image(&BTreeMap::from([("key".to_owned(), numbered(1000, 100))]));
    for length in [0, 10, 79, 4096, 8192, bytes.len() - 1] {
        let error = open(&bytes[..length]).unwrap_err();
        assert!(error.is_damaged(), "{length}: {error}");
    }
    assert!(!open(&[b'x'; 9000]).unwrap_err().is_damaged());
}

/// One bad meta page is survived through the other one.
#[test]
fn either_meta_page_is_enough() {
    let buckets = BTreeMap::from([("key".to_owned(), numbered(100, 100))]);
    for broken in [0, 4096] {
        let mut bytes = image(&buckets);
        bytes[broken + 40] ^= 1;
        assert_eq!(contents(&open(&bytes).unwrap().1).unwrap(), buckets);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any rows come back as they went in, and the file passes its own check.
    #[test]
    fn any_rows_are_read_back(rows in prop::collection::btree_map(
        prop::collection::vec(any::<u8>(), 1..40), (0..3000usize).prop_map(|n| vec![7; n]), 0..200)) {
        let buckets = BTreeMap::from([("key".to_owned(), rows), ("meta".to_owned(), numbered(1, 8))]);
        let (_temp, database) = open(&image(&buckets)).unwrap();
        prop_assert_eq!(database.check().unwrap(), Check::default());
        prop_assert_eq!(contents(&database).unwrap(), buckets);
    }

    /// Flipped bits never cause a panic or an endless walk, neither in reading nor in the check.
    #[test]
    fn flipped_bits_are_survived(flips in prop::collection::vec((0.0..1.0f64, 0..8u32, any::<bool>()), 1..6)) {
        let mut bytes = image(&BTreeMap::from([
            ("key".to_owned(), numbered(2000, 50)), ("meta".to_owned(), numbered(3, 8))]));
        for (at, bit, in_header) in flips {
            let mut at = (bytes.len() as f64 * at) as usize;
            if in_header {
                at = at / 4096 * 4096 + at % 64;
            }
            bytes[at] ^= 1 << bit;
        }
        if let Ok((_temp, database)) = open(&bytes) {
            let _ = database.check();
            let _ = contents(&database);
            let _ = database.bucket("key").map(|bucket| bucket.map(|bucket| {
                (bucket.last().is_ok(), bucket.get(b"key00000700").is_ok())
            }));
        }
    }
}
