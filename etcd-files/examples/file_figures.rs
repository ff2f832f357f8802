//! How fast bbolt files are written and read here, beside what the disk does with plain bytes, and how much memory that takes.
//! CPU seconds for each GiB too, since the machine is shared. As root, every reading begins with empty caches.
//! With `ETCDUTL=PROGRAM` a real etcdutl (3.6 or newer) must say the same of the file.
//! `cargo run --release -p quorate-etcd-files --example file_figures -- [MiB] [FOLDER] [FOLDER OF THE COPY]`

#![allow(clippy::unwrap_used, reason = "a measurement that fails has failed")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use quorate_etcd_files::bbolt::{Database, rewrite, write_file};
use quorate_etcd_files::rows::{Revision, bucket};
use quorate_etcd_files::snapfile;

/// Bytes of a value: what Kubernetes' objects are like.
const VALUE_BYTES: usize = 1000;
/// Keys that are overwritten again and again.
const KEYS: u64 = 200_000;
/// Bytes of a file that 1,000 bytes of rows take: three to a page.
const FILE_BYTES: u64 = 1_241;
/// Of plain bytes, and of our writer.
const CHUNK_BYTES: usize = 1 << 20;

/// CPU time of this process in clock ticks of 10 ms, and the largest memory so far in MiB.
fn used() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    (ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum(), peak / 1024)
}

fn measured<T>(name: &str, bytes: u64, work: impl FnOnce() -> T) -> T {
    let ((before, _), start) = (used(), Instant::now());
    let result = work();
    let ((after, peak), elapsed) = (used(), start.elapsed().as_secs_f64());
    let (gib, cpu) = (bytes as f64 / f64::from(1 << 30), (after - before) as f64 / 100.0);
    println!(
        "{name:<28} {:>7.0} MB/s, {:>5.2} CPU s/GiB, 8 GiB in {:>4.0} CPU s; peak memory {peak} MiB",
        bytes as f64 / 1e6 / elapsed,
        cpu / gib,
        cpu / gib * 8.0
    );
    result
}

/// Takes a row: its key and its value.
type Sink<'a> = dyn FnMut(&[u8], &[u8]) -> io::Result<()> + 'a;

fn rows(image: &mut Sink<'_>, n: u64) -> io::Result<()> {
    let mut value = vec![b'v'; VALUE_BYTES];
    for main in 2..n + 2 {
        let key = Revision { main: main as i64, sub: 0 }.encode();
        let name = format!("/registry/pods/{:016x}", main % KEYS);
        // A pair as etcd encodes it: key, three small numbers, value.
        let mut pair = vec![0x0a, name.len() as u8];
        pair.extend(name.as_bytes());
        pair.extend([0x10, 2, 0x18, 2, 0x20, 1, 0x2a, 0xe8, 0x07]);
        value[0] = main as u8;
        pair.extend(&value);
        image(&key, &pair)?;
    }
    Ok(())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: u64 = arguments.next().map_or(1024, |mib| mib.parse().unwrap());
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let copy = arguments.next().map_or_else(|| folder.clone(), PathBuf::from);
    let [folder, copy] = [(folder, "db"), (copy, "copy")].map(|(folder, what)| {
        let folder = folder.join(format!("file-figures-{}-{what}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    });
    plain(&folder.join("plain"), mib << 20);
    let path = folder.join("db");
    let n = (mib << 20) * 1000 / FILE_BYTES / (VALUE_BYTES as u64 + 71);
    measured("write", mib << 20, || {
        let file = File::create(&path).unwrap();
        write_file(&file, &path, |image| {
            image.begin_bucket(bucket::KEY).unwrap();
            rows(&mut |key, value| image.push(key, value), n).unwrap();
            image.begin_bucket(bucket::META).unwrap();
            Ok(())
        })
        .unwrap();
        file.sync_all().unwrap();
    });
    let bytes = fs::metadata(&path).unwrap().len();
    read(&path, bytes, &copy.join("db"));
    fs::remove_dir_all(&folder).unwrap();
    fs::remove_dir_all(&copy).unwrap();
}

/// What the disk does without us.
fn plain(path: &Path, bytes: u64) {
    let mut chunk = vec![b'v'; CHUNK_BYTES];
    measured("plain bytes: write", bytes, || {
        let mut file = File::create(path).unwrap();
        (0..bytes / CHUNK_BYTES as u64).for_each(|_| file.write_all(&chunk).unwrap());
        file.sync_all().unwrap();
    });
    measured_cold("plain bytes: read", bytes, || {
        let mut file = File::open(path).unwrap();
        while file.read(&mut chunk).unwrap() > 0 {}
    });
    fs::remove_file(path).unwrap();
}

/// Measures with nothing of the file in memory, where that is allowed.
fn measured_cold<T>(name: &str, bytes: u64, work: impl FnOnce() -> T) -> T {
    // Fails where this is not root: the caches are warm then, and the figure says how fast the program alone is.
    let _ = fs::write("/proc/sys/vm/drop_caches", "1");
    measured(name, bytes, work)
}

/// What a real etcdutl prints of the file.
fn status_of(etcdutl: &OsStr, path: &Path) -> String {
    let mut etcdutl = Command::new(etcdutl);
    let output = etcdutl.args(["snapshot", "status", "-w", "json"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &Path, bytes: u64, copy: &Path) {
    let database = Database::open(path).unwrap();
    let rows = measured_cold("read all rows", bytes, || {
        let rows = database.bucket(bucket::KEY).unwrap().unwrap().rows().unwrap();
        rows.map(Result::unwrap).count()
    });
    measured_cold("check", bytes, || assert_eq!(database.check().unwrap().count, 0));
    let status = || snapfile::status(&database).unwrap();
    let ours = measured_cold("status (hash, live keys)", bytes, status);
    if let Some(etcdutl) = std::env::var_os("ETCDUTL") {
        let theirs = measured_cold("status by etcdutl", bytes, || status_of(&etcdutl, path));
        let (hash, keys) = (ours.hash, ours.live_keys);
        let numbers = format!("\"hash\":{hash},\"revision\":{},\"totalKey\":{keys}", ours.revision);
        assert!(theirs.contains(&numbers), "{theirs} {numbers}");
    }
    measured_cold("rewrite (restore)", bytes, || {
        let file = File::create(copy).unwrap();
        rewrite(&database, Default::default(), &file, copy).unwrap();
        file.sync_all().unwrap();
    });
    println!("{rows} rows, {bytes} bytes");
}
