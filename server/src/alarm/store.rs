//! The alarms that are raised, in memory and as rows. Raising them is an entry like any other: see `apply`.

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message;
use quorate_proto::etcdserverpb::{AlarmMember, AlarmType};
use std::collections::BTreeSet;

/// The alarms that are raised.
#[derive(Debug, Default)]
pub struct AlarmStore {
    raised: RwLock<BTreeSet<(i32, u64)>>,
}

impl AlarmStore {
    /// Forgets everything; used when a received snapshot replaces the state.
    pub fn clear(&self) {
        self.raised.write().clear();
    }

    /// Puts back a stored alarm at start.
    ///
    /// # Errors
    /// The row key is not an alarm message.
    pub fn restore(&self, row_key: &[u8]) -> Result<(), prost::DecodeError> {
        let alarm = AlarmMember::decode(row_key)?;
        self.raised.write().insert((alarm.alarm, alarm.member_id));
        Ok(())
    }

    /// Raises an alarm; true when it was not raised before.
    pub fn activate(&self, alarm: AlarmMember) -> bool {
        self.raised.write().insert((alarm.alarm, alarm.member_id))
    }

    /// Disarms an alarm; true when it was raised.
    pub fn deactivate(&self, alarm: AlarmMember) -> bool {
        self.raised.write().remove(&(alarm.alarm, alarm.member_id))
    }

    /// Alarms of one type, or all for `AlarmType::None`.
    pub fn list(&self, kind: AlarmType) -> Vec<AlarmMember> {
        let raised = self.raised.read();
        let wanted =
            raised.iter().filter(|(alarm, _)| kind == AlarmType::None || *alarm == kind as i32);
        wanted
            .map(|(alarm, member_id)| AlarmMember { member_id: *member_id, alarm: *alarm })
            .collect()
    }

    /// True when any member has raised this alarm.
    pub fn is_raised(&self, kind: AlarmType) -> bool {
        self.raised.read().iter().any(|(alarm, _)| *alarm == kind as i32)
    }
}

/// Row key of an alarm: the message itself, as etcd stores it; the value is empty.
pub fn row_key(alarm: AlarmMember) -> Bytes {
    alarm.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An alarm is one per member and type, survives its row, and can be disarmed once.
    #[test]
    fn alarms_are_sets() {
        let store = AlarmStore::default();
        let alarm = AlarmMember { member_id: 9, alarm: AlarmType::Nospace as i32 };
        assert!(store.activate(alarm));
        assert!(!store.activate(alarm));
        let again = AlarmStore::default();
        again.restore(&row_key(alarm)).unwrap();
        assert_eq!(again.list(AlarmType::None), vec![alarm]);
        assert!(again.list(AlarmType::Corrupt).is_empty());
        assert!(again.is_raised(AlarmType::Nospace));
        assert!(again.deactivate(alarm));
        assert!(!again.deactivate(alarm));
    }
}
