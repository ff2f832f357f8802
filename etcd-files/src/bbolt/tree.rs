//! One tree of pages written bottom-up from sorted rows: a leaf and two branches per level in memory, nothing more.

use std::io::{self, Write};

use super::builder::PageBuilder;
use super::page::PAGE_SIZE;

/// A page is closed before it would grow beyond this, as etcd's buckets of sequential keys are (90 %).
const FILL: usize = PAGE_SIZE * 9 / 10;
/// A bucket up to this size is kept within its parent.
const INLINE_MAX: usize = PAGE_SIZE / 4;
/// Elements in a page; bbolt keeps the count in 16 bits and gives 0xFFFF a meaning of its own.
const COUNT_MAX: usize = 0xFFFE;

/// Where pages go, in the order of their ids.
#[derive(Debug)]
pub(super) struct Pager<W> {
    pub(super) sink: W,
    pub(super) next_id: u64,
    scratch: Vec<u8>,
}

impl<W: Write> Pager<W> {
    pub(super) fn new(sink: W) -> Pager<W> {
        Pager { sink, next_id: 2, scratch: Vec::new() }
    }

    fn put(&mut self, page: &PageBuilder) -> io::Result<u64> {
        let (id, pages) = (self.next_id, page.pages());
        self.scratch.clear();
        page.encode(id, &mut self.scratch);
        self.scratch.resize(pages * PAGE_SIZE, 0);
        self.sink.write_all(&self.scratch)?;
        self.scratch.shrink_to(64 * PAGE_SIZE);
        self.next_id += pages as u64;
        Ok(id)
    }
}

/// The root of a finished tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TreeRoot {
    Page(u64),
    /// Small enough to live in the parent: the page's bytes.
    Inline(Vec<u8>),
}

/// A level of branches: the one being filled and the full one before it, held back so that the last one of a level
/// never ends up with a single key, which bbolt would not make.
#[derive(Debug)]
struct Level {
    previous: Option<PageBuilder>,
    current: PageBuilder,
}

/// A tree being written.
#[derive(Debug)]
pub(super) struct Tree {
    leaf: PageBuilder,
    levels: Vec<Level>,
}

impl Tree {
    pub(super) fn new() -> Tree {
        Tree { leaf: PageBuilder::leaf(), levels: Vec::new() }
    }

    pub(super) fn push<W: Write>(
        &mut self,
        pager: &mut Pager<W>,
        flags: u32,
        key: &[u8],
        value: &[u8],
    ) -> io::Result<()> {
        let size = self.leaf.size() + PageBuilder::cost(key, value);
        if self.leaf.count() > 0 && (size > FILL || self.leaf.count() >= COUNT_MAX) {
            self.put_leaf(pager)?;
        }
        self.leaf.push(u64::from(flags), key, value);
        Ok(())
    }

    /// Writes what is left. With `may_inline` a tree of one small leaf is not written but returned.
    pub(super) fn finish<W: Write>(
        mut self,
        pager: &mut Pager<W>,
        may_inline: bool,
    ) -> io::Result<TreeRoot> {
        if self.levels.is_empty() {
            if may_inline && self.leaf.size() <= INLINE_MAX {
                let mut bytes = Vec::new();
                self.leaf.encode(0, &mut bytes);
                return Ok(TreeRoot::Inline(bytes));
            }
            return pager.put(&self.leaf).map(TreeRoot::Page);
        }
        self.put_leaf(pager)?;
        let mut depth = 0;
        loop {
            let is_top = depth + 1 == self.levels.len();
            let level = &mut self.levels[depth];
            let previous = level.previous.take();
            let current = std::mem::replace(&mut level.current, PageBuilder::branch());
            for page in balance(previous, current) {
                let is_only = is_top && self.levels.len() == depth + 1;
                if is_only && page.is_whole_level {
                    return pager.put(&page.page).map(TreeRoot::Page);
                }
                let id = pager.put(&page.page)?;
                self.add_child(pager, depth + 1, id, page.page.first_key())?;
            }
            depth += 1;
        }
    }

    fn put_leaf<W: Write>(&mut self, pager: &mut Pager<W>) -> io::Result<()> {
        let id = pager.put(&self.leaf)?;
        let first_key = self.leaf.first_key().to_vec();
        self.leaf.clear();
        self.add_child(pager, 0, id, &first_key)
    }

    fn add_child<W: Write>(
        &mut self,
        pager: &mut Pager<W>,
        depth: usize,
        id: u64,
        first_key: &[u8],
    ) -> io::Result<()> {
        if self.levels.len() == depth {
            self.levels.push(Level { previous: None, current: PageBuilder::branch() });
        }
        let level = &mut self.levels[depth];
        let size = level.current.size() + PageBuilder::cost(first_key, &[]);
        let is_full = size > FILL || level.current.count() >= COUNT_MAX;
        let mut written = None;
        if level.current.count() >= 2 && is_full {
            let full = std::mem::replace(&mut level.current, PageBuilder::branch());
            written = level.previous.replace(full);
        }
        level.current.push(id, first_key, &[]);
        match written {
            Some(page) => {
                let id = pager.put(&page)?;
                self.add_child(pager, depth + 1, id, page.first_key())
            }
            None => Ok(()),
        }
    }
}

/// A branch to write at the end of a level.
struct Closing {
    page: PageBuilder,
    /// No other branch is on its level in this closing round.
    is_whole_level: bool,
}

/// The last one or two branches of a level, each with at least two keys unless the level has only one.
fn balance(previous: Option<PageBuilder>, mut current: PageBuilder) -> Vec<Closing> {
    let Some(mut previous) = previous else {
        return vec![Closing { page: current, is_whole_level: true }];
    };
    if current.count() >= 2 {
        let close = |page| Closing { page, is_whole_level: false };
        return vec![close(previous), close(current)];
    }
    if previous.count() == 2 {
        for (mark, key) in current.entries() {
            previous.push(mark, key, &[]);
        }
        return vec![Closing { page: previous, is_whole_level: true }];
    }
    let mut last = PageBuilder::branch();
    if let Some((mark, key)) = previous.pop() {
        last.push(mark, &key, &[]);
    }
    for (mark, key) in current.entries() {
        last.push(mark, key, &[]);
    }
    current = last;
    let close = |page| Closing { page, is_whole_level: false };
    vec![close(previous), close(current)]
}
