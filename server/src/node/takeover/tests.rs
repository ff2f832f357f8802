//! A take-over that is broken off at every single step, as a kill would and as a full disk would.

use super::journal::Origin;
use super::{Places, settle};
use crate::raft::StoredMembership;
use crate::storage::{Backend, BackendOptions, Keyspace};
use quorate_etcd_files::bbolt::ImageWriter;
use quorate_etcd_files::datadir::{DataDir, InitialCluster, RestoreOptions, restore};
use quorate_etcd_files::disk::{Disk, File, OsDisk};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// What the disk does once its operations are used up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The process is gone: nothing happens any more.
    Dead,
    /// No room for anything new; names can still be moved and removed.
    Full,
}

/// The real disk for so many operations that change something.
#[derive(Clone, Debug)]
struct EndingDisk {
    left: Arc<AtomicI64>,
    end: End,
}

impl EndingDisk {
    fn operate(&self, needs_room: bool) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        match self.end {
            End::Dead => Err(io::Error::other("the process was killed")),
            End::Full if needs_room => Err(io::ErrorKind::StorageFull.into()),
            End::Full => Ok(()),
        }
    }

    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(EndingFile { file, disk: self.clone() })
    }
}

impl Disk for EndingDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(OsDisk.open(path)?))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        OsDisk.open_read(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.operate(true)?;
        Ok(self.wrap(OsDisk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(false)?;
        OsDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operate(false)?;
        OsDisk.remove_file(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operate(true)?;
        OsDisk.create_dir_all(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.operate(false)?;
        OsDisk.remove_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        OsDisk.list(path)
    }
    fn exists(&self, path: &Path) -> bool {
        OsDisk.exists(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.operate(false)?;
        OsDisk.sync_dir(path)
    }
}

#[derive(Debug)]
struct EndingFile {
    file: Arc<dyn File>,
    disk: EndingDisk,
}

impl File for EndingFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.operate(true)?;
        self.file.write_all_at(data, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate(false)?;
        self.file.sync_data()
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.operate(true)?;
        self.file.set_len(length)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

pub(super) fn options(disk: Arc<dyn Disk>) -> BackendOptions {
    BackendOptions { disk, ..BackendOptions::default() }
}

/// A directory as etcd's restore leaves it, of a cluster of three, with a key and a user.
pub(super) fn etcds_directory(folder: &Path, wal: Option<&Path>) -> Places {
    let snapshot = folder.join("snapshot");
    let mut image = ImageWriter::new(Vec::new());
    for keyspace in Keyspace::ALL {
        image.begin_bucket(keyspace.name()).unwrap();
        match keyspace {
            Keyspace::Key => {
                let revision = [&2_u64.to_be_bytes()[..], b"_", &[0; 8]].concat();
                image.push(&revision, b"\x0a\x01k\x10\x02\x18\x02\x20\x01\x2a\x01v").unwrap();
            }
            Keyspace::AuthUsers => image.push(b"root", b"\x0a\x04root").unwrap(),
            _ => {}
        }
    }
    let (rows, layout) = image.finish().unwrap();
    std::fs::write(&snapshot, [&layout.head()[..], &rows].concat()).unwrap();
    let root = folder.join("data");
    let cluster = "m1=http://a:1,m2=http://b:1,m3=http://c:1";
    let restored = RestoreOptions {
        data_dir: DataDir::new(&root, wal),
        name: "m2".to_owned(),
        initial_cluster: InitialCluster::parse(cluster).unwrap(),
        initial_cluster_token: "t".to_owned(),
        peer_urls: vec!["http://b:1".to_owned()],
        skip_hash_check: true,
        bump_revision: None,
    };
    restore(&snapshot, &restored).unwrap();
    let places = Places::with_wal_dir(&root, wal);
    for segment in OsDisk.list(&places.data_dir().wal()).unwrap() {
        // Prepared space would only make the test slow.
        OsDisk.open(&segment).unwrap().set_len(1 << 16).unwrap();
    }
    places
}

/// Names, contents and times of all files below.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in OsDisk.list(&next).unwrap() {
            if path.is_dir() {
                folders.push(path);
            } else {
                let about =
                    (std::fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), about);
            }
        }
    }
    all
}

/// What etcd left, log and all.
pub(super) type Original = Vec<BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)>>;

pub(super) fn original(member: &Path, wal: Option<&Path>) -> Original {
    [Some(member), wal].into_iter().flatten().map(tree).collect()
}

fn check_taken_over(places: &Places, was: &Original) -> String {
    let kept = OsDisk.list(&places.root).unwrap();
    let kept: Vec<_> =
        kept.iter().filter(|path| super::is_kept_original(path.file_name().unwrap())).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let stamp = kept[0].to_string_lossy().rsplit_once(".etcd-").unwrap().1.to_owned();
    let wal = places.kept_wal(&stamp);
    assert_eq!(original(kept[0], wal.as_deref()), *was, "the original is kept as it was");
    assert!(!places.is_begun() && !places.is_etcds());
    let state = places.member().join("snap").join("state");
    let backend = Backend::open(&state, options(Arc::new(OsDisk))).unwrap();
    let mark = backend.applied_at_open().unwrap();
    assert_eq!((mark.index, mark.term), (3, 1));
    let membership = backend.get(Keyspace::Meta, b"quorate_membership").unwrap().unwrap();
    let membership = StoredMembership::decode(membership).unwrap().membership;
    assert_eq!(membership.voters().count(), 3);
    assert_eq!(&backend.get(Keyspace::AuthUsers, b"root").unwrap().unwrap()[..], b"\x0a\x04root");
    let mut rows = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    backend.scan(Keyspace::Key, &[], None, &mut count).unwrap();
    backend.scan(Keyspace::Members, &[], None, &mut count).unwrap();
    assert_eq!(rows, 1 + 3);
    backend.close().unwrap();
    stamp
}

/// Puts the original back, as the guide tells operators to.
fn go_back(places: &Places, stamp: &str) {
    std::fs::remove_dir_all(places.member()).unwrap();
    std::fs::rename(places.kept_member(stamp), places.member()).unwrap();
    if let (Some(wal), Some(kept)) = (places.separate_wal(), places.kept_wal(stamp)) {
        std::fs::remove_dir_all(wal).unwrap();
        std::fs::rename(kept, wal).unwrap();
    }
}

/// Breaks the take-over off after every number of operations, and takes over again.
fn break_off_everywhere(end: End, wal_is_separate: bool) {
    // Some hundred take-overs: in memory, where there is room, since nothing here asks whether a sync was honest.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let wal = wal_is_separate.then(|| folder.path().join("log"));
    let places = etcds_directory(folder.path(), wal.as_deref());
    let was = original(&places.member(), wal.as_deref());
    let mut broken_off = 0;
    for operations in 0.. {
        let left = Arc::new(AtomicI64::new(operations));
        let outcome = settle(&places, &options(Arc::new(EndingDisk { left, end })));
        if let Err(error) = &outcome {
            broken_off += 1;
            let is_decided = matches!(Origin::read(&places), Ok(Some(_)))
                || !places.member().join("snap").join("db").exists();
            if !is_decided {
                assert_eq!(original(&places.member(), wal.as_deref()), was, "after {operations}");
                assert!(end == End::Dead || !places.is_begun(), "left behind: {error}");
            }
        }
        settle(&places, &options(Arc::new(OsDisk))).unwrap();
        let stamp = check_taken_over(&places, &was);
        go_back(&places, &stamp);
        if outcome.is_ok() {
            break;
        }
    }
    assert!(broken_off > 15, "only {broken_off} steps");
}

/// kill -9 at every step.
#[test]
fn a_killed_take_over_changes_nothing() {
    break_off_everywhere(End::Dead, false);
}

/// The same with a log that is kept elsewhere: two directories are moved.
#[test]
fn a_killed_take_over_with_its_own_log_dir() {
    break_off_everywhere(End::Dead, true);
}

/// A disk that fills up at every step.
#[test]
fn a_full_disk_changes_nothing() {
    break_off_everywhere(End::Full, false);
}

/// Whoever starts etcd again on what a broken-off take-over has read must not lose what etcd then writes.
#[test]
fn a_decision_is_void_when_etcd_has_run_since() {
    let folder = tempfile::tempdir().unwrap();
    let places = etcds_directory(folder.path(), None);
    let origin =
        super::build::build(&places, &options(Arc::new(OsDisk)), "then".to_owned()).unwrap();
    assert!(origin.fits(&places).unwrap());
    let segment = OsDisk.list(&places.data_dir().wal()).unwrap().remove(0);
    OsDisk.open(&segment).unwrap().write_all_at(&[0], 1 << 16).unwrap();
    assert!(!origin.fits(&places).unwrap());
    let was = original(&places.member(), None);
    settle(&places, &options(Arc::new(OsDisk))).unwrap();
    assert_ne!(check_taken_over(&places, &was), "then");
}

/// A running etcd holds its database's lock, and its directory is left alone.
#[test]
fn a_running_etcd_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let places = etcds_directory(folder.path(), None);
    let was = original(&places.member(), None);
    let _running = places.data_dir().lock().unwrap().unwrap();
    let error = settle(&places, &options(Arc::new(OsDisk))).unwrap_err();
    assert!(error.to_string().contains("running etcd"), "{error}");
    assert_eq!(original(&places.member(), None), was);
    assert!(!places.is_begun());
}

/// A log inside `member` stays inside under whatever name `--wal-dir` calls it: what is kept and what goes on both have one.
#[test]
fn a_log_inside_member_has_many_names() {
    for (place, name) in [
        ("member/wal", "data/../data/./member/wal"),
        ("member/wal", "link/member/wal"),
        ("member/wal", "link-to-log"),
        ("member/log/deep", "data/member/log/deep"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        etcds_directory(folder.path(), Some(&root.join(place)));
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(root.join(place), folder.path().join("link-to-log")).unwrap();
        let wal_dir = folder.path().join(name);
        let places = Places::with_wal_dir(&root, Some(&wal_dir));
        let was = original(&places.member(), None);
        let n_segments = OsDisk.list(&wal_dir).unwrap().len();
        settle(&places, &options(Arc::new(OsDisk))).unwrap();
        check_taken_over(&places, &was);
        assert_eq!(OsDisk.list(&wal_dir).unwrap().len(), n_segments, "{name}");
        let again = Places::with_wal_dir(&root, Some(&wal_dir));
        assert_eq!(
            (again.log, again.root),
            (places.log, root),
            "{name}: seen alike by the next start"
        );
    }
}

/// What a move of directories cannot replace is refused before anything is done: files of the log among others'.
#[test]
fn a_log_among_other_files_is_refused() {
    for name in ["data", "data/member", "data/member/snap", "."] {
        let folder = tempfile::tempdir().unwrap();
        etcds_directory(folder.path(), None);
        let (root, wal_dir) = (folder.path().join("data"), folder.path().join(name));
        for segment in OsDisk.list(&root.join("member/wal")).unwrap() {
            std::fs::rename(&segment, wal_dir.join(segment.file_name().unwrap())).unwrap();
        }
        let places = Places::with_wal_dir(&root, Some(&wal_dir));
        let was = original(&root, None);
        let error = settle(&places, &options(Arc::new(OsDisk))).unwrap_err();
        assert!(error.to_string().contains("not in a directory of its own"), "{name}: {error}");
        assert_eq!(original(&root, None), was, "{name}");
    }
}
