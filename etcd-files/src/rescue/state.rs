//! The state while entries are applied: an index of live keys, leases and alarms in memory, rows changed so far over
//! the rows of the database.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use prost::Message;
use quorate_proto::{etcdserverpb, leasepb, mvccpb};

use super::permission::Auth;
use crate::bbolt::{Bucket, Database, RewritePlan};
use crate::error::{Error, Result};
use crate::rows::{Revision, RevisionKey, bucket, decode_lease_key, meta};
use crate::snapfile;

/// What is known of a live key without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) create_revision: i64,
    pub(super) modified: Revision,
    pub(super) version: i64,
    pub(super) lease: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State<'a> {
    database: &'a Database,
    keys: Bucket,
    pub(super) live: BTreeMap<Bytes, Live>,
    pub(super) leases: BTreeMap<i64, leasepb::Lease>,
    /// Alarms raised by any member, as `AlarmType` numbers.
    pub(super) alarms: BTreeSet<(i32, u64)>,
    pub(super) auth: Auth,
    /// Current main revision.
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
    /// What is to be changed in the database.
    pub(super) plan: RewritePlan,
}

impl<'a> State<'a> {
    /// Reads the index of a database. Memory grows with the number of live keys, as in etcd.
    pub(super) fn load(database: &'a Database) -> Result<State<'a>> {
        let Some(keys) = database.bucket(bucket::KEY)? else {
            return Err(Error::unsupported(database.path(), "a database without the bucket key"));
        };
        let mut state = State {
            database,
            keys,
            live: BTreeMap::new(),
            leases: BTreeMap::new(),
            alarms: BTreeSet::new(),
            auth: Auth::default(),
            revision: snapfile::current_revision(database)?,
            compact_revision: snapfile::compact_revision(database)?,
            plan: RewritePlan::new(),
        };
        // A compaction that was begun is in force, whether or not its rows are gone already.
        if let Some(begun) = state.row(bucket::META, meta::SCHEDULED_COMPACT)? {
            let begun = Revision::decode(&begun).map_or(-1, |revision| revision.main);
            state.compact_revision = state.compact_revision.max(begun);
        }
        state.load_keys()?;
        state.load_others()?;
        Ok(state)
    }

    fn load_keys(&mut self) -> Result<()> {
        for row in self.keys.rows()? {
            let (key, value) = row?;
            let wrong = || {
                let what = format!("row {key:?} of bucket key is no key-value pair");
                Error::unsupported(self.database.path(), what)
            };
            let row = RevisionKey::decode(&key).ok_or_else(wrong)?;
            let pair = mvccpb::KeyValue::decode(value).map_err(|_| wrong())?;
            if row.is_tombstone {
                self.live.remove(&pair.key);
                continue;
            }
            let live = Live {
                create_revision: pair.create_revision,
                modified: row.revision,
                version: pair.version,
                lease: pair.lease,
            };
            // A copy, lest every key hold on to the page it was read from.
            self.live.insert(Bytes::copy_from_slice(&pair.key), live);
        }
        Ok(())
    }

    fn load_others(&mut self) -> Result<()> {
        let path = self.database.path();
        let wrong =
            |name: &str| Error::unsupported(path, format!("an unreadable row in bucket {name}"));
        for (key, value) in self.rows(bucket::LEASE)? {
            let id = decode_lease_key(&key).ok_or_else(|| wrong(bucket::LEASE))?;
            let lease = leasepb::Lease::decode(value).map_err(|_| wrong(bucket::LEASE))?;
            self.leases.insert(id, lease);
        }
        for (key, _) in self.rows(bucket::ALARM)? {
            let alarm = etcdserverpb::AlarmMember::decode(key).map_err(|_| wrong(bucket::ALARM))?;
            self.alarms.insert((alarm.alarm, alarm.member_id));
        }
        let enabled = self.row(bucket::AUTH, b"authEnabled")?;
        self.auth.is_enabled = enabled.is_some_and(|value| value[..] == [1]);
        let revision = self.row(bucket::AUTH, b"authRevision")?;
        self.auth.revision = revision.and_then(|v| meta::decode_number(&v)).unwrap_or(0);
        for (name, value) in self.rows(bucket::AUTH_USERS)? {
            if !self.auth.add_user(name, value) {
                return Err(wrong(bucket::AUTH_USERS));
            }
        }
        for (name, value) in self.rows(bucket::AUTH_ROLES)? {
            if !self.auth.add_role(name, value) {
                return Err(wrong(bucket::AUTH_ROLES));
            }
        }
        Ok(())
    }

    /// Rows of a small bucket of the database.
    fn rows(&self, name: &str) -> Result<Vec<(Bytes, Bytes)>> {
        match self.database.bucket(name)? {
            Some(bucket) => bucket.rows()?.collect(),
            None => Ok(Vec::new()),
        }
    }

    /// One row as it is now.
    pub(super) fn row(&self, name: &str, key: &[u8]) -> Result<Option<Bytes>> {
        if let Some(changed) = self.plan.get(name).and_then(|plan| plan.changes.get(key)) {
            return Ok(changed.as_ref().map(|value| Bytes::copy_from_slice(value)));
        }
        if name == bucket::KEY {
            return self.keys.get(key);
        }
        match self.database.bucket(name)? {
            Some(bucket) => bucket.get(key),
            None => Ok(None),
        }
    }

    /// Puts or, with `None`, removes a row.
    pub(super) fn change(&mut self, name: &str, key: &[u8], value: Option<Vec<u8>>) {
        let plan = self.plan.entry(name.to_owned()).or_default();
        plan.changes.insert(key.to_vec(), value);
    }

    /// The pair under a live key with its value.
    pub(super) fn pair(&self, live: &Live) -> Result<mvccpb::KeyValue> {
        let row = self.row(bucket::KEY, &live.modified.encode())?;
        let pair = row.and_then(|value| mvccpb::KeyValue::decode(value).ok());
        pair.ok_or_else(|| {
            let what =
                format!("revision {:?} is in the index but not among the rows", live.modified);
            Error::unsupported(self.database.path(), what)
        })
    }

    /// The live keys of an interval, ascending; `range_end` as in a range request.
    pub(super) fn range(&self, key: &Bytes, range_end: &Bytes) -> Vec<(Bytes, Live)> {
        if range_end.is_empty() {
            return self.live.get(key).map(|live| (key.clone(), *live)).into_iter().collect();
        }
        let end = match range_end[..] == [0] {
            true => Bound::Unbounded,
            false if range_end <= key => return Vec::new(),
            false => Bound::Excluded(range_end.clone()),
        };
        let found = self.live.range::<Bytes, _>((Bound::Included(key.clone()), end));
        found.map(|(key, live)| (key.clone(), *live)).collect()
    }

    /// True when an alarm of this type is raised by any member.
    pub(super) fn has_alarm(&self, alarm: etcdserverpb::AlarmType) -> bool {
        self.alarms.iter().any(|(raised, _)| *raised == alarm as i32)
    }
}
