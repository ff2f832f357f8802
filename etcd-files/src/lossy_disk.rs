//! A disk in memory that loses what was not synced, fails, fills up and is slow, when a test says so. Not for production.
//!
//! It keeps two images of everything: the live one that readers see, and the durable one that a power loss leaves. File
//! bytes and lengths become durable by [`File::sync_data`], names by [`Disk::sync_dir`]; nothing else does. What no
//! sync covered may survive a power loss too, in pieces and out of order, as on a real disk:
//! [`PowerLoss::RandomBlocks`] tosses a coin for each block and keeps a random beginning of the directory changes.
//!
//! Long because the two images, the faults that act on them and the tests of both make sense only together.

use crate::disk::{Disk, File};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The unit in which unsynced bytes survive or are lost.
const BLOCK: usize = 4096;

/// What a power loss does to what no returned sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerLoss {
    /// All of it is lost.
    All,
    /// Each block survives or is lost by the toss of a coin; the seed repeats the tosses.
    RandomBlocks(u64),
}

/// See the module. Clones share one disk.
#[derive(Clone, Debug, Default)]
pub struct LossyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Inode>,
    next_inode: u64,
    live: Names,
    durable: Names,
    /// Changes of names that no sync of their directory covered, oldest first.
    unsynced: Vec<NameChange>,
    /// Grows with every power loss; handles from before it are dead.
    epoch: u64,
    faults: Faults,
    n_syncs: u64,
}

#[derive(Debug, Default)]
struct Faults {
    /// Writes and syncs that still succeed; `None` means all.
    operations_left: Option<u64>,
    is_failing: bool,
    capacity: Option<u64>,
    sync_delay: Duration,
    ignores_syncs: bool,
}

/// Files and directories by path.
#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, u64>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
    MakeDirectory(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

/// An open file of a [`LossyDisk`].
#[derive(Debug)]
struct LossyFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    epoch: u64,
}

impl LossyDisk {
    /// Cuts the power and brings the disk back: every open file is dead, and what no sync covered is lost as `loss`
    /// says. Injected faults end.
    pub fn power_loss(&self, loss: PowerLoss) {
        let mut state = self.lock();
        let mut coin = Coin::new(loss);
        let unsynced = std::mem::take(&mut state.unsynced);
        let n_kept = coin.below(unsynced.len() + 1);
        let mut names = state.durable.clone();
        for change in unsynced.iter().take(n_kept) {
            names.apply(change);
        }
        for inode in state.files.values_mut() {
            inode.lose(&mut coin);
        }
        let kept: BTreeSet<u64> = names.files.values().copied().collect();
        state.files.retain(|inode, _| kept.contains(inode));
        state.live = names.clone();
        state.durable = names;
        state.faults = Faults { ignores_syncs: state.faults.ignores_syncs, ..Faults::default() };
        state.epoch += 1;
    }

    /// Lets `n` more writes and syncs succeed, then fails every one, until [`LossyDisk::heal`].
    pub fn fail_after(&self, n: u64) {
        self.lock().faults.operations_left = Some(n);
    }

    /// Limits the sum of all file lengths, in bytes; past it writes answer that the disk is full.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().faults.capacity = Some(bytes);
    }

    /// Makes every sync take this long.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.lock().faults.sync_delay = delay;
    }

    /// Makes syncs return at once and do nothing: the control of every power-loss test, which must then fail.
    pub fn ignore_syncs(&self) {
        self.lock().faults.ignores_syncs = true;
    }

    /// Ends all injected faults.
    pub fn heal(&self) {
        self.lock().faults = Faults::default();
    }

    /// Number of syncs of files that have returned well.
    pub fn n_syncs(&self) -> u64 {
        self.lock().n_syncs
    }

    /// Flips one bit of a file, in the live and in the durable image.
    ///
    /// # Errors
    /// `NotFound` where there is no such byte.
    pub fn flip_bit(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.inode(path)?;
        let file = state.files.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        *file.live.get_mut(offset).ok_or(io::ErrorKind::NotFound)? ^= 1;
        if let Some(byte) = file.durable.get_mut(offset) {
            *byte ^= 1;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn handle(&self, state: &State, inode: u64) -> Arc<dyn File> {
        Arc::new(LossyFile { state: self.state.clone(), inode, epoch: state.epoch })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // A test that panicked elsewhere is the failure to report, not this lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.live.files.get(path).copied().ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()))
        })
    }

    /// Counts a write or sync, and fails it where a test said so.
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.faults.operations_left {
            Some(0) => self.faults.is_failing = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if self.faults.is_failing {
            return Err(io::Error::other("injected failure of the disk"));
        }
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        self.operate()?;
        self.live.apply(&change);
        self.unsynced.push(change);
        Ok(())
    }

    fn require_directory_of(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty()
            || parent == Path::new("/")
            || self.live.directories.contains(parent)
        {
            return Ok(());
        }
        let message = format!("no directory {}", parent.display());
        Err(io::Error::new(io::ErrorKind::NotFound, message))
    }

    fn make_room(&self, inode: u64, length: usize) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity else { return Ok(()) };
        let others = self.files.iter().filter(|(number, _)| **number != inode);
        let taken: usize = others.map(|(_, file)| file.live.len()).sum();
        if (taken + length) as u64 > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            NameChange::Unlink(path) => {
                self.files.remove(path);
            }
            NameChange::Rename(from, to) => self.rename(from, to),
            NameChange::MakeDirectory(path) => {
                self.directories.insert(path.clone());
            }
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| join(to, rest));
        let files = std::mem::take(&mut self.files);
        let (moving, staying): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(path, _)| path.starts_with(from));
        self.files = staying.into_iter().collect();
        self.files
            .extend(moving.into_iter().filter_map(|(path, inode)| Some((moved(&path)?, inode))));
        let directories = std::mem::take(&mut self.directories);
        self.directories =
            directories.into_iter().map(|path| moved(&path).unwrap_or(path)).collect();
    }
}

/// `Path::join` without the slash that an empty rest would leave.
fn join(to: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }
}

impl NameChange {
    /// True where a sync of `directory` makes the change durable.
    fn is_in(&self, directory: &Path) -> bool {
        let lies_in = |path: &Path| path.parent() == Some(directory);
        match self {
            NameChange::Link(path, _)
            | NameChange::Unlink(path)
            | NameChange::MakeDirectory(path) => lies_in(path),
            NameChange::Rename(from, to) => lies_in(from) || lies_in(to),
        }
    }
}

impl Inode {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / BLOCK..to.div_ceil(BLOCK));
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for block in std::mem::take(&mut self.dirty) {
            let range = block_range(block, self.live.len());
            self.durable[range.clone()].copy_from_slice(&self.live[range]);
        }
    }

    /// Leaves what a power loss leaves: the durable image, and of the rest what the coin spares.
    fn lose(&mut self, coin: &mut Coin) {
        let mut left = self.durable.clone();
        if coin.toss() {
            left.resize(self.live.len(), 0);
        }
        for block in std::mem::take(&mut self.dirty) {
            if coin.toss() {
                let range = block_range(block, left.len().min(self.live.len()));
                left[range.clone()].copy_from_slice(&self.live[range]);
            }
        }
        self.live = left.clone();
        self.durable = left;
    }
}

fn block_range(block: usize, length: usize) -> std::ops::Range<usize> {
    let start = (block * BLOCK).min(length);
    start..(start + BLOCK).min(length)
}

/// Decides what survives. Always "lost" for [`PowerLoss::All`].
struct Coin {
    seed: Option<u64>,
}

impl Coin {
    fn new(loss: PowerLoss) -> Coin {
        match loss {
            PowerLoss::All => Coin { seed: None },
            PowerLoss::RandomBlocks(seed) => Coin { seed: Some(seed) },
        }
    }

    /// SplitMix64: a few lines, and the same tosses for the same seed on every machine.
    fn next(&mut self) -> Option<u64> {
        let seed = self.seed.as_mut()?;
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some(mixed ^ (mixed >> 31))
    }

    fn toss(&mut self) -> bool {
        self.next().is_some_and(|number| number & 1 == 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next().map_or(0, |number| (number % limit as u64) as usize)
    }
}

impl LossyFile {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = lock(&self.state);
        if state.epoch != self.epoch {
            return Err(io::Error::other("the power was lost since this file was opened"));
        }
        // Unlinked files live on while they are open.
        state.files.entry(self.inode).or_default();
        act(&mut state, self.inode)
    }
}

fn file(state: &mut State, inode: u64) -> &mut Inode {
    state.files.entry(inode).or_default()
}

impl File for LossyFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = file(state, inode).live.get(start..start.saturating_add(buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.operate()?;
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let end = start + data.len();
            let old_length = file(state, inode).live.len();
            state.make_room(inode, end.max(old_length))?;
            let file = file(state, inode);
            if old_length < end {
                file.live.resize(end, 0);
            }
            file.live[start..end].copy_from_slice(data);
            file.touch(start.min(old_length), end);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let delay = self.with(|state, _| Ok(state.faults.sync_delay))?;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        self.with(|state, inode| {
            state.operate()?;
            if !state.faults.ignores_syncs {
                file(state, inode).sync();
            }
            state.n_syncs += 1;
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.operate()?;
            let length = usize::try_from(length).map_err(io::Error::other)?;
            state.make_room(inode, length)?;
            let file = file(state, inode);
            let old_length = file.live.len();
            file.live.resize(length, 0);
            file.touch(old_length.min(length), old_length.max(length));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state, inode| Ok(file(state, inode).live.len() as u64))
    }
}

impl Disk for LossyDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.lock();
        let inode = state.inode(path)?;
        Ok(self.handle(&state, inode))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        state.require_directory_of(path)?;
        if state.live.files.contains_key(path) || state.live.directories.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.change_name(NameChange::Link(path.to_owned(), inode))?;
        state.next_inode += 1;
        state.files.insert(inode, Inode::default());
        Ok(self.handle(&state, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if !state.live.directories.contains(from) {
            state.inode(from)?;
        }
        state.require_directory_of(to)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.inode(path)?;
        state.change_name(NameChange::Unlink(path.to_owned()))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let mut missing: Vec<_> = path
            .ancestors()
            .filter(|ancestor| !ancestor.as_os_str().is_empty())
            .take_while(|ancestor| !state.live.directories.contains(*ancestor))
            .map(Path::to_owned)
            .collect();
        missing.reverse();
        missing.into_iter().try_for_each(|path| state.change_name(NameChange::MakeDirectory(path)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        if !state.live.directories.contains(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = state.live.files.keys().chain(&state.live.directories);
        let inside: BTreeSet<_> = names.filter(|name| name.parent() == Some(path)).collect();
        Ok(inside.into_iter().cloned().collect())
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.lock();
        state.live.files.contains_key(path) || state.live.directories.contains(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        if state.faults.ignores_syncs {
            return Ok(());
        }
        // A journaling file system commits name changes in order: syncing one commits all before it.
        let Some(last) = state.unsynced.iter().rposition(|change| change.is_in(path)) else {
            return Ok(());
        };
        let committed: Vec<_> = state.unsynced.drain(..=last).collect();
        for change in &committed {
            state.durable.apply(change);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn disk_with_file(path: &Path) -> (LossyDisk, Arc<dyn File>) {
        let disk = LossyDisk::default();
        let file = disk.create(path).unwrap();
        (disk, file)
    }

    fn read(disk: &LossyDisk, path: &Path) -> Vec<u8> {
        let file = disk.open(path).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Bytes that a sync covered survive, later ones do not, and open files are dead.
    #[test]
    fn loses_what_was_not_synced() {
        let path = Path::new("/a");
        let (disk, file) = disk_with_file(path);
        file.write_all_at(b"kept", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(b"lost", 2).unwrap();
        assert_eq!(read(&disk, path), b"kelost");
        disk.power_loss(PowerLoss::All);
        assert_eq!(read(&disk, path), b"kept");
        assert!(file.sync_data().is_err());
    }

    /// A synced file whose name was never synced is gone.
    #[test]
    fn loses_names_that_were_not_synced() {
        let (disk, file) = disk_with_file(Path::new("/a"));
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        disk.power_loss(PowerLoss::All);
        assert!(!disk.exists(Path::new("/a")));
    }

    /// A rename that was not synced leaves the old file under the name.
    #[test]
    fn undoes_a_rename_that_was_not_synced() {
        let (disk, old) = disk_with_file(Path::new("/live"));
        old.write_all_at(b"old", 0).unwrap();
        old.sync_data().unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let new = disk.create(Path::new("/new")).unwrap();
        new.write_all_at(b"new", 0).unwrap();
        new.sync_data().unwrap();
        disk.rename(Path::new("/new"), Path::new("/live")).unwrap();
        assert_eq!(read(&disk, Path::new("/live")), b"new");
        disk.power_loss(PowerLoss::All);
        assert_eq!(read(&disk, Path::new("/live")), b"old");
    }

    /// Random losses keep some unsynced blocks and lose others, and the seed repeats them.
    #[test]
    fn random_losses_repeat_by_seed() {
        let outcome = |seed| {
            let path = Path::new("/a");
            let (disk, file) = disk_with_file(path);
            file.set_len(64 * BLOCK as u64).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir(Path::new("/")).unwrap();
            file.write_all_at(&[1; 64 * BLOCK], 0).unwrap();
            disk.power_loss(PowerLoss::RandomBlocks(seed));
            read(&disk, path)
        };
        let bytes = outcome(1);
        assert!(bytes.contains(&0) && bytes.contains(&1));
        assert_eq!(bytes, outcome(1));
        assert_ne!(bytes, outcome(2));
    }

    /// A full disk refuses to grow a file, and says so.
    #[test]
    fn fills_up() {
        let (disk, file) = disk_with_file(Path::new("/a"));
        disk.set_capacity(10);
        file.write_all_at(&[1; 10], 0).unwrap();
        let error = file.write_all_at(&[1; 1], 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    /// After the counted operations every write and sync fails until the disk is healed.
    #[test]
    fn fails_after_a_count() {
        let (disk, file) = disk_with_file(Path::new("/a"));
        disk.fail_after(1);
        file.write_all_at(b"x", 0).unwrap();
        assert!(file.sync_data().is_err());
        disk.heal();
        file.sync_data().unwrap();
    }
}
