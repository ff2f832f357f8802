//! The bbolt file, format version 2: reader, structural check, streaming writer.
//!
//! Source: `reference/file-formats.md` section 5. What the buckets mean is the business of [`crate::rows`]. There is no
//! change in place and no freelist: a file is written once from sorted rows.

mod builder;
mod check;

mod page;
mod reader;
mod rewrite;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub use check::{Check, Finding};
pub use page::PAGE_SIZE;
pub use reader::{Bucket, Database, Row, Rows};
pub use rewrite::{BucketPlan, Changes, RewritePlan, rewrite, rewrite_judged};
pub use writer::{ImageWriter, Layout, write_file};
