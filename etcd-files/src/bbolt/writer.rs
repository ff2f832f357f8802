//! Writes a bbolt file from sorted buckets and rows, front to back, in little memory.
//!
//! Pages 0 and 1 say how large everything behind them is, so they come last here: the sink gets the pages from 2 on in
//! order, and [`Layout`] has the two first pages once the last row is in. For a file that means one write at offset 0
//! ([`write_file`]). A caller that must send pages 0 and 1 first over a wire either writes a temporary file, or runs the
//! same rows twice: first into [`std::io::sink`] for the layout, which the rows alone determine, then for good.

use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use super::page::{BUCKET_HEADER, ELEMENT_BUCKET, Meta, NO_FREELIST, PAGE_SIZE};
use super::tree::{Pager, Tree, TreeRoot};
use crate::error::{Error, Result};

/// Longest key of bbolt.
const KEY_MAX: usize = 32_768;
/// Longest value of bbolt.
const VALUE_MAX: usize = (1 << 31) - 2;
/// Transaction id of page 0; page 1 holds the one before, as in etcd's own snapshots.
const TRANSACTION_ID: u64 = 2;

/// Size and root of a finished image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    meta: Meta,
}

impl Layout {
    /// Bytes of pages 0 and 1 together.
    pub const HEAD_BYTES: u64 = 2 * PAGE_SIZE as u64;

    /// Bytes of the whole image, pages 0 and 1 included.
    pub fn size(&self) -> u64 {
        self.meta.high_water * PAGE_SIZE as u64
    }

    /// Pages 0 and 1.
    pub fn head(&self) -> Vec<u8> {
        let mut head = self.meta.encode(0);
        let before = Meta { transaction_id: self.meta.transaction_id - 1, ..self.meta };
        head.extend_from_slice(&before.encode(1));
        head
    }
}

/// Takes buckets in the order of their names and rows in the order of their keys.
#[derive(Debug)]
pub struct ImageWriter<W> {
    pager: Pager<W>,
    root: Tree,
    open: Option<OpenBucket>,
    last_name: Option<Vec<u8>>,
}

#[derive(Debug)]
struct OpenBucket {
    name: Vec<u8>,
    tree: Tree,
    last_key: Vec<u8>,
}

impl<W: Write> ImageWriter<W> {
    /// Starts an image whose pages from 2 on go to `sink`. Every page is one write: give a buffered sink.
    pub fn new(sink: W) -> ImageWriter<W> {
        ImageWriter { pager: Pager::new(sink), root: Tree::new(), open: None, last_name: None }
    }

    /// Begins the next bucket; it may stay empty. Names must ascend.
    pub fn begin_bucket(&mut self, name: &str) -> io::Result<()> {
        self.end_bucket()?;
        let name = name.as_bytes().to_vec();
        if self.last_name.as_ref().is_some_and(|last| *last >= name) {
            return Err(invalid("buckets out of order"));
        }
        self.last_name = Some(name.clone());
        self.open = Some(OpenBucket { name, tree: Tree::new(), last_key: Vec::new() });
        Ok(())
    }

    /// Adds a row to the bucket begun last. Keys must ascend and not be empty.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let Some(bucket) = &mut self.open else { return Err(invalid("a row before any bucket")) };
        if key <= &bucket.last_key[..] {
            return Err(invalid("keys out of order, or an empty key"));
        }
        if key.len() > KEY_MAX || value.len() > VALUE_MAX {
            return Err(invalid("a key or value longer than bbolt allows"));
        }
        bucket.tree.push(&mut self.pager, 0, key, value)?;
        bucket.last_key.clear();
        bucket.last_key.extend_from_slice(key);
        Ok(())
    }

    /// Ends the image: gives the sink back, with all pages from 2 on in it, and the layout.
    pub fn finish(mut self) -> io::Result<(W, Layout)> {
        self.end_bucket()?;
        let TreeRoot::Page(root) = self.root.finish(&mut self.pager, false)? else {
            return Err(invalid("the root bucket cannot be inline"));
        };
        let meta = Meta {
            page_size: PAGE_SIZE as u32,
            root,
            sequence: 0,
            freelist: NO_FREELIST,
            high_water: self.pager.next_id,
            transaction_id: TRANSACTION_ID,
        };
        Ok((self.pager.sink, Layout { meta }))
    }

    fn end_bucket(&mut self) -> io::Result<()> {
        let Some(bucket) = self.open.take() else { return Ok(()) };
        let mut value = Vec::with_capacity(BUCKET_HEADER);
        let root = bucket.tree.finish(&mut self.pager, true)?;
        let (id, inline) = match root {
            TreeRoot::Page(id) => (id, Vec::new()),
            TreeRoot::Inline(page) => (0, page),
        };
        value.extend_from_slice(&id.to_le_bytes());
        value.extend_from_slice(&0u64.to_le_bytes());
        value.extend_from_slice(&inline);
        self.root.push(&mut self.pager, ELEMENT_BUCKET, &bucket.name, &value)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Writes a whole database into `file` from offset 0: `fill` pushes buckets and rows. The file is left positioned at
/// its end and is not synced. `path` is for messages.
pub fn write_file<F: Write + Seek>(
    file: F,
    path: &Path,
    fill: impl FnOnce(&mut ImageWriter<BufWriter<F>>) -> Result<()>,
) -> Result<Layout> {
    let mut sink = BufWriter::with_capacity(1 << 20, file);
    let failed = || Error::io("write", path);
    sink.seek(SeekFrom::Start(Layout::HEAD_BYTES)).map_err(failed())?;
    let mut image = ImageWriter::new(sink);
    fill(&mut image)?;
    let (mut sink, layout) = image.finish().map_err(failed())?;
    sink.seek(SeekFrom::Start(0)).map_err(failed())?;
    sink.write_all(&layout.head()).map_err(failed())?;
    sink.seek(SeekFrom::Start(layout.size())).map_err(failed())?;
    sink.flush().map_err(failed())?;
    Ok(layout)
}
