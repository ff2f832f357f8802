//! What arrives from peers: decoded, handed to openraft or to the leader's side, and answered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use openraft::raft::{StreamAppendError, StreamAppendResult};
use quorate_etcd_files::disk::{Disk, File};
use quorate_proto::quoratepb as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::acknowledged::Claimed;
use super::apply::{Image, Progress};
use super::config::{Observer, PROPOSALS_MAX};
use super::core::Core;
use super::core::{
    CoreSnapshot, CoreSnapshotMeta, Setback, SetbackSink, SubmissionResponder, TypeConfig,
    core_stored_membership,
};
use super::error::Fatal;
use super::leader::Heard;
use super::leading::{Leading, Refusal};
use super::machine::Command;
use super::membership::StoredMembership;
use super::transport::{Answers, Call, ForwardHandler, PeerError, PeerHandler};
use super::wire;
use crate::types::MemberId;

/// Answers to a relaying follower that wait to be sent: as many as it may have proposals under way, so that none is lost.
const RELAY_ANSWERS: usize = PROPOSALS_MAX;

/// Tells whether a member has been removed from the cluster.
pub type IsRemoved = Arc<dyn Fn(MemberId) -> bool + Send + Sync>;

/// The receiving end of a member.
pub(super) struct Inbound {
    pub(super) core: Core,
    pub(super) heard: Arc<Heard>,
    pub(super) leading: Arc<Leading>,
    pub(super) is_removed: IsRemoved,
    pub(super) forward: Arc<OnceLock<Arc<dyn ForwardHandler>>>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) snap_dir: PathBuf,
    pub(super) observer: Arc<dyn Observer>,
    /// Where is told that this member must end.
    pub(super) progress: Arc<Progress>,
}

fn stopped() -> PeerError {
    PeerError::Refused("the member is stopping".to_owned())
}

impl PeerHandler for Inbound {
    fn admit(&self, from: MemberId) -> Result<(), PeerError> {
        if (self.is_removed)(from) { Err(PeerError::Removed) } else { Ok(()) }
    }

    fn append(
        &self,
        from: MemberId,
        requests: BoxStream<'static, pb::AppendRequest>,
    ) -> Answers<pb::AppendResponse> {
        let (heard, claimed) = (self.heard.clone(), Claimed::default());
        let (progress, claims) = (self.progress.clone(), claimed.clone());
        let requests = requests.scan((), move |(), request| {
            heard.note(from);
            claims.note(&request);
            let request = wire::append_from(request);
            if let Err(reason) = &request {
                // Ends the stream; the leader sends again, and if it was damage it is seen again.
                tracing::error!(from = format_args!("{from:x}"), reason, "cannot read an append");
            }
            std::future::ready(request.ok())
        });
        let answers = self.core.stream_append(requests);
        let answer = move |result: Result<StreamAppendResult<TypeConfig>, _>| {
            let result = result.map_err(|_| stopped())?;
            if let Err(StreamAppendError::Conflict(conflict)) = &result
                && let Some(reason) = claimed.lost(conflict)
            {
                progress.fail(&Fatal::new(&reason));
                return Err(PeerError::Refused(reason));
            }
            Ok(wire::appended_to(&result))
        };
        answers.map(answer).boxed()
    }

    fn vote(&self, request: pb::VoteRequest) -> Call<pb::VoteResponse> {
        let core = self.core.clone();
        Box::pin(async move {
            let is_pre_vote = request.is_pre_vote;
            let request = wire::vote_from(request);
            let answer =
                if is_pre_vote { core.pre_vote(request).await } else { core.vote(request).await };
            answer.map(|answer| wire::voted_to(&answer)).map_err(|_| stopped())
        })
    }

    fn transfer_leader(
        &self,
        request: pb::TransferLeaderRequest,
    ) -> Call<pb::TransferLeaderResponse> {
        let core = self.core.clone();
        Box::pin(async move {
            match core.handle_transfer_leader(wire::transfer_from(request)).await {
                Ok(Ok(())) => {
                    Ok(pb::TransferLeaderResponse { accepted: true, ..Default::default() })
                }
                Ok(Err(error)) => {
                    Ok(pb::TransferLeaderResponse { accepted: false, reason: error.to_string() })
                }
                Err(_) => Err(stopped()),
            }
        })
    }

    fn install_snapshot(
        &self,
        chunks: BoxStream<'static, Result<pb::SnapshotChunk, PeerError>>,
    ) -> Call<pb::SnapshotResponse> {
        let (core, disk, dir) = (self.core.clone(), self.disk.clone(), self.snap_dir.clone());
        let (observer, heard) = (self.observer.clone(), self.heard.clone());
        Box::pin(async move {
            let result = receive(&core, disk, &dir, &heard, &*observer, chunks).await;
            if let Err(error) = &result {
                tracing::warn!(%error, "could not receive a snapshot");
            }
            result
        })
    }

    fn relay(
        &self,
        from: MemberId,
        mut requests: BoxStream<'static, pb::RelayRequest>,
    ) -> Answers<pb::RelayResponse> {
        let (answers, receiver) = mpsc::channel(RELAY_ANSWERS);
        let (core, leading) = (self.core.clone(), self.leading.clone());
        let sink = Arc::new(FollowerSink(answers.clone()));
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let ids = request.request_ids.iter().copied();
                for (id, bytes) in ids.zip(request.proposals) {
                    let responder = SubmissionResponder::new(id, sink.clone());
                    let command = Command::encoded(bytes);
                    if let Err(error) = command.prepare() {
                        tracing::error!(from = format_args!("{from:x}"), %error, "no request was relayed");
                        sink.setback(id, Setback::Discarded);
                        continue;
                    }
                    if core.client_write_ff(Arc::new(command), Some(responder)).await.is_err() {
                        sink.setback(id, Setback::Rejected);
                    }
                }
                if let Some(number) = request.read {
                    tokio::spawn(answer_read(leading.clone(), number, answers.clone()));
                }
                if let Some(change) = request.conf_change {
                    tokio::spawn(answer_change(leading.clone(), change, answers.clone()));
                }
            }
            tracing::debug!(from = format_args!("{from:x}"), "a follower's line has ended");
        });
        ReceiverStream::new(receiver).map(Ok).boxed()
    }

    fn forward(&self, from: MemberId, request: pb::ForwardRequest) -> Call<pb::ForwardResponse> {
        let handler = self.forward.get().cloned();
        Box::pin(async move {
            let handler = handler
                .ok_or_else(|| PeerError::Refused("the member is still starting".to_owned()))?;
            let answer = handler.handle(from, request.kind, request.body).await;
            let is_refusal = answer.is_err();
            let body = answer.unwrap_or_else(|refusal| refusal);
            Ok(pb::ForwardResponse { body, is_refusal })
        })
    }
}

/// Tells a follower of setbacks.
struct FollowerSink(mpsc::Sender<pb::RelayResponse>);

impl SetbackSink for FollowerSink {
    fn setback(&self, request_id: u64, setback: Setback) {
        let mut answer = pb::RelayResponse::default();
        match setback {
            Setback::Rejected => answer.rejected.push(request_id),
            Setback::Discarded => answer.discarded.push(request_id),
        }
        // Called from openraft's core, which must not wait.
        let _ = self.0.try_send(answer);
    }
}

async fn answer_read(leading: Arc<Leading>, number: u64, answers: mpsc::Sender<pb::RelayResponse>) {
    let index = leading.read_index().await.ok();
    let answer = pb::RelayResponse { read: Some(number), index, ..Default::default() };
    // The follower may be gone.
    let _ = answers.send(answer).await;
}

async fn answer_change(
    leading: Arc<Leading>,
    change: quorate_proto::raftpb::ConfChange,
    answers: mpsc::Sender<pb::RelayResponse>,
) {
    let id = change.id();
    let mut answer = pb::RelayResponse::default();
    match leading.change(change).await {
        // The follower's caller hears of it when the follower applies it.
        Ok(()) => return,
        Err(Refusal::NotNow | Refusal::Stopped) => answer.rejected.push(id),
        Err(Refusal::Unknown) => answer.discarded.push(id),
        Err(Refusal::Invalid(reason)) => {
            answer.conf_change_id = id;
            answer.conf_change_refusal = reason;
        }
    }
    // The follower may be gone.
    let _ = answers.send(answer).await;
}

/// Receives an image into a temporary file and installs it.
async fn receive(
    core: &Core,
    disk: Arc<dyn Disk>,
    dir: &Path,
    heard: &Heard,
    observer: &dyn Observer,
    mut chunks: BoxStream<'static, Result<pb::SnapshotChunk, PeerError>>,
) -> Result<pb::SnapshotResponse, PeerError> {
    let refused = |reason: &str| PeerError::Refused(reason.to_owned());
    let first = chunks.next().await.ok_or_else(|| refused("an empty snapshot"))??;
    let header = first.header.ok_or_else(|| refused("a snapshot without description"))?;
    let vote = wire::ballot_from(header.ballot);
    let last = wire::log_id_from(header.last.ok_or_else(|| refused("a snapshot of nothing"))?);
    let membership = StoredMembership::from_message(header.membership.unwrap_or_default());
    let from = vote.leader_id.node_id;
    tracing::info!(from = format_args!("{from:x}"), index = last.index, "receiving a snapshot");
    let mut arrival = Arrival::new(observer, from);
    let path = dir.join(format!("tmp{:016x}{:08x}", last.index, rand::random::<u32>()));
    let mut incoming = Incoming::create(disk.clone(), path)?;
    while let Some(chunk) = chunks.next().await {
        heard.note(vote.leader_id.node_id);
        let chunk = chunk?;
        incoming = tokio::task::spawn_blocking(move || incoming.take(&chunk))
            .await
            .map_err(|error| PeerError::Refused(error.to_string()))??;
    }
    let sync = incoming.sync;
    let path = incoming.finish()?;
    observer.snapshot_saved(arrival.start.elapsed(), sync);
    let meta = CoreSnapshotMeta {
        last_log_id: Some(last),
        last_membership: core_stored_membership(&membership),
    };
    tracing::info!(index = last.index, "applying snapshot");
    let image = Image::File { path: path.clone(), membership };
    let snapshot = CoreSnapshot { meta, snapshot: image };
    let answer = core.install_full_snapshot(vote, snapshot).await;
    // Installed or of no use. Left-overs are removed at start at the latest.
    let _ = disk.remove_file(&path);
    let answer = answer.map_err(|_| stopped())?;
    tracing::info!(index = last.index, "applied snapshot");
    arrival.is_whole = true;
    Ok(pb::SnapshotResponse { ballot: Some(wire::ballot_to(&answer.vote)) })
}

/// A snapshot under way; told of when it ends, however it ends.
struct Arrival<'a> {
    observer: &'a dyn Observer,
    from: MemberId,
    start: Instant,
    is_whole: bool,
}

impl<'a> Arrival<'a> {
    fn new(observer: &'a dyn Observer, from: MemberId) -> Arrival<'a> {
        observer.snapshot_receiving(from);
        Arrival { observer, from, start: Instant::now(), is_whole: false }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.observer.snapshot_received(self.from, self.start.elapsed(), !self.is_whole);
    }
}

/// A file that is being received; removed unless it is finished.
struct Incoming {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<dyn File>,
    length: u64,
    crc: u32,
    /// How long the last sync took.
    sync: Duration,
    is_whole: bool,
    is_kept: bool,
}

impl Incoming {
    fn create(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Incoming, PeerError> {
        let file = disk.create(&path).map_err(|error| failed(&path, &error))?;
        let (sync, is_whole, is_kept) = (Duration::ZERO, false, false);
        Ok(Incoming { disk, path, file, length: 0, crc: 0, sync, is_whole, is_kept })
    }

    fn take(mut self, chunk: &pb::SnapshotChunk) -> Result<Incoming, PeerError> {
        if let Some(crc) = chunk.crc {
            if crc != self.crc {
                return Err(PeerError::Refused("the snapshot was damaged on its way".to_owned()));
            }
            let start = Instant::now();
            self.file.sync_data().map_err(|error| failed(&self.path, &error))?;
            self.sync = start.elapsed();
            self.is_whole = true;
        }
        if !chunk.data.is_empty() {
            let written = self.file.write_all_at(&chunk.data, self.length);
            written.map_err(|error| failed(&self.path, &error))?;
            self.length += chunk.data.len() as u64;
            self.crc = crc32c::crc32c_append(self.crc, &chunk.data);
        }
        Ok(self)
    }

    fn finish(mut self) -> Result<PathBuf, PeerError> {
        if !self.is_whole {
            return Err(PeerError::Unreachable("the snapshot broke off".to_owned()));
        }
        self.is_kept = true;
        Ok(self.path.clone())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_kept {
            // Left-overs are removed at start at the latest.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> PeerError {
    PeerError::Refused(format!("{}: {error}", path.display()))
}

/// Removes what an interrupted receive left behind.
pub(super) fn remove_left_overs(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    for path in disk.list(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("tmp") {
            disk.remove_file(&path)?;
        }
    }
    Ok(())
}
