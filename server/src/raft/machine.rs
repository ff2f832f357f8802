//! What raft needs of a state machine, and what it hands to it. The machine's rows and rules are not known here.

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use quorate_etcd_files::decode_request;
use quorate_proto::etcdserverpb::InternalRaftRequest;
use quorate_proto::raftpb;
use std::io;
use std::path::Path;
use tokio::sync::watch;

use super::error::Fatal;
use super::membership::StoredMembership;
use crate::storage::AppliedMark;

/// A replicated command: its bytes as they are in the log, and the request in them until it is applied.
///
/// A decoded request takes some 1.3 KB beside what it holds, so it is kept apart from the bytes, which stay in memory
/// for followers long after this member has applied them.
pub struct Command {
    bytes: Bytes,
    request: Mutex<Option<Box<InternalRaftRequest>>>,
}

impl Command {
    /// A command from a request of this member.
    pub fn new(request: InternalRaftRequest) -> Command {
        let bytes = request.encode_to_vec().into();
        Command { bytes, request: Mutex::new(Some(Box::new(request))) }
    }

    /// A command as it came from the log or from a peer; it is decoded when it is applied.
    pub fn encoded(bytes: Bytes) -> Command {
        Command { bytes, request: Mutex::default() }
    }

    /// Whether the request is a put that needs nothing of the state but the index: no previous pair, no former value.
    /// False where the request is not decoded yet.
    pub fn is_plain_put(&self) -> bool {
        let request = self.request.lock();
        let put = request.as_ref().and_then(|request| request.put.as_ref());
        put.is_some_and(|put| !put.prev_kv && !put.ignore_value && !put.ignore_lease)
    }

    /// Decodes the request ahead of its time, so that the apply thread finds it decoded.
    ///
    /// # Errors
    /// As [`Command::take_request`].
    pub fn prepare(&self) -> Result<(), prost::DecodeError> {
        let request = decode_request(self.bytes.clone())?;
        *self.request.lock() = Some(Box::new(request));
        Ok(())
    }

    /// The encoded request.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The request, for the one who applies it. Whoever asks again gets it decoded again.
    ///
    /// # Errors
    /// The bytes are no request: damage that no checksum noticed, or a log of a newer version.
    pub fn take_request(&self) -> Result<Box<InternalRaftRequest>, prost::DecodeError> {
        match self.request.lock().take() {
            Some(request) => Ok(request),
            None => decode_request(self.bytes.clone()).map(Box::new),
        }
    }
}

impl PartialEq for Command {
    fn eq(&self, other: &Command) -> bool {
        self.bytes == other.bytes
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::fmt::Debug for Command {
    // Contents may be secret (passwords, values); the size is enough.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "command of {} bytes", self.bytes.len())
    }
}

/// A configuration change and the membership after it.
#[derive(Clone, Debug, PartialEq)]
pub struct MembershipChange {
    /// etcd's description of the change: type, member id, JSON context. `id` is the request id to answer.
    pub change: raftpb::ConfChange,
    /// Who takes part after it. The machine keeps its encoding beside the applied mark.
    pub after: StoredMembership,
}

/// What an entry asks for.
pub enum CommittedPayload {
    /// Nothing: the first entry of a new leader.
    Blank,
    /// A request.
    Command(Box<InternalRaftRequest>),
    /// A change of the membership.
    Membership(Box<MembershipChange>),
}

/// An entry that a quorum has on disk.
pub struct CommittedEntry {
    /// Term, index and leader: what goes into the batch with the entry's rows.
    pub mark: AppliedMark,
    /// What to do.
    pub payload: CommittedPayload,
    /// A caller on this member waits for the outcome. Others need none.
    pub is_awaited: bool,
}

/// The outcome of one entry, for the member that proposed it.
#[derive(Debug)]
pub struct Applied<O> {
    /// Id from the request's header, or from the configuration change.
    pub request_id: u64,
    /// What the waiting caller gets.
    pub outcome: O,
}

/// How far a machine is, and who takes part at that point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedState {
    /// The last applied entry.
    pub mark: AppliedMark,
    /// The membership in force. An empty one means "not known": it is then computed from the log's first entry on.
    pub membership: StoredMembership,
}

/// Writes the image of the state into a file or a network stream. Runs on a thread of its own and may block; a write
/// fails when the receiver is gone.
pub type WriteImage = Box<dyn FnOnce(&mut dyn io::Write) -> io::Result<()> + Send>;

/// A snapshot that is ready to be written out.
pub struct SnapshotSource {
    /// The state that the image holds.
    pub state: AppliedState,
    /// Writes the image (a bbolt file without trailer), consistent at `state.mark` while writes go on.
    pub write: WriteImage,
}

/// What raft needs of the state machine. `&mut self` methods are called one at a time: from the apply thread, and
/// [`Machine::apply`] for a few plain puts from a runtime's thread while [`Machine::is_ready`].
pub trait Machine: Send + 'static {
    /// What an applied entry answers to its proposer.
    type Outcome: Send + 'static;

    /// How far the state is; `None` for an empty state.
    fn applied(&self) -> Option<AppliedState>;

    /// Applies entries in order (at most [`super::config::APPLY_MAX`] at once) and returns the outcomes of those that are
    /// awaited; others may be left out.
    ///
    /// # Errors
    /// Only for what must stop the member.
    fn apply(&mut self, entries: &[CommittedEntry]) -> Result<Vec<Applied<Self::Outcome>>, Fatal>;

    /// Whether applying plain puts now changes memory only and waits for nobody.
    fn is_ready(&self) -> bool;

    /// The newest mark that is on disk together with its rows. The log is purged only below it.
    fn durable(&self) -> watch::Receiver<Option<AppliedMark>>;

    /// Takes a snapshot of the state as it is now, without waiting for it to be written out.
    ///
    /// # Errors
    /// The state cannot be read.
    fn snapshot(&mut self) -> Result<SnapshotSource, Fatal>;

    /// Replaces the whole state by the image in `file` (complete and synced), durably, and takes over `state` as the
    /// applied mark and membership. A crash in the middle must leave either the old or the new state. The file may be
    /// moved; if it is still there afterwards it is removed.
    ///
    /// # Errors
    /// Only for what must stop the member.
    fn install(&mut self, state: &AppliedState, file: &Path) -> Result<(), Fatal>;
}
