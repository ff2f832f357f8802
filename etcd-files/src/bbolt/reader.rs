//! Reads a bbolt file page by page: constant memory, no map of the file, no trust in what it says.
//!
//! Everything read is checked where it is used: page types, bounds, ascending keys, depth. So a damaged file ends in
//! an error that names the page's offset, never in a panic or an endless walk. The check of the whole is `check`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::page::{BUCKET_HEADER, Meta, NO_MAGIC, Page, u32_at, u64_at};
use crate::disk::{Disk, File, OsDisk};
use crate::error::{Error, Result};

/// A key and its value.
pub type Row = (Bytes, Bytes);

/// Deepest tree that is believed; four levels hold billions of rows.
pub(super) const DEPTH_MAX: usize = 32;
/// Longest page with its overflow that is read.
const PAGE_RUN_MAX: u64 = 1 << 30;
/// Page sizes that are tried for the second meta, as bbolt does: 1 KiB to 16 MiB.
const PAGE_SIZE_SHIFTS: u32 = 15;

/// An open database at one transaction. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    file: Arc<dyn File>,
    path: Arc<Path>,
    pub(super) meta: Meta,
}

impl Database {
    /// Opens a database file, read-only. Takes no lock: only for files that no process writes to.
    pub fn open(path: &Path) -> Result<Database> {
        let file = OsDisk.open_read(path).map_err(Error::io("open", path))?;
        let length = file.len().map_err(Error::io("measure", path))?;
        Database::from_file(file, path, length)
    }

    /// Reads the first `length` bytes of an open file as a database; `path` is for messages.
    pub fn from_file(file: Arc<dyn File>, path: &Path, length: u64) -> Result<Database> {
        let meta = find_meta(file.as_ref(), path, length)?;
        let size = meta.high_water.checked_mul(u64::from(meta.page_size));
        if size.is_none_or(|size| size > length) {
            let what = format!(
                "the database has {} pages of {} bytes, the file only {length} bytes",
                meta.high_water, meta.page_size
            );
            return Err(Error::damaged(path, length, what));
        }
        Ok(Database { file, path: path.into(), meta })
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        u64::from(self.meta.page_size)
    }

    /// Bytes of the database as bbolt counts them: high-water mark times page size. The file may be longer.
    pub fn size(&self) -> u64 {
        self.meta.high_water * self.page_size()
    }

    /// Number of the transaction that wrote the state being read.
    pub fn transaction_id(&self) -> u64 {
        self.meta.transaction_id
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The top-level buckets in the order of their names.
    pub fn buckets(&self) -> Result<Vec<(Bytes, Bucket)>> {
        let mut elements = Elements::new(self.clone(), self.root(), None)?;
        let mut buckets = Vec::new();
        while let Some(element) = elements.next()? {
            let name = element.key();
            buckets.push((name, self.bucket_of(&element)?));
        }
        Ok(buckets)
    }

    /// The top-level bucket of this name.
    pub fn bucket(&self, name: &str) -> Result<Option<Bucket>> {
        let mut elements = Elements::new(self.clone(), self.root(), Some(name.as_bytes()))?;
        match elements.next()? {
            Some(element) if element.key() == name.as_bytes() => self.bucket_of(&element).map(Some),
            _ => Ok(None),
        }
    }

    fn root(&self) -> Root {
        Root::Page(self.meta.root)
    }

    fn bucket_of(&self, element: &Element) -> Result<Bucket> {
        if !element.page.is_bucket(element.index) {
            return Err(self.damaged(element.page.id, "a row outside of any bucket"));
        }
        let root = self.bucket_root(&element.page, element.index)?;
        Ok(Bucket { database: self.clone(), root })
    }

    /// Where the tree of the bucket in a leaf element starts.
    pub(super) fn bucket_root(&self, page: &Page, index: usize) -> Result<Root> {
        let value = page.value(index);
        if value.len() < BUCKET_HEADER {
            return Err(self.damaged(page.id, "a bucket without its header"));
        }
        match u64_at(&value, 0) {
            0 => {
                let mut inline = Page::new(value.slice(BUCKET_HEADER..))
                    .map_err(|what| self.damaged(page.id, format!("inline bucket: {what}")))?;
                if !inline.is_leaf {
                    return Err(self.damaged(page.id, "an inline bucket that is not a leaf"));
                }
                // Its own id is 0: messages shall name the page that it is in.
                inline.id = page.id;
                Ok(Root::Inline(inline))
            }
            root => Ok(Root::Page(root)),
        }
    }

    /// Reads a branch or leaf page with its overflow.
    pub(super) fn page(&self, id: u64) -> Result<Page> {
        let bytes = self.page_bytes(id)?;
        Page::new(bytes).map_err(|what| self.damaged(id, what))
    }

    /// Reads a page of any kind with its overflow.
    pub(super) fn page_bytes(&self, id: u64) -> Result<Bytes> {
        let page_size = self.page_size();
        if id < 2 || id >= self.meta.high_water {
            return Err(self.damaged(
                id.min(self.meta.high_water),
                format!("page id {id} is not one of the database's"),
            ));
        }
        let read = |length: u64| {
            let mut bytes = vec![0; length as usize];
            let read = self.file.read_exact_at(&mut bytes, id * page_size);
            read.map_err(Error::io("read", &self.path)).map(|()| bytes)
        };
        let first = read(page_size)?;
        let found = u64_at(&first, 0);
        if found != id {
            return Err(self.damaged(id, format!("page {id} says that it is page {found}")));
        }
        let pages = u64::from(u32_at(&first, 12)) + 1;
        if pages == 1 {
            return Ok(Bytes::from(first));
        }
        if pages > self.meta.high_water - id || pages * page_size > PAGE_RUN_MAX {
            return Err(self.damaged(id, format!("page {id} claims to go on for {pages} pages")));
        }
        read(pages * page_size).map(Bytes::from)
    }

    pub(super) fn damaged(&self, page: u64, what: impl Into<String>) -> Error {
        Error::damaged(&self.path, page.saturating_mul(self.page_size()), what)
    }
}

/// Finds the newest valid meta, and with it the page size.
fn find_meta(file: &dyn File, path: &Path, length: u64) -> Result<Meta> {
    let read = |offset: u64| {
        let mut bytes = [0; Meta::PREFIX];
        if offset + Meta::PREFIX as u64 > length {
            return Ok(Err("too short for a meta page"));
        }
        file.read_exact_at(&mut bytes, offset).map_err(Error::io("read", path))?;
        Ok(Meta::decode(&bytes))
    };
    let first = read(0)?;
    let second = match first {
        Ok(meta) => read(u64::from(meta.page_size))?,
        Err(_) => {
            let mut found = Err("no second meta page");
            for shift in 0..PAGE_SIZE_SHIFTS {
                let offset = 1024 << shift;
                match read(offset)? {
                    Ok(meta) if u64::from(meta.page_size) == offset => found = Ok(meta),
                    _ => {}
                }
            }
            found
        }
    };
    let newest = [first, second].into_iter().flatten().max_by_key(|meta| meta.transaction_id);
    match newest {
        Some(meta) if meta.page_size >= 1024 && meta.page_size.is_power_of_two() => Ok(meta),
        Some(_) => Err(Error::damaged(path, 0, "an impossible page size")),
        None => match first.err() {
            Some(NO_MAGIC) => Err(Error::unsupported(path, "not a bbolt database")),
            what => Err(Error::damaged(path, 0, what.unwrap_or("no valid meta page"))),
        },
    }
}

/// Where a bucket's tree starts.
#[derive(Clone, Debug)]
pub(super) enum Root {
    Page(u64),
    Inline(Page),
}

/// A top-level bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    database: Database,
    root: Root,
}

impl Bucket {
    /// All rows in the order of their keys.
    pub fn rows(&self) -> Result<Rows> {
        Rows::new(self, None)
    }

    /// The rows whose key is not below `key`, in order.
    pub fn rows_from(&self, key: &[u8]) -> Result<Rows> {
        Rows::new(self, Some(key))
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let row = self.rows_from(key)?.next().transpose()?;
        Ok(row.filter(|(found, _)| found == key).map(|(_, value)| value))
    }

    /// The row with the lowest key.
    pub fn first(&self) -> Result<Option<Row>> {
        self.rows()?.next().transpose()
    }

    /// The row with the highest key.
    pub fn last(&self) -> Result<Option<Row>> {
        let mut page = match &self.root {
            Root::Inline(page) => page.clone(),
            Root::Page(id) => self.database.page(*id)?,
        };
        for _ in 0..DEPTH_MAX {
            let Some(last) = page.count.checked_sub(1) else { return Ok(None) };
            if page.is_leaf {
                return Ok(Some((page.key(last), page.value(last))));
            }
            page = self.database.page(page.child(last))?;
        }
        Err(self.database.damaged(page.id, "the tree is too deep"))
    }
}

/// Rows of a bucket in order. After an error it ends.
#[derive(Debug)]
pub struct Rows(Elements);

impl Rows {
    fn new(bucket: &Bucket, from: Option<&[u8]>) -> Result<Rows> {
        Elements::new(bucket.database.clone(), bucket.root.clone(), from).map(Rows)
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let element = match self.0.next().transpose()? {
            Ok(element) => element,
            Err(error) => return Some(Err(error)),
        };
        if element.page.is_bucket(element.index) {
            let what = "a bucket within a bucket, which etcd never makes";
            return Some(Err(self.0.fail(element.page.id, what)));
        }
        Some(Ok((element.key(), element.page.value(element.index))))
    }
}

/// One element of a leaf.
#[derive(Debug)]
struct Element {
    page: Page,
    index: usize,
}

impl Element {
    fn key(&self) -> Bytes {
        self.page.key(self.index)
    }
}

/// The leaf elements of one tree in order. Holds one page per level.
#[derive(Debug)]
struct Elements {
    database: Database,
    /// Pages from the root down with the index of the next element of each.
    stack: Vec<(Page, usize)>,
    last_key: Option<Bytes>,
}

impl Elements {
    fn new(database: Database, root: Root, from: Option<&[u8]>) -> Result<Elements> {
        let root = match root {
            Root::Inline(page) => page,
            Root::Page(id) => database.page(id)?,
        };
        let mut elements = Elements { database, stack: vec![(root, 0)], last_key: None };
        if let Some(key) = from {
            elements.seek(key)?;
        }
        Ok(elements)
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        loop {
            let (page, next) = self.stack.last_mut().expect("the root is on the stack");
            let up_to = page.count_up_to(key);
            if page.is_leaf {
                let is_equal = up_to > 0 && page.key_slice(up_to - 1) == key;
                *next = if is_equal { up_to - 1 } else { up_to };
                return Ok(());
            }
            let branch = up_to.saturating_sub(1);
            *next = branch + 1;
            if page.count == 0 {
                return Ok(());
            }
            let child = page.child(branch);
            self.descend(child)?;
        }
    }

    fn descend(&mut self, child: u64) -> Result<()> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.fail(child, "the tree is too deep"));
        }
        match self.database.page(child) {
            // Without this a tree of empty pages could be walked for ever.
            Ok(page) if page.count == 0 => Err(self.fail(child, "an empty page within a tree")),
            Ok(page) => {
                self.stack.push((page, 0));
                Ok(())
            }
            Err(error) => {
                self.stack.clear();
                Err(error)
            }
        }
    }

    fn fail(&mut self, page: u64, what: &str) -> Error {
        self.stack.clear();
        self.database.damaged(page, what)
    }

    fn next(&mut self) -> Result<Option<Element>> {
        while let Some((page, next)) = self.stack.last_mut() {
            if *next >= page.count {
                self.stack.pop();
                continue;
            }
            let index = *next;
            *next += 1;
            if !page.is_leaf {
                let child = page.child(index);
                self.descend(child)?;
                continue;
            }
            let element = Element { page: page.clone(), index };
            let key = element.key();
            // Ascending keys also bound the walk: a page that is reached twice cannot pass.
            if self.last_key.as_ref().is_some_and(|last| *last >= key) {
                return Err(self.fail(element.page.id, "keys out of order"));
            }
            self.last_key = Some(key);
            return Ok(Some(element));
        }
        Ok(None)
    }
}
