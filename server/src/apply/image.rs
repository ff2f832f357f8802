//! The state as a bbolt file and back: what a client saves, a lagging follower is sent, and a restored directory holds.
//!
//! Rows go through unchanged. Quorate's private rows stay out, so that etcd finds nothing it did not write.

use crate::raft::{AppliedState, Fatal};
use crate::storage::{AppliedMark, Backend, Keyspace, PRIVATE_META_PREFIX, View};
use quorate_etcd_files::bbolt::{Database, ImageWriter, Layout};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::member::MEMBERSHIP_ROW;

/// Bytes gathered before they are handed on.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// A bbolt image of a view. Its size is known before the first byte is written, because the rows alone determine it:
/// they are run through once for the size and a second time for the bytes.
pub struct Image {
    view: Arc<dyn View>,
    layout: Layout,
}

impl Image {
    /// Measures the image of a view.
    ///
    /// # Errors
    /// The view cannot be read.
    pub fn new(view: Arc<dyn View>) -> io::Result<Image> {
        let (_, layout) = push_rows(view.as_ref(), ImageWriter::new(io::sink()))?.finish()?;
        Ok(Image { view, layout })
    }

    /// Bytes of the whole image.
    pub fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Writes the image, front to back.
    ///
    /// # Errors
    /// The view cannot be read, or `out` takes no more.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(WRITE_BUFFER_BYTES, out);
        out.write_all(&self.layout.head())?;
        let (mut out, layout) = push_rows(self.view.as_ref(), ImageWriter::new(out))?.finish()?;
        debug_assert_eq!(layout, self.layout);
        out.flush()
    }
}

fn push_rows<W: Write>(view: &dyn View, mut image: ImageWriter<W>) -> io::Result<ImageWriter<W>> {
    for keyspace in Keyspace::ALL {
        image.begin_bucket(keyspace.name())?;
        let mut failed = Ok(());
        let mut visit = |key: &[u8], value: &[u8]| {
            if keyspace == Keyspace::Meta && key.starts_with(PRIVATE_META_PREFIX) {
                return ControlFlow::Continue(());
            }
            match image.push(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Err(error);
                    ControlFlow::Break(())
                }
            }
        };
        view.scan(keyspace, &[], None, &mut visit).map_err(io::Error::other)?;
        failed?;
    }
    Ok(image)
}

/// Replaces the state by the rows of a bbolt file.
///
/// # Errors
/// The file is damaged or the state cannot be written; then the old state is untouched.
pub(super) fn install(backend: &Backend, state: &AppliedState, file: &Path) -> Result<(), Fatal> {
    let membership =
        (!state.membership.membership.members.is_empty()).then(|| state.membership.encode());
    replace(backend, file, membership, |_| Ok(state.mark.clone()))?;
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "a received snapshot stays behind; remove it");
        }
        _ => {}
    }
    Ok(())
}

/// Fills an empty state from `member/snap/db` of a restored directory: its own marks tell how far it is applied.
///
/// # Errors
/// The file is damaged or the state cannot be written.
pub fn import(backend: &Backend, file: &Path) -> Result<AppliedMark, Fatal> {
    replace(backend, file, None, |database| {
        let bucket = database.bucket(Keyspace::Meta.name()).map_err(Fatal::new)?;
        let number = |key: &[u8]| -> Result<u64, Fatal> {
            let row = match &bucket {
                Some(bucket) => bucket.get(key).map_err(Fatal::new)?,
                None => None,
            };
            let bytes = row.as_deref().and_then(|row| <[u8; 8]>::try_from(row).ok());
            Ok(bytes.map_or(0, u64::from_be_bytes))
        };
        let (index, term) = (number(b"consistent_index")?, number(b"term")?);
        Ok(AppliedMark { term, index, leader_member_id: 0 })
    })
}

fn replace(
    backend: &Backend,
    file: &Path,
    membership: Option<bytes::Bytes>,
    mark: impl FnOnce(&Database) -> Result<AppliedMark, Fatal>,
) -> Result<AppliedMark, Fatal> {
    let database = Database::open(file).map_err(Fatal::new)?;
    let mut replacement = backend.begin_replacement().map_err(Fatal::new)?;
    let mark = mark(&database)?;
    let mut membership = membership;
    for keyspace in Keyspace::ALL {
        let Some(bucket) = database.bucket(keyspace.name()).map_err(Fatal::new)? else { continue };
        for row in bucket.rows().map_err(Fatal::new)? {
            let (key, value) = row.map_err(Fatal::new)?;
            if keyspace == Keyspace::Meta && is_own_mark(&key) {
                continue;
            }
            if keyspace == Keyspace::Meta
                && key.as_ref() > MEMBERSHIP_ROW
                && let Some(bytes) = membership.take()
            {
                replacement.put(Keyspace::Meta, MEMBERSHIP_ROW, bytes).map_err(Fatal::new)?;
            }
            replacement.put(keyspace, key, value).map_err(Fatal::new)?;
        }
        if keyspace == Keyspace::Meta
            && let Some(bytes) = membership.take()
        {
            replacement.put(Keyspace::Meta, MEMBERSHIP_ROW, bytes).map_err(Fatal::new)?;
        }
    }
    replacement.install(mark.clone()).map_err(Fatal::new)?;
    Ok(mark)
}

/// Rows that the backend writes itself from the mark.
fn is_own_mark(key: &[u8]) -> bool {
    key == b"consistent_index" || key == b"term" || key.starts_with(PRIVATE_META_PREFIX)
}
