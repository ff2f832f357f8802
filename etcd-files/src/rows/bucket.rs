//! Names of etcd's buckets, in the order in which they stand in a file.

/// Raised alarms.
pub const ALARM: &str = "alarm";
/// `authEnabled`, `authRevision`.
pub const AUTH: &str = "auth";
/// Roles by name.
pub const AUTH_ROLES: &str = "authRoles";
/// Users by name.
pub const AUTH_USERS: &str = "authUsers";
/// `clusterVersion`, `downgrade`.
pub const CLUSTER: &str = "cluster";
/// Revisions of keys.
pub const KEY: &str = "key";
/// Leases by id.
pub const LEASE: &str = "lease";
/// Members by id.
pub const MEMBERS: &str = "members";
/// Ids of members that can never come back.
pub const MEMBERS_REMOVED: &str = "members_removed";
/// What the server notes about the file itself.
pub const META: &str = "meta";

/// All buckets that etcd 3.4 to 3.7 make, ascending.
pub const ALL: [&str; 10] =
    [ALARM, AUTH, AUTH_ROLES, AUTH_USERS, CLUSTER, KEY, LEASE, MEMBERS, MEMBERS_REMOVED, META];
