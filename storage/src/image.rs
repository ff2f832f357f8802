//! A view of the state as a bbolt file: what a client saves, a lagging follower is sent, and an export holds.
//!
//! Rows go through unchanged. Quorate's private rows stay out, so that etcd finds nothing it did not write.

use super::{Keyspace, PRIVATE_META_PREFIX, View};
use quorate_etcd_files::bbolt::{ImageWriter, Layout};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

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
