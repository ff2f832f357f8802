//! The key browser's state: a prefix, a page of keys, the way back, and a prefix being typed.

/// Keys on one page: a screenful or a few, quick to read from any cluster.
pub const PAGE_KEYS: usize = 200;

/// One key, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub key: Vec<u8>,
    /// Changes since its creation.
    pub version: i64,
    /// Revision of the last change.
    pub mod_revision: i64,
    /// The lease it is attached to; 0 for none.
    pub lease: i64,
}

/// A page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// The question's ticket.
    pub ticket: u64,
    /// The keys.
    pub rows: Vec<KeyRow>,
    /// Keys from the page's first one on, beyond the page included.
    pub n_from_here: u64,
    /// The revision it was read at.
    pub revision: i64,
    /// Whether it is one member's own state, read without the leader.
    pub is_serializable: bool,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The question's ticket.
    pub ticket: u64,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// Revision that created the key.
    pub create_revision: i64,
    /// Revision of the last change.
    pub mod_revision: i64,
    /// Changes since its creation.
    pub version: i64,
    /// The lease it is attached to; 0 for none.
    pub lease: i64,
}

/// The key browser.
#[derive(Debug, Default)]
pub struct KeyBrowser {
    /// All keys shown begin with it.
    pub prefix: Vec<u8>,
    /// The prefix being typed, while it is.
    pub typing: Option<String>,
    /// The page shown.
    pub page: Option<KeyPage>,
    /// Why there is no page, or why it could not be read again.
    pub error: Option<String>,
    /// Where this page begins.
    pub from: Vec<u8>,
    /// Where the pages before this one begin.
    pub earlier: Vec<Vec<u8>>,
    /// Keys on the pages before this one.
    pub n_earlier: u64,
    /// The selected row.
    pub selected: usize,
    /// The ticket of the question that is under way.
    pub waiting_for: Option<u64>,
}

impl KeyBrowser {
    /// The selected row.
    pub fn selected_row(&self) -> Option<&KeyRow> {
        self.page.as_ref()?.rows.get(self.selected)
    }

    /// All keys under the prefix.
    pub fn n_total(&self) -> Option<u64> {
        Some(self.n_earlier + self.page.as_ref()?.n_from_here)
    }

    /// Whether keys follow after this page.
    pub fn has_next(&self) -> bool {
        self.page.as_ref().is_some_and(|page| page.n_from_here > page.rows.len() as u64)
    }

    /// Goes to the first page of another prefix.
    pub(super) fn open(&mut self, prefix: Vec<u8>) {
        *self = Self { from: prefix.clone(), prefix, ..Self::default() };
    }

    /// Goes to the next page; `false` if there is none.
    pub(super) fn next(&mut self) -> bool {
        let Some(last) = self.page.as_ref().and_then(|page| page.rows.last()) else { return false };
        if !self.has_next() || self.waiting_for.is_some() {
            return false;
        }
        let mut from = last.key.clone();
        // The smallest key after the last one.
        from.push(0);
        self.n_earlier += self.page.as_ref().map_or(0, |page| page.rows.len() as u64);
        self.earlier.push(std::mem::replace(&mut self.from, from));
        self.selected = 0;
        true
    }

    /// Goes to the page before; `false` if there is none.
    pub(super) fn previous(&mut self) -> bool {
        if self.waiting_for.is_some() {
            return false;
        }
        let Some(from) = self.earlier.pop() else { return false };
        // Only the last page of a run is short, so every page before holds as many as fit.
        self.n_earlier = self.earlier.len() as u64 * PAGE_KEYS as u64;
        self.from = from;
        self.selected = 0;
        true
    }
}
