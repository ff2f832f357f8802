//! The check of a whole file: every page below the high-water mark reached exactly once or free, keys ascending and
//! within their parent's interval, page types that fit. Same rules as bbolt's `Tx.Check`.

use bytes::Bytes;

use super::page::{FLAG_FREELIST, NO_FREELIST, PAGE_HEADER, Page, u16_at, u32_at, u64_at};
use super::reader::{DEPTH_MAX, Database, Root};
use crate::error::{Error, Result};

/// Findings that are kept; further ones are only counted.
const FINDINGS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Byte offset of the page.
    pub offset: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Outcome of [`Database::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The first hundred findings.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub count: u64,
}

impl Database {
    /// Walks the whole file. Damage ends up among the findings; an error means that the file could not be read.
    pub fn check(&self) -> Result<Check> {
        let mut walk = Walk {
            database: self,
            seen: vec![0; (self.meta.high_water / 64 + 1) as usize],
            check: Check::default(),
        };
        walk.mark(0, 2);
        walk.tree(Root::Page(self.meta.root), true)?;
        if self.meta.freelist != NO_FREELIST {
            walk.freelist(self.meta.freelist)?;
            for id in 0..self.meta.high_water {
                if !walk.is_seen(id) {
                    walk.find(id, format!("page {id} is neither used nor free"));
                }
            }
        }
        Ok(walk.check)
    }
}

/// A page yet to be walked, with the interval its keys must lie in.
struct Todo {
    root: Root,
    depth: usize,
    low: Option<Bytes>,
    high: Option<Bytes>,
}

struct Walk<'a> {
    database: &'a Database,
    /// One bit per page.
    seen: Vec<u64>,
    check: Check,
}

impl Walk<'_> {
    fn find(&mut self, page: u64, what: impl Into<String>) {
        self.check.count += 1;
        if self.check.findings.len() < FINDINGS_MAX {
            let offset = page.saturating_mul(self.database.page_size());
            self.check.findings.push(Finding { offset, what: what.into() });
        }
    }

    fn is_seen(&self, id: u64) -> bool {
        self.seen[(id / 64) as usize] >> (id % 64) & 1 == 1
    }

    /// Notes the pages as used; false where one of them already was.
    fn mark(&mut self, id: u64, count: u64) -> bool {
        let mut is_new = true;
        for page in id..(id + count).min(self.database.meta.high_water) {
            if self.is_seen(page) {
                is_new = false;
                self.find(page, format!("page {page} is used twice"));
            }
            self.seen[(page / 64) as usize] |= 1 << (page % 64);
        }
        is_new
    }

    /// Turns damage into a finding; passes on that the file could not be read.
    fn absorb<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Damaged { offset, what, .. }) => {
                self.find(offset / self.database.page_size(), what);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn tree(&mut self, root: Root, has_buckets: bool) -> Result<()> {
        let mut todo = vec![Todo { root, depth: 0, low: None, high: None }];
        while let Some(next) = todo.pop() {
            let page = match &next.root {
                Root::Inline(page) => page.clone(),
                Root::Page(id) => {
                    let bytes = self.database.page_bytes(*id);
                    let Some(bytes) = self.absorb(bytes)? else { continue };
                    if !self.mark(*id, u64::from(u32_at(&bytes, 12)) + 1) {
                        continue;
                    }
                    let page = Page::new(bytes).map_err(|what| self.database.damaged(*id, what));
                    let Some(page) = self.absorb(page)? else { continue };
                    page
                }
            };
            self.keys(&page, &next);
            if next.depth >= DEPTH_MAX {
                self.find(page.id, "the tree is too deep");
            } else if !page.is_leaf {
                children(&page, &next, &mut todo);
            } else {
                self.leaf(&page, has_buckets)?;
            }
        }
        Ok(())
    }

    fn keys(&mut self, page: &Page, todo: &Todo) {
        let mut last: Option<&[u8]> = None;
        for index in 0..page.count {
            let key = page.key_slice(index);
            if last.is_some_and(|last| last >= key) {
                self.find(page.id, format!("keys out of order at element {index}"));
            }
            let is_low = todo.low.as_ref().is_some_and(|low| key < &low[..]);
            if is_low || todo.high.as_ref().is_some_and(|high| key >= &high[..]) {
                self.find(page.id, format!("element {index} lies outside its parent's interval"));
            }
            last = Some(key);
        }
        if page.count == 0 && todo.depth > 0 {
            self.find(page.id, "an empty page within a tree");
        }
    }

    fn leaf(&mut self, page: &Page, has_buckets: bool) -> Result<()> {
        for index in 0..page.count {
            match (page.is_bucket(index), has_buckets) {
                (true, true) => {
                    let root = self.database.bucket_root(page, index);
                    if let Some(root) = self.absorb(root)? {
                        self.tree(root, false)?;
                    }
                }
                (false, false) => {}
                (true, false) => self.find(page.id, "a bucket within a bucket"),
                (false, true) => self.find(page.id, "a row outside of any bucket"),
            }
        }
        Ok(())
    }

    fn freelist(&mut self, id: u64) -> Result<()> {
        let bytes = self.database.page_bytes(id);
        let Some(bytes) = self.absorb(bytes)? else { return Ok(()) };
        self.mark(id, u64::from(u32_at(&bytes, 12)) + 1);
        if u16_at(&bytes, 8) != FLAG_FREELIST {
            self.find(id, "not a freelist page");
            return Ok(());
        }
        let (mut at, mut count) = (PAGE_HEADER, u64::from(u16_at(&bytes, 10)));
        if count == 0xFFFF {
            count = u64_at(&bytes, at);
            at += 8;
        }
        if count > ((bytes.len() - at) / 8) as u64 {
            self.find(id, format!("a freelist of {count} pages does not fit its page"));
            return Ok(());
        }
        for index in 0..count as usize {
            let free = u64_at(&bytes, at + index * 8);
            if free >= self.database.meta.high_water {
                self.find(id, format!("free page {free} is not one of the database's"));
            } else {
                self.mark(free, 1);
            }
        }
        Ok(())
    }
}

fn children(page: &Page, parent: &Todo, todo: &mut Vec<Todo>) {
    // Pushed in reverse, so that pages are walked in the order of their keys.
    for index in (0..page.count).rev() {
        let is_last = index + 1 == page.count;
        todo.push(Todo {
            root: Root::Page(page.child(index)),
            depth: parent.depth + 1,
            low: Some(page.key(index)),
            high: if is_last { parent.high.clone() } else { Some(page.key(index + 1)) },
        });
    }
}
