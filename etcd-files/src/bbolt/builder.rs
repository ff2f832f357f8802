//! One leaf or branch page while it is being filled, and its bytes.

use super::page::{ELEMENT, FLAG_BRANCH, FLAG_LEAF, PAGE_HEADER, PAGE_SIZE, push_page_header};

/// Elements of a page, growing.
#[derive(Debug)]
pub(super) struct PageBuilder {
    is_leaf: bool,
    elements: Vec<Item>,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    /// Leaf: flags. Branch: child page.
    mark: u64,
    at: usize,
    key: usize,
    value: usize,
}

impl PageBuilder {
    pub(super) fn leaf() -> PageBuilder {
        PageBuilder { is_leaf: true, elements: Vec::new(), data: Vec::new() }
    }

    pub(super) fn branch() -> PageBuilder {
        PageBuilder { is_leaf: false, elements: Vec::new(), data: Vec::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.elements.len()
    }

    /// Bytes of the page without padding.
    pub(super) fn size(&self) -> usize {
        PAGE_HEADER + self.elements.len() * ELEMENT + self.data.len()
    }

    /// Bytes that one more element would add.
    pub(super) fn cost(key: &[u8], value: &[u8]) -> usize {
        ELEMENT + key.len() + value.len()
    }

    /// `mark` is the flags of a leaf element or the child of a branch element.
    pub(super) fn push(&mut self, mark: u64, key: &[u8], value: &[u8]) {
        let at = self.data.len();
        self.elements.push(Item { mark, at, key: key.len(), value: value.len() });
        self.data.extend_from_slice(key);
        self.data.extend_from_slice(value);
    }

    /// Takes the last element off: its mark and key. For branches.
    pub(super) fn pop(&mut self) -> Option<(u64, Vec<u8>)> {
        let item = self.elements.pop()?;
        let key = self.data[item.at..item.at + item.key].to_vec();
        self.data.truncate(item.at);
        Some((item.mark, key))
    }

    pub(super) fn first_key(&self) -> &[u8] {
        self.elements.first().map_or(&[], |item| &self.data[item.at..item.at + item.key])
    }

    /// Marks and keys in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.elements.iter().map(|item| (item.mark, &self.data[item.at..item.at + item.key]))
    }

    pub(super) fn clear(&mut self) {
        self.elements.clear();
        self.data.clear();
    }

    /// Physical pages that this one covers.
    pub(super) fn pages(&self) -> usize {
        self.size().div_ceil(PAGE_SIZE)
    }

    /// Appends the page's bytes without padding; for an inline bucket `id` is 0.
    pub(super) fn encode(&self, id: u64, into: &mut Vec<u8>) {
        let flags = if self.is_leaf { FLAG_LEAF } else { FLAG_BRANCH };
        let overflow = if id == 0 { 0 } else { self.pages() as u32 - 1 };
        push_page_header(into, id, flags, self.elements.len() as u16, overflow);
        for (index, item) in self.elements.iter().enumerate() {
            let pos = ((self.elements.len() - index) * ELEMENT + item.at) as u32;
            let key = item.key as u32;
            if self.is_leaf {
                for field in [item.mark as u32, pos, key, item.value as u32] {
                    into.extend_from_slice(&field.to_le_bytes());
                }
            } else {
                into.extend_from_slice(&pos.to_le_bytes());
                into.extend_from_slice(&key.to_le_bytes());
                into.extend_from_slice(&item.mark.to_le_bytes());
            }
        }
        into.extend_from_slice(&self.data);
    }
}
