//! The keyspaces of the state: etcd's bucket names, one place for all of them.

/// One ordered map of rows. The discriminant is the prefix byte on engines that have a single tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Keyspace {
    /// Alarms raised and not yet disarmed.
    Alarm = 1,
    /// `authEnabled`, `authRevision`.
    Auth = 2,
    /// Roles.
    AuthRoles = 3,
    /// Users.
    AuthUsers = 4,
    /// `clusterVersion`, `downgrade`.
    Cluster = 5,
    /// MVCC rows: revision key → `mvccpb.KeyValue`.
    Key = 6,
    /// Leases.
    Lease = 7,
    /// Members.
    Members = 8,
    /// Ids that can never come back.
    MembersRemoved = 9,
    /// `consistent_index`, `term`, compaction marks, `storageVersion`, and Quorate's own marks.
    Meta = 10,
}

impl Keyspace {
    /// All keyspaces in the order of their names, which is the order of buckets in a snapshot file.
    pub const ALL: [Keyspace; 10] = [
        Keyspace::Alarm,
        Keyspace::Auth,
        Keyspace::AuthRoles,
        Keyspace::AuthUsers,
        Keyspace::Cluster,
        Keyspace::Key,
        Keyspace::Lease,
        Keyspace::Members,
        Keyspace::MembersRemoved,
        Keyspace::Meta,
    ];

    /// etcd's bucket name (`reference/file-formats.md`, section 6).
    pub const fn name(self) -> &'static str {
        match self {
            Keyspace::Alarm => "alarm",
            Keyspace::Auth => "auth",
            Keyspace::AuthRoles => "authRoles",
            Keyspace::AuthUsers => "authUsers",
            Keyspace::Cluster => "cluster",
            Keyspace::Key => "key",
            Keyspace::Lease => "lease",
            Keyspace::Members => "members",
            Keyspace::MembersRemoved => "members_removed",
            Keyspace::Meta => "meta",
        }
    }

    /// The keyspace with this bucket name.
    pub fn from_name(name: &str) -> Option<Keyspace> {
        Self::ALL.into_iter().find(|keyspace| keyspace.name() == name)
    }
}
