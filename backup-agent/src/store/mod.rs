//! Where backups are kept: the interface every store fulfils, and the stores (a directory, S3).

mod directory;
mod location;
mod s3;
mod s3_client;
mod s3_upload;
mod snapshot_store;

pub use directory::DirectoryStore;
pub use location::{S3Checksum, S3Options, StoreLocation, open_store};
pub use s3::S3Store;
pub use snapshot_store::{ObjectFacts, SnapshotStore, StoredObject, check_name};
