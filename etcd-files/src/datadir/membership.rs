//! Who takes part, as of the last entry that is in a dead member's database.
//!
//! etcd 3.7 reads its members from the database. Up to 3.6 the truth is the v2 store in the newest `.snap` file and the
//! configuration changes behind it: a directory that 3.4's `etcdctl` restored has the old cluster's members in its
//! database. Names and client URLs are in the database, or in the log's requests by which members publish them. Changes in entries that are not in the
//! database yet are left to whoever applies those.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use quorate_proto::raftpb::{ConfChange, ConfChangeType, Entry, EntryType};
use serde::Deserialize;

use super::survivor::Survivor;
use crate::decode_request;
use crate::error::{Error, Result};
use crate::rows::{Member, bucket, parse_member_key};
use crate::snap;

/// See [`Survivor::membership`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Index and term of the entry that made it so, or of the snapshot that it was read from.
    pub index: u64,
    /// See `index`.
    pub term: u64,
    /// The members by their ids.
    pub members: BTreeMap<u64, Member>,
    /// Ids of those that can never come back.
    pub removed: BTreeSet<u64>,
}

#[derive(Deserialize)]
struct ChangeContext {
    #[serde(flatten)]
    member: Member,
    #[serde(rename = "isPromote", default)]
    is_promote: bool,
}

impl Survivor {
    /// Who takes part as of [`Survivor::consistent_index`].
    ///
    /// # Errors
    /// The log does not reach back to the first member, and neither a `.snap` file nor the database tells who they are.
    pub fn membership(&self) -> Result<Membership> {
        let mut found = match self.newest_snap() {
            Some(found) => found,
            None if self.replay().first_index == 1 => Membership::default(),
            None => self.members_in_database()?,
        };
        for entry in self.range(found.index + 1, self.consistent_index()) {
            found.follow(&entry?, self)?;
        }
        self.add_published(&mut found)?;
        Ok(found)
    }

    /// The members of the newest readable `.snap` file that the log continues.
    fn newest_snap(&self) -> Option<Membership> {
        let (first, last) = (self.replay().first_index - 1, self.consistent_index());
        for (index, path) in snap::list(&self.data_dir().snap()).ok()? {
            if index == 0 || index < first || index > last {
                continue;
            }
            // etcd puts a damaged file aside and takes the one before.
            let Ok(snapshot) = snap::read(&path) else { continue };
            let metadata = snapshot.metadata.unwrap_or_default();
            let conf_state = metadata.conf_state.clone().unwrap_or_default();
            let known = snap::v2_members(snapshot.data.as_deref().unwrap_or_default());
            let Some((members, removed)) = known else { continue };
            let members: BTreeMap<u64, Member> =
                members.into_iter().map(|member| (member.id, member)).collect();
            let ids: BTreeSet<u64> =
                conf_state.voters.iter().chain(&conf_state.learners).copied().collect();
            if metadata.index() == index && members.keys().copied().eq(ids) {
                return Some(Membership { index, term: metadata.term(), members, removed });
            }
        }
        None
    }

    fn members_in_database(&self) -> Result<Membership> {
        let (members, removed) = self.member_rows()?;
        if members.is_empty() {
            let what =
                "neither the log, nor a .snap file, nor the database tells who the members are";
            return Err(Error::unsupported(self.data_dir().root(), what));
        }
        Ok(Membership { index: self.consistent_index(), term: self.term()?, members, removed })
    }

    fn member_rows(&self) -> Result<(BTreeMap<u64, Member>, BTreeSet<u64>)> {
        let (mut members, mut removed) = (BTreeMap::new(), BTreeSet::new());
        let wrong = |name: &str| {
            let what = format!("an unreadable row in bucket {name}");
            Error::unsupported(self.database().path(), what)
        };
        for name in [bucket::MEMBERS, bucket::MEMBERS_REMOVED] {
            let Some(rows) = self.database().bucket(name)? else { continue };
            for row in rows.rows()? {
                let (key, value) = row?;
                let id = parse_member_key(&key).ok_or_else(|| wrong(name))?;
                if name == bucket::MEMBERS {
                    let member = Member::from_json(&value).ok_or_else(|| wrong(name))?;
                    members.insert(id, member);
                } else {
                    removed.insert(id);
                }
            }
        }
        Ok((members, removed))
    }

    /// Names and client URLs come from the database, where it has them.
    fn add_published(&self, found: &mut Membership) -> Result<()> {
        let (rows, removed) = self.member_rows()?;
        for (id, member) in &mut found.members {
            if let Some(row) = rows.get(id).filter(|row| !row.name.is_empty()) {
                member.name.clone_from(&row.name);
                if !row.client_urls.is_empty() {
                    member.client_urls.clone_from(&row.client_urls);
                }
            }
        }
        found.removed.extend(removed);
        found.removed.retain(|id| !found.members.contains_key(id));
        Ok(())
    }
}

impl Membership {
    /// Makes the change that an entry asks for, unless etcd would have refused it.
    fn follow(&mut self, entry: &Entry, survivor: &Survivor) -> Result<()> {
        if entry.r#type() == EntryType::EntryNormal {
            self.note_published(entry);
            return Ok(());
        }
        let wrong = || {
            let what = format!("entry {} is no configuration change of etcd's", entry.index());
            Error::unsupported(&survivor.data_dir().wal(), what)
        };
        let data = entry.data.clone().unwrap_or_default();
        if entry.r#type() != EntryType::EntryConfChange {
            return Err(wrong());
        }
        let change = ConfChange::decode(data).map_err(|_| wrong())?;
        let context = match change.context() {
            [] => None,
            json => Some(serde_json::from_slice(json).map_err(|_| wrong())?),
        };
        if self.change(&change, context).is_some() {
            (self.index, self.term) = (entry.index(), entry.term());
        }
        Ok(())
    }

    /// 3.5 does not always put into its database what a member has published.
    fn note_published(&mut self, entry: &Entry) {
        let data = entry.data.clone().unwrap_or_default();
        let published = decode_request(data).ok().and_then(|it| it.cluster_member_attr_set);
        let Some(published) = published else { return };
        let attributes = published.member_attributes.unwrap_or_default();
        if let Some(member) = self.members.get_mut(&published.member_id) {
            (member.name, member.client_urls) = (attributes.name, attributes.client_urls);
        }
    }

    /// `None` where etcd turns the change into nothing when it applies it (`ValidateConfigurationChange`).
    fn change(&mut self, change: &ConfChange, context: Option<ChangeContext>) -> Option<()> {
        let id = change.node_id();
        if self.removed.contains(&id) {
            return None;
        }
        let known = self.members.get(&id).cloned();
        let is_taken = |urls: &[String]| {
            let others = self.members.iter().filter(|(other, _)| **other != id);
            others.flat_map(|(_, member)| &member.peer_urls).any(|url| urls.contains(url))
        };
        let kind = change.r#type();
        match kind {
            ConfChangeType::ConfChangeRemoveNode => {
                self.members.remove(&id)?;
                self.removed.insert(id);
            }
            ConfChangeType::ConfChangeUpdateNode => {
                let (mut member, told) = (known?, context?.member);
                if is_taken(&told.peer_urls) {
                    return None;
                }
                member.peer_urls = told.peer_urls;
                self.members.insert(id, member);
            }
            ConfChangeType::ConfChangeAddNode | ConfChangeType::ConfChangeAddLearnerNode => {
                let context = context?;
                let member = match known {
                    Some(known) if context.is_promote && known.is_learner => {
                        Member { is_learner: false, ..known }
                    }
                    None if !context.is_promote && !is_taken(&context.member.peer_urls) => {
                        let is_learner = kind == ConfChangeType::ConfChangeAddLearnerNode;
                        Member { id, is_learner, ..context.member }
                    }
                    _ => return None,
                };
                self.members.insert(id, member);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ConfChangeType, id: u64) -> ConfChange {
        ConfChange { r#type: Some(kind as i32), node_id: Some(id), ..ConfChange::default() }
    }

    fn told(url: &str, is_promote: bool) -> Option<ChangeContext> {
        let member = Member { peer_urls: vec![url.to_owned()], ..Member::default() };
        Some(ChangeContext { member, is_promote })
    }

    /// Changes that etcd refuses when it applies them are in its log all the same, and must not count.
    #[test]
    fn refused_changes_do_not_count() {
        use ConfChangeType::{
            ConfChangeAddLearnerNode as Learner, ConfChangeAddNode as Add,
            ConfChangeRemoveNode as Remove, ConfChangeUpdateNode as Update,
        };
        let mut all = Membership::default();
        assert!(all.change(&change(Add, 1), told("http://a:1", false)).is_some());
        assert!(all.change(&change(Learner, 2), told("http://b:1", false)).is_some());
        for (kind, id, context) in [
            (Add, 1, told("http://c:1", false)),
            (Add, 3, told("http://a:1", false)),
            (Add, 3, told("http://c:1", true)),
            (Add, 1, told("http://a:1", true)),
            (Update, 3, told("http://c:1", false)),
            (Update, 1, told("http://b:1", false)),
            (Remove, 3, None),
        ] {
            let before = all.clone();
            assert!(all.change(&change(kind, id), context).is_none(), "{kind:?} {id}");
            assert_eq!(all, before);
        }
        assert!(all.members[&2].is_learner);
        assert!(all.change(&change(Add, 2), told("", true)).is_some());
        assert!(!all.members[&2].is_learner);
        assert_eq!(all.members[&2].peer_urls, ["http://b:1"]);
        assert!(all.change(&change(Update, 2), told("http://d:1", false)).is_some());
        assert!(all.change(&change(Remove, 2), None).is_some());
        assert!(all.change(&change(Add, 2), told("http://e:1", false)).is_none(), "gone for good");
    }
}
