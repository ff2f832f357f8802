//! The way out of NOSPACE without an operator: a member that raised the alarm frees what can be freed, and takes its own
//! alarm back once it has been well below the quota for some time. What raises the alarm is the `api` room's.
//!
//! etcd keeps the alarm until somebody disarms it (etcd-io/etcd #9992, #20753). Safe is this much: only a member's own
//! alarm, only with a tenth of the quota free, only after that has held for a while, and through the log.

use crate::apply::{Outcome, State};
use crate::raft::Raft;
use quorate_proto::etcdserverpb::alarm_request::AlarmAction;
use quorate_proto::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType, InternalRaftRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Looks in the time after which the alarm is taken back.
const LOOKS: u32 = 10;
/// Longest time between two looks.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Time between two defragmentations, each of which copies the whole state.
const DEFRAGMENT_PAUSE: Duration = Duration::from_secs(300);

/// Watches the space of a member.
pub struct SpaceKeeper {
    /// To propose the end of the alarm.
    pub raft: Raft<Outcome>,
    /// Sizes and alarms.
    pub state: Arc<State>,
    /// `--quota-backend-bytes`, above 0.
    pub quota_bytes: u64,
    /// `--nospace-disarm-after`.
    pub disarm_after: Duration,
}

impl SpaceKeeper {
    /// Runs until the task is dropped.
    pub async fn run(self) {
        let pause = (self.disarm_after / LOOKS).min(LOOK_INTERVAL_MAX);
        let mut defragmented: Option<Instant> = None;
        let mut free_since: Option<Instant> = None;
        loop {
            tokio::time::sleep(pause).await;
            if !self.has_raised() {
                free_since = None;
                continue;
            }
            let sizes = self.state.backend.sizes();
            if self.is_well_below(sizes.quota_bytes()) {
                let since = *free_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.disarm_after {
                    self.disarm().await;
                }
                continue;
            }
            free_since = None;
            let may_defragment = defragmented
                .is_none_or(|last| last.elapsed() >= DEFRAGMENT_PAUSE.min(10 * self.disarm_after));
            if self.is_well_below(sizes.in_use_bytes) && may_defragment {
                self.defragment().await;
                defragmented = Some(Instant::now());
            }
        }
    }

    fn own_alarm(&self) -> AlarmMember {
        let member_id = self.state.cluster.local_id();
        AlarmMember { member_id, alarm: AlarmType::Nospace as i32 }
    }

    fn has_raised(&self) -> bool {
        self.state.alarms.list(AlarmType::Nospace).contains(&self.own_alarm())
    }

    fn is_well_below(&self, bytes: u64) -> bool {
        bytes < self.quota_bytes / 10 * 9
    }

    async fn defragment(&self) {
        tracing::info!("starting defragment: the quota is reached and much of the file is free");
        let backend = self.state.backend.clone();
        match tokio::task::spawn_blocking(move || backend.defragment()).await {
            Ok(Ok(report)) => tracing::info!(?report, "finished defragment"),
            Ok(Err(error)) => tracing::warn!(%error, "failed to defragment"),
            Err(error) => tracing::warn!(%error, "failed to defragment"),
        }
    }

    async fn disarm(&self) {
        let AlarmMember { member_id, alarm } = self.own_alarm();
        let action = AlarmAction::Deactivate as i32;
        let alarm = Some(AlarmRequest { action, member_id, alarm });
        let request = InternalRaftRequest { alarm, ..InternalRaftRequest::default() };
        match self.raft.propose(request).await {
            Ok(_) => tracing::info!("took back the NOSPACE alarm: there is space again"),
            Err(error) => tracing::warn!(%error, "failed to take back the NOSPACE alarm"),
        }
    }
}
