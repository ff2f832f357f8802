//! The history of the whole store as watchers from revision 1 on see it: ordered, unique, gapless, atomic, and holding
//! every acknowledged write at its revision, once.

use std::collections::HashMap;

use quorate_proto::etcdserverpb::WatchResponse;
use quorate_proto::mvccpb::event::EventType;

use super::history::Acknowledged;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub revision: i64,
    pub key: String,
    /// `None`: deleted.
    pub value: Option<u64>,
    version: i64,
    create_revision: i64,
}

/// What a watcher saw, with the watch guarantees checked.
///
/// # Errors
/// The guarantee that was broken, and where.
pub fn read(answers: &[WatchResponse]) -> Result<Vec<Entry>, String> {
    let mut journal: Vec<Entry> = Vec::new();
    let mut alive: HashMap<String, (i64, i64)> = HashMap::new();
    for answer in answers {
        let before = journal.last().map_or(1, |entry| entry.revision);
        for (n, event) in answer.events.iter().enumerate() {
            let kv = event.kv.as_ref().ok_or("an event without a key")?;
            let revision = kv.mod_revision;
            let last = journal.last().map_or(1, |entry| entry.revision);
            if n == 0 && revision == before && !journal.is_empty() {
                return Err(format!("revision {revision} is torn over two answers"));
            }
            if revision != last && revision != last + 1 {
                return Err(format!("revision {revision} follows {last}"));
            }
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            let same = journal.iter().rev().take_while(|entry| entry.revision == revision);
            if same.into_iter().any(|entry| entry.key == key) {
                return Err(format!("{key} changes twice at revision {revision}"));
            }
            let is_delete = event.r#type() == EventType::Delete;
            let value = if is_delete {
                None
            } else {
                std::str::from_utf8(&kv.value).ok().and_then(|v| v.parse().ok())
            };
            let wanted = match (is_delete, alive.get(&key)) {
                (true, None) => {
                    return Err(format!("{key} is deleted at {revision} but was not there"));
                }
                (true, Some(_)) => (0, 0),
                (false, None) => (1, revision),
                (false, Some((version, created))) => (version + 1, *created),
            };
            if (kv.version, kv.create_revision) != wanted {
                let got = (kv.version, kv.create_revision);
                return Err(format!(
                    "{key} at {revision}: version and creation {got:?}, not {wanted:?}"
                ));
            }
            if is_delete {
                alive.remove(&key)
            } else {
                alive.insert(key.clone(), wanted)
            };
            let (version, create_revision) = wanted;
            journal.push(Entry { revision, key, value, version, create_revision });
        }
    }
    Ok(journal)
}

/// Every acknowledged write is in the journal at its revision, and no value is in it twice.
///
/// # Errors
/// The first write that is missing or doubled.
pub fn holds(journal: &[Entry], writes: &[Acknowledged]) -> Result<(), String> {
    let mut at = HashMap::new();
    let mut values = HashMap::new();
    for entry in journal {
        at.insert((entry.revision, entry.key.as_str()), entry.value);
        if let Some(value) = entry.value
            && let Some(earlier) = values.insert((entry.key.as_str(), value), entry.revision)
        {
            return Err(format!(
                "{} = {value} at {earlier} and again at {}",
                entry.key, entry.revision
            ));
        }
    }
    for write in writes {
        let found = at.get(&(write.revision, write.key.as_str()));
        if found != Some(&write.value) {
            return Err(format!("acknowledged {write:?}, found {found:?}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quorate_proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn put(revision: i64, key: &str, value: u64, version: i64, created: i64) -> Event {
        let kv = KeyValue {
            key: key.to_owned().into(),
            value: value.to_string().into(),
            mod_revision: revision,
            version,
            create_revision: created,
            ..KeyValue::default()
        };
        Event { kv: Some(kv), ..Event::default() }
    }

    fn answer(events: Vec<Event>) -> WatchResponse {
        WatchResponse { events, ..WatchResponse::default() }
    }

    /// What a watch promises is accepted; each broken promise is named.
    #[test]
    fn broken_promises_are_named() {
        let good = [
            answer(vec![put(2, "a", 1, 1, 2), put(2, "b", 1, 1, 2)]),
            answer(vec![put(3, "a", 2, 2, 2)]),
        ];
        assert_eq!(read(&good).unwrap().len(), 3);
        let broken = [
            ("follows", vec![answer(vec![put(2, "a", 1, 1, 2), put(4, "a", 2, 2, 2)])]),
            ("follows", vec![answer(vec![put(3, "a", 1, 1, 3), put(2, "b", 2, 1, 2)])]),
            ("torn", vec![answer(vec![put(2, "a", 1, 1, 2)]), answer(vec![put(2, "b", 1, 1, 2)])]),
            ("twice", vec![answer(vec![put(2, "a", 1, 1, 2), put(2, "a", 2, 2, 2)])]),
            ("version", vec![answer(vec![put(2, "a", 1, 1, 2), put(3, "a", 2, 1, 3)])]),
        ];
        for (name, answers) in broken {
            let error = read(&answers).unwrap_err();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    /// A lost, a moved and a doubled write are seen.
    #[test]
    fn losses_are_seen() {
        let journal = read(&[answer(vec![put(2, "a", 1, 1, 2), put(3, "a", 2, 2, 2)])]).unwrap();
        let write =
            |value, revision| Acknowledged { key: "a".to_owned(), value: Some(value), revision };
        assert!(holds(&journal, &[write(1, 2), write(2, 3)]).is_ok());
        assert!(holds(&journal, &[write(3, 4)]).is_err());
        assert!(holds(&journal, &[write(2, 2)]).is_err());
        let doubled = read(&[answer(vec![put(2, "a", 1, 1, 2), put(3, "a", 1, 2, 2)])]).unwrap();
        assert!(holds(&doubled, &[]).is_err());
    }
}
