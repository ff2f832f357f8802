//! Which members' addresses the transport is told, and when.

use parking_lot::Mutex;

use super::membership::Membership;
use super::transport::SharedTransport;

/// Which addresses the transport is told: those in force, and those of the newest change in the log, which may not come
/// into force and so takes nobody away.
pub(super) struct Addresses {
    transport: SharedTransport,
    known: Mutex<(Membership, Option<Membership>)>,
}

impl Addresses {
    pub(super) fn new(transport: SharedTransport) -> Addresses {
        Addresses { transport, known: Mutex::default() }
    }

    pub(super) fn applied(&self, membership: &Membership) {
        let mut known = self.known.lock();
        known.0 = membership.clone();
        if known.1.as_ref() == Some(membership) {
            known.1 = None;
        }
        self.tell(&known);
    }

    pub(super) fn seen(&self, membership: &Membership) {
        let mut known = self.known.lock();
        known.1 = Some(membership.clone());
        self.tell(&known);
    }

    fn tell(&self, (applied, seen): &(Membership, Option<Membership>)) {
        let mut all = applied.clone();
        if let Some(seen) = seen {
            all.members.extend(seen.members.clone());
        }
        self.transport.update_peers(&all);
    }
}
