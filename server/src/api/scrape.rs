//! `/metrics`: brings what lives elsewhere into the metrics, then writes them down.

use super::context::Context;
use super::pages::{page, text_page};
use crate::metrics::{Metrics, catch_up};
use crate::types::ETCD_VERSION;
use bytes::Bytes;
use http::{Response, StatusCode};
use prometheus::core::Collector as _;
use prometheus::proto::MetricFamily;
use quorate_proto::etcdserverpb::AlarmType;
use rustix::process::{Resource, getrlimit};

/// Scrapes may come from several clients at once; counters are caught up by one at a time.
static REFRESH: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// Answers with the text of all metrics.
pub fn answer(context: &Context) -> Response<Bytes> {
    let door = &context.metrics.door;
    door.scrapes_in_flight.inc();
    refresh(context);
    let text = context.metrics.text();
    door.scrapes_in_flight.dec();
    match text {
        Ok(text) => {
            door.scrapes.with_label_values(&["200"]).inc();
            page(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
                text,
            )
        }
        Err(error) => {
            door.scrapes.with_label_values(&["500"]).inc();
            text_page(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

/// Writes what lives elsewhere into the metrics.
fn refresh(context: &Context) {
    let _one_at_a_time = REFRESH.lock();
    let local = context.state.cluster.local_id();
    refresh_server(context, local);
    refresh_store(context);
    refresh_peers(context, local);
    refresh_alarms(context);
    refresh_budgets(context);
    refresh_process(&context.metrics);
}

fn refresh_server(context: &Context, local: u64) {
    let server = &context.metrics.server;
    let leader = context.raft.leader();
    server.has_leader.set(i64::from(leader.is_some()));
    server.is_leader.set(i64::from(leader == Some(local)));
    server.is_learner.set(i64::from(context.state.cluster.is_local_learner()));
    server.proposals_committed.set(context.raft.commit_index().cast_signed());
    server.proposals_applied.set(context.raft.applied_index().cast_signed());
    server.quota_bytes.set(context.limits.quota_bytes);
    server.auth_revision.set(context.state.auth.view().revision().cast_signed());
    server.server_id.with_label_values(&[&hex(local)]).set(1);
    server.server_version.with_label_values(&[ETCD_VERSION]).set(1);
    if let Some(version) = context.state.cluster.version() {
        let short = version.rsplit_once('.').map_or(version.as_str(), |(short, _)| short);
        server.cluster_version.reset();
        server.cluster_version.with_label_values(&[short]).set(1);
    }
}

fn refresh_store(context: &Context) {
    let sizes = context.state.backend.sizes();
    let disk = &context.metrics.disk;
    disk.db_total_bytes.set(sizes.total_bytes.cast_signed());
    disk.db_in_use_bytes.set(sizes.in_use_bytes.cast_signed());
    let state = context.state.store();
    let counters = state.counters();
    let store = &context.metrics.store;
    catch_up(&store.puts, counters.puts.get());
    catch_up(&store.deletes, counters.deletes.get());
    catch_up(&store.ranges, counters.ranges.get());
    catch_up(&store.txns, counters.txns.get());
    store.keys.set(counters.keys.get());
    store.put_bytes.set(counters.put_bytes.get());
    store.current_revision.set(state.revision());
    store.compact_revision.set(state.compact_revision());
    let watch = &context.metrics.watch;
    catch_up(&watch.events, counters.events.get());
    watch.watchers.set(counters.watchers.get());
    watch.slow_watchers.set(counters.slow_watchers.get());
    watch.streams.set(counters.watch_streams.get());
    watch.pending_events.set(counters.pending_events.get());
}

fn refresh_peers(context: &Context, local: u64) {
    let network = &context.metrics.network;
    network.known_peers.reset();
    network.active_peers.reset();
    for member in context.state.cluster.members().iter() {
        let (local_id, id) = (hex(local), hex(member.id));
        let pair = [local_id.as_str(), id.as_str()];
        network.known_peers.with_label_values(&pair).set(1);
        if member.id == local {
            continue;
        }
        let stats = context.raft.peer_stats(member.id);
        let is_active = stats.active_since.is_some();
        network.active_peers.with_label_values(&pair).set(i64::from(is_active));
        let to = [id.as_str()];
        catch_up(&network.disconnected_peers.with_label_values(&pair), stats.disconnects);
        catch_up(&network.peer_sent_bytes.with_label_values(&to), stats.sent_bytes);
        catch_up(&network.peer_received_bytes.with_label_values(&to), stats.received_bytes);
        catch_up(&network.peer_sent_failures.with_label_values(&to), stats.failures);
        let failed = network.peer_received_failures.with_label_values(&to);
        catch_up(&failed, stats.received_failures);
    }
}

fn refresh_alarms(context: &Context) {
    let alarms = &context.metrics.server.alarms;
    // As with etcd, an alarm that was disarmed is 0 and not gone: a rule that waits for its end needs it.
    for known in alarms.collect().iter().flat_map(MetricFamily::get_metric) {
        let label = |name: &str| known.get_label().iter().find(|label| label.name() == name);
        if let (Some(id), Some(kind)) = (label("server_id"), label("alarm_type")) {
            alarms.with_label_values(&[id.value(), kind.value()]).set(0);
        }
    }
    for alarm in context.state.alarms.list(AlarmType::None) {
        let id = hex(alarm.member_id);
        alarms.with_label_values(&[id.as_str(), alarm.alarm().as_str_name()]).set(1);
    }
}

fn refresh_budgets(context: &Context) {
    let (door, intake, answers) = (&context.metrics.door, &context.intake, &context.answers);
    door.request_bytes.set(intake.taken() as i64);
    catch_up(&door.requests_refused.with_label_values(&["full"]), intake.refused());
    catch_up(&door.requests_refused.with_label_values(&["stalled"]), intake.stalled());
    door.answer_bytes.set(answers.taken() as i64);
    catch_up(&door.answers_dropped, answers.dropped());
}

fn refresh_process(metrics: &Metrics) {
    let limit = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
    metrics.process.fd_limit.set(limit(Resource::Nofile).cast_signed());
    metrics.process.virtual_memory_max.set(limit(Resource::As) as f64);
    let n_open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    metrics.process.fd_used.set(n_open as i64);
}

/// An id as labels show it.
fn hex(id: u64) -> String {
    format!("{id:x}")
}
