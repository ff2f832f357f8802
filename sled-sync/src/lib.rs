//! Makes sled 0.34.7 sync for real: the one unsafe symbol of the workspace; not a place for anything else.
//!
//! On Linux sled's `flush` ends in `sync_file_range`, which neither flushes the drive's cache nor makes a file's new
//! length durable, so a power loss takes what sled called stable. This crate defines a function of that name. The
//! linker prefers it to the C library's, so that sled's only call to it becomes `fdatasync`. Nothing but the linker
//! makes that so: whoever opens a sled database has to see [`n_syncs`] move during its first flush.

use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static N_SYNCS: AtomicU64 = AtomicU64::new(0);
static IS_SKIPPING: AtomicBool = AtomicBool::new(false);

/// How often sled has synced since the process began.
pub fn n_syncs() -> u64 {
    N_SYNCS.load(Ordering::SeqCst)
}

/// Makes every later sync of sled return at once and do nothing (`--unsafe-no-fsync`). There is no way back.
pub fn skip_syncs() {
    IS_SKIPPING.store(true, Ordering::SeqCst);
}

unsafe extern "C" {
    fn fdatasync(descriptor: c_int) -> c_int;
}

/// Takes the place of the C library's function of this name: syncs the whole file instead of asking for a range to be
/// written back. Answers and sets `errno` as `fdatasync(2)` does.
///
/// # Safety
/// As for the function it replaces: none of the arguments is dereferenced, any value is allowed, and a descriptor that
/// is not open gives `EBADF`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    descriptor: c_int,
    _offset: i64,
    _length: i64,
    _flags: c_uint,
) -> c_int {
    N_SYNCS.fetch_add(1, Ordering::SeqCst);
    if IS_SKIPPING.load(Ordering::SeqCst) {
        return 0;
    }
    // SAFETY: `fdatasync` takes a number and touches no memory of ours; a bad descriptor is an error it returns.
    unsafe { fdatasync(descriptor) }
}
