//! The numbers and names that several rooms must agree on; no logic.

/// The etcd version that this server equals and reports everywhere.
pub const ETCD_VERSION: &str = "3.7.1";
/// Cluster version of a cluster whose members all run [`ETCD_VERSION`].
pub const CLUSTER_VERSION: &str = "3.7.0";
/// Storage version of a fresh state.
pub const STORAGE_VERSION: &str = "3.7.0";
/// Row of the `meta` keyspace that holds the storage version.
pub const STORAGE_VERSION_ROW: &[u8] = b"storageVersion";
/// Quota where `--quota-backend-bytes` is 0, in bytes.
pub const QUOTA_BYTES_DEFAULT: i64 = 2 * 1024 * 1024 * 1024;

/// Id of a member. Printed in lower-case hex without leading zeros.
pub type MemberId = u64;
