//! Pages as bytes: header, meta, elements. Pure functions; nothing here reads a file.

use bytes::Bytes;

/// Size of the pages that we write; other sizes are read too.
pub const PAGE_SIZE: usize = 4096;
/// Bytes of a page header.
pub(super) const PAGE_HEADER: usize = 16;
/// Bytes of a leaf or branch element.
pub(super) const ELEMENT: usize = 16;
pub(super) const FLAG_BRANCH: u16 = 0x01;
pub(super) const FLAG_LEAF: u16 = 0x02;
pub(super) const FLAG_META: u16 = 0x04;
pub(super) const FLAG_FREELIST: u16 = 0x10;
/// Flag of a leaf element whose value is a bucket.
pub(super) const ELEMENT_BUCKET: u32 = 1;
/// `Meta::freelist` of a file that stores none.
pub(super) const NO_FREELIST: u64 = u64::MAX;
/// Bytes of a bucket's header in its parent: root page id, sequence.
pub(super) const BUCKET_HEADER: usize = 16;

/// What [`Meta::decode`] says of a file of another kind.
pub(super) const NO_MAGIC: &str = "not a bbolt meta page";

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a meta without its checksum.
const META_BODY: usize = 56;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The root of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_size: u32,
    /// Page of the root bucket.
    pub(super) root: u64,
    pub(super) sequence: u64,
    pub(super) freelist: u64,
    /// First page id not in use.
    pub(super) high_water: u64,
    pub(super) transaction_id: u64,
}

impl Meta {
    /// Bytes of a meta page that are looked at: header, body and checksum.
    pub(super) const PREFIX: usize = PAGE_HEADER + META_BODY + 8;

    /// Decodes and checks a meta from the beginning of its page.
    pub(super) fn decode(page: &[u8]) -> Result<Meta, &'static str> {
        let Some(meta) = page.get(PAGE_HEADER..Self::PREFIX) else {
            return Err("too short for a meta page");
        };
        if u32_at(meta, 0) != MAGIC {
            return Err(NO_MAGIC);
        }
        if u32_at(meta, 4) != VERSION {
            return Err("bbolt format version other than 2");
        }
        if u64_at(meta, META_BODY) != fnv1a(&meta[..META_BODY]) {
            return Err("meta page with a wrong checksum");
        }
        Ok(Meta {
            page_size: u32_at(meta, 8),
            root: u64_at(meta, 16),
            sequence: u64_at(meta, 24),
            freelist: u64_at(meta, 32),
            high_water: u64_at(meta, 40),
            transaction_id: u64_at(meta, 48),
        })
    }

    /// The whole page `id` (0 or 1) with this meta.
    pub(super) fn encode(&self, id: u64) -> Vec<u8> {
        let mut page = Vec::with_capacity(self.page_size as usize);
        push_page_header(&mut page, id, FLAG_META, 0, 0);
        for field in [MAGIC, VERSION, self.page_size, 0] {
            page.extend_from_slice(&field.to_le_bytes());
        }
        let ids = [self.root, self.sequence, self.freelist, self.high_water, self.transaction_id];
        for field in ids {
            page.extend_from_slice(&field.to_le_bytes());
        }
        let checksum = fnv1a(&page[PAGE_HEADER..]);
        page.extend_from_slice(&checksum.to_le_bytes());
        page.resize(self.page_size as usize, 0);
        page
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

pub(super) fn push_page_header(page: &mut Vec<u8>, id: u64, flags: u16, count: u16, overflow: u32) {
    page.extend_from_slice(&id.to_le_bytes());
    page.extend_from_slice(&flags.to_le_bytes());
    page.extend_from_slice(&count.to_le_bytes());
    page.extend_from_slice(&overflow.to_le_bytes());
}

/// A leaf or branch page with its overflow, or an inline bucket's page.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) id: u64,
    pub(super) is_leaf: bool,
    pub(super) count: usize,
    bytes: Bytes,
}

impl Page {
    /// Checks the header and that all elements lie within `bytes`, so that the accessors cannot fail.
    pub(super) fn new(bytes: Bytes) -> Result<Page, String> {
        if bytes.len() < PAGE_HEADER {
            return Err("too short for a page".to_owned());
        }
        let flags = u16_at(&bytes, 8);
        let is_leaf = match flags {
            FLAG_LEAF => true,
            FLAG_BRANCH => false,
            other => return Err(format!("page flags {other:#x}, not those of a branch or leaf")),
        };
        let count = usize::from(u16_at(&bytes, 10));
        let page = Page { id: u64_at(&bytes, 0), is_leaf, count, bytes };
        for index in 0..count {
            let end = page.element_end(index).filter(|end| *end <= page.bytes.len());
            if end.is_none() {
                return Err(format!("element {index} of {count} lies outside its page"));
            }
        }
        Ok(page)
    }

    fn element(&self, index: usize) -> usize {
        PAGE_HEADER + index * ELEMENT
    }

    /// Offset behind element `index` and its data; `None` where the element itself is outside.
    fn element_end(&self, index: usize) -> Option<usize> {
        let at = self.element(index);
        if at + ELEMENT > self.bytes.len() {
            return None;
        }
        let (pos, key, value) = self.parts(index);
        at.checked_add(pos)?.checked_add(key)?.checked_add(value)
    }

    /// (position relative to the element, key size, value size).
    fn parts(&self, index: usize) -> (usize, usize, usize) {
        let at = self.element(index);
        let field = |offset| u32_at(&self.bytes, at + offset) as usize;
        if self.is_leaf { (field(4), field(8), field(12)) } else { (field(0), field(4), 0) }
    }

    pub(super) fn key(&self, index: usize) -> Bytes {
        let (pos, key, _) = self.parts(index);
        let start = self.element(index) + pos;
        self.bytes.slice(start..start + key)
    }

    pub(super) fn key_slice(&self, index: usize) -> &[u8] {
        let (pos, key, _) = self.parts(index);
        let start = self.element(index) + pos;
        &self.bytes[start..start + key]
    }

    /// Value of a leaf element.
    pub(super) fn value(&self, index: usize) -> Bytes {
        let (pos, key, value) = self.parts(index);
        let start = self.element(index) + pos + key;
        self.bytes.slice(start..start + value)
    }

    /// True when the value of a leaf element is a bucket.
    pub(super) fn is_bucket(&self, index: usize) -> bool {
        u32_at(&self.bytes, self.element(index)) & ELEMENT_BUCKET != 0
    }

    /// Child of a branch element.
    pub(super) fn child(&self, index: usize) -> u64 {
        u64_at(&self.bytes, self.element(index) + 8)
    }

    /// Number of elements whose key is not above `key`.
    pub(super) fn count_up_to(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key_slice(middle) <= key { low = middle + 1 } else { high = middle }
        }
        low
    }
}
