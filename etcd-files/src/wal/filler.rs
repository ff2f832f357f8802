//! The helper thread of the writer: makes the next segment ahead of time and fills space with zeros ahead of the
//! writer, because a sync of bytes over allocated zeros costs half of one that must allocate. It works through file
//! handles of its own: an error of its syncs must not hide one from the writer's. It never decides where records go.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::disk::{Disk, File};

/// Zeros written per lock of the file: short enough that the writer never notices.
const STEP: usize = 128 << 10;
/// Zeros written per sync: what one of the writer's syncs may have to flush beside its own bytes.
const SYNC_EVERY: u64 = 1 << 20;
/// How far ahead of the writer zeros reach.
pub(super) const FILL_AHEAD: u64 = 8 << 20;
/// Jobs that may wait; a job that finds no room is asked for again at the next write.
const JOBS_MAX: usize = 4;

static ZEROS: [u8; STEP] = [0; STEP];

/// End of the writer's bytes in a segment. Whoever writes to the file holds the lock while doing so.
pub(super) type WriteEnd = Arc<Mutex<u64>>;

enum Job {
    Fill { path: PathBuf, from: u64, to: u64, write_end: WriteEnd },
    Prepare { path: PathBuf, bytes: u64 },
}

/// A segment made ahead: allocated, its beginning zero-filled, under a temporary name.
pub(super) struct Prepared {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) filled: u64,
}

/// Handle of the thread; dropping it stops the thread and removes what was made ahead.
#[derive(Debug)]
pub(super) struct Filler {
    jobs: Option<SyncSender<Job>>,
    prepared: Receiver<Option<Prepared>>,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// Starts the thread; `None` where the system has no thread to give (the writer then does without).
    pub(super) fn start(disk: Arc<dyn Disk>) -> Option<Filler> {
        let (jobs, inbox) = sync_channel(JOBS_MAX);
        let (outbox, prepared) = sync_channel(JOBS_MAX);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let stop = is_stopping.clone();
        let run = move || work(disk.as_ref(), &inbox, &outbox, &stop);
        let thread = std::thread::Builder::new().name("wal-filler".to_owned()).spawn(run).ok()?;
        Some(Filler { jobs: Some(jobs), prepared, is_stopping, thread: Some(thread) })
    }

    /// Asks for zeros in `from..to`; true where the job was taken.
    pub(super) fn fill(&self, path: &Path, from: u64, to: u64, write_end: &WriteEnd) -> bool {
        let write_end = write_end.clone();
        self.send(Job::Fill { path: path.to_owned(), from, to, write_end })
    }

    /// Asks for a segment of `bytes` under the temporary name `path`; true where the job was taken.
    pub(super) fn prepare(&self, path: PathBuf, bytes: u64) -> bool {
        self.send(Job::Prepare { path, bytes })
    }

    /// Waits for the segment asked for by [`Filler::prepare`]; `None` where it could not be made.
    pub(super) fn take(&self) -> Option<Prepared> {
        self.prepared.recv().ok().flatten()
    }

    fn send(&self, job: Job) -> bool {
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by its own hook; there is nothing to clean up after it.
            let _ = thread.join();
        }
    }
}

fn work(
    disk: &dyn Disk,
    inbox: &Receiver<Job>,
    outbox: &SyncSender<Option<Prepared>>,
    is_stopping: &AtomicBool,
) {
    let mut made = None;
    while let Ok(job) = inbox.recv() {
        match job {
            Job::Fill { path, from, to, write_end } => {
                // Filling is a convenience: where it fails the writer meets the same error and reports it.
                if let Ok(file) = disk.open(&path) {
                    let _ = zero(file.as_ref(), from, to, &write_end, is_stopping);
                }
            }
            Job::Prepare { path, bytes } => {
                let prepared = prepare(disk, &path, bytes, is_stopping).ok();
                made = Some(path);
                if outbox.try_send(prepared).is_err() {
                    break;
                }
            }
        }
    }
    // The writer renames the file when it takes it, so this removes only one that was never used.
    if let Some(path) = made {
        let _ = disk.remove_file(&path);
    }
}

/// Makes a segment of `bytes` under a temporary name with its beginning filled.
fn prepare(
    disk: &dyn Disk,
    path: &Path,
    bytes: u64,
    is_stopping: &AtomicBool,
) -> std::io::Result<Prepared> {
    if disk.exists(path) {
        disk.remove_file(path)?;
    }
    let file = disk.create(path)?;
    file.set_len(bytes)?;
    let filled = bytes.min(FILL_AHEAD);
    zero(file.as_ref(), 0, filled, &WriteEnd::default(), is_stopping)?;
    file.sync_data()?;
    Ok(Prepared { path: path.to_owned(), file, filled })
}

fn zero(
    file: &dyn File,
    from: u64,
    to: u64,
    write_end: &Mutex<u64>,
    is_stopping: &AtomicBool,
) -> std::io::Result<()> {
    let mut at = from;
    let mut unsynced = 0;
    while at < to && !is_stopping.load(Ordering::Relaxed) {
        let end = write_end.lock().unwrap_or_else(PoisonError::into_inner);
        // The writer may have come past: never write over its bytes.
        at = at.max(*end);
        let step = to.saturating_sub(at).min(STEP as u64);
        if step == 0 {
            break;
        }
        file.write_all_at(&ZEROS[..step as usize], at)?;
        drop(end);
        at += step;
        unsynced += step;
        if unsynced >= SYNC_EVERY {
            unsynced = 0;
            file.sync_data()?;
        }
    }
    if unsynced > 0 { file.sync_data() } else { Ok(()) }
}
