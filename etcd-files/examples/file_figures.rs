//! How fast bbolt files are written and read here, and how much memory that takes: CPU seconds for each GiB, since the machine
//! is shared. `cargo run --release -p quorate-etcd-files --example file_figures -- [MiB] [folder]`

#![allow(clippy::unwrap_used, reason = "a measurement that fails has failed")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quorate_etcd_files::bbolt::{Database, rewrite, write_file};
use quorate_etcd_files::rows::{Revision, bucket};
use quorate_etcd_files::snapfile;

/// Bytes of a value: what Kubernetes' objects are like.
const VALUE_BYTES: usize = 1000;
/// Keys that are overwritten again and again.
const KEYS: u64 = 200_000;

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
    let folder = folder.join(format!("file-figures-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (path, copy) = (folder.join("db"), folder.join("copy"));
    let n = mib * (1 << 20) / (VALUE_BYTES as u64 + 110);
    measured("write", mib << 20, || {
        let file = std::fs::File::create(&path).unwrap();
        write_file(&file, &path, |image| {
            image.begin_bucket(bucket::KEY).unwrap();
            rows(&mut |key, value| image.push(key, value), n).unwrap();
            Ok(())
        })
        .unwrap();
        file.sync_all().unwrap();
    });
    let bytes = std::fs::metadata(&path).unwrap().len();
    read(&path, bytes, &copy);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn read(path: &Path, bytes: u64, copy: &Path) {
    let database = Database::open(path).unwrap();
    let rows = measured("read all rows", bytes, || {
        let rows = database.bucket(bucket::KEY).unwrap().unwrap().rows().unwrap();
        rows.map(Result::unwrap).count()
    });
    measured("check", bytes, || assert_eq!(database.check().unwrap().count, 0));
    measured("rewrite (restore)", bytes, || {
        let file = std::fs::File::create(copy).unwrap();
        rewrite(&database, Default::default(), &file, copy).unwrap();
        file.sync_all().unwrap();
    });
    measured("status (hash, live keys)", bytes, || snapfile::status(&database).unwrap());
    println!("{rows} rows, {bytes} bytes");
}
