//! A log file that is replaced when it has grown, by the rules of the library that etcd uses (lumberjack): the old one
//! gets its time into its name, is packed if asked, and goes when there are too many or it is too old.

use super::sinks::open_file;
use crate::config::Rotation;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where the clock stands, as it goes into a name.
const TIME_FORMAT: &str = "%Y-%m-%dT%H-%M-%S.%3f";

/// See the module.
pub(super) struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    bytes: u64,
}

impl RotatingFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn open(path: &Path, rotation: Rotation) -> io::Result<RotatingFile> {
        let file = open_file(path)?;
        let bytes = file.metadata()?.len();
        Ok(RotatingFile { path: path.to_owned(), rotation, file, bytes })
    }

    /// Writes a line, into a fresh file if it does not fit into this one.
    ///
    /// # Errors
    /// The disk is full, most likely.
    pub(super) fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.rotation.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let zone = match self.rotation.is_local_time {
            true => jiff::tz::TimeZone::system(),
            false => jiff::tz::TimeZone::UTC,
        };
        let time = jiff::Timestamp::now().to_zoned(zone).strftime(TIME_FORMAT).to_string();
        fs::rename(&self.path, self.backup_name(&time))?;
        self.file = open_file(&self.path)?;
        self.bytes = 0;
        let (path, rotation) = (self.path.clone(), self.rotation.clone());
        // Packing may take seconds, and who logs must not wait for it. Without a thread it happens next time.
        let tidy = std::thread::Builder::new().name("log-rotation".to_owned());
        drop(tidy.spawn(move || tidy_up(&path, &rotation)));
        Ok(())
    }

    fn backup_name(&self, time: &str) -> PathBuf {
        let (stem, extension) = name_parts(&self.path);
        self.path.with_file_name(format!("{stem}-{time}{extension}"))
    }
}

/// Name without its extension, and the extension with its dot.
fn name_parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let extension = text(path.extension()).map_or_else(String::new, |text| format!(".{text}"));
    (text(path.file_stem()).unwrap_or_default(), extension)
}

/// The old files of a log, newest first: their names sort by time.
fn backups(path: &Path) -> Vec<PathBuf> {
    let (stem, extension) = name_parts(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return Vec::new() };
    let is_backup = |name: &str| {
        let rest = name.strip_prefix(&format!("{stem}-"));
        let rest = rest.map(|rest| rest.strip_suffix(".gz").unwrap_or(rest));
        let time = rest.and_then(|rest| rest.strip_suffix(&extension));
        time.is_some_and(|time| {
            jiff::civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S%.f", time).is_ok()
        })
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.file_name().is_some_and(|name| is_backup(&name.to_string_lossy())))
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found
}

fn tidy_up(path: &Path, rotation: &Rotation) {
    for (n, backup) in backups(path).into_iter().enumerate() {
        let is_surplus = rotation.backups_max > 0 && n >= rotation.backups_max;
        let is_old = rotation.age_max.is_some_and(|age_max| {
            let modified = fs::metadata(&backup).and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            age.is_ok_and(|age| age > age_max)
        });
        // A file that cannot be removed or packed is tried again at the next rotation.
        if is_surplus || is_old {
            drop(fs::remove_file(&backup));
        } else if rotation.compresses && backup.extension().is_none_or(|last| last != "gz") {
            drop(pack(&backup));
        }
    }
}

fn pack(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let packed = PathBuf::from(name);
    let unfinished = packed.with_extension("gz.tmp");
    let mut encoder = GzEncoder::new(open_file(&unfinished)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&unfinished, &packed)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation() -> Rotation {
        Rotation {
            bytes_max: 10,
            age_max: None,
            backups_max: 2,
            is_local_time: false,
            compresses: true,
        }
    }

    /// A full file is set aside whole, a fresh one takes the next line; surplus old ones go, the others are packed.
    #[test]
    fn full_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.log");
        let mut file = RotatingFile::open(&path, rotation()).unwrap();
        for line in [b"12345678\n", b"abcdefgh\n"] {
            file.write_line(line).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "abcdefgh\n");
        drop(file);
        for day in 1..=4 {
            let name = format!("etcd-2020-01-0{day}T00-00-00.000.log");
            fs::write(folder.path().join(name), "old\n").unwrap();
        }
        fs::write(folder.path().join("etcd-other.log"), "somebody else's\n").unwrap();
        // The thread of the rotation above may be at it as well.
        let is_tidy = || {
            tidy_up(&path, &rotation());
            let left = backups(&path);
            left.len() == 2 && left.iter().all(|path| path.extension().unwrap() == "gz")
        };
        while !is_tidy() {
            std::thread::yield_now();
        }
        assert!(folder.path().join("etcd-other.log").exists());
    }
}
