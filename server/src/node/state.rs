//! How a member's state is opened. What is in it is not looked at here.

use super::error::{Context as _, Result};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::storage::{Backend, BackendOptions, Batch, Keyspace, SyncPolicy};
use crate::types::{STORAGE_VERSION, STORAGE_VERSION_ROW};
use std::path::Path;
use std::sync::Arc;

/// Options that the flags ask for.
///
/// # Errors
/// `--storage-engine` names no engine.
pub(super) fn backend_options(config: &Config) -> Result<BackendOptions> {
    Ok(BackendOptions {
        engine: config.storage_engine.parse().context("--storage-engine")?,
        flush_interval: config.flush_interval,
        flush_rows: config.flush_rows,
        sync: if config.unsafe_no_fsync { SyncPolicy::Never } else { SyncPolicy::Always },
        ..BackendOptions::default()
    })
}

/// Opens the state, or makes an empty one.
///
/// # Errors
/// It is damaged, another engine's, or the disk failed.
pub(super) fn open_backend(
    config: &Config,
    snap_dir: &Path,
    metrics: &Metrics,
) -> Result<Arc<Backend>> {
    let commits = metrics.disk.backend_commit.clone();
    let options = BackendOptions {
        on_commit: Some(Arc::new(move |took| commits.observe(took.as_secs_f64()))),
        ..backend_options(config)?
    };
    let backend =
        Backend::open(&snap_dir.join("state"), options).context("the state cannot be used")?;
    let version =
        backend.get(Keyspace::Meta, STORAGE_VERSION_ROW).context("failed to read the state")?;
    if version.is_none() {
        let mut batch = Batch::housekeeping();
        batch.put(Keyspace::Meta, STORAGE_VERSION_ROW, STORAGE_VERSION);
        backend.write(batch).context("failed to write the state")?;
    }
    defragment_at_start(config, &backend)?;
    Ok(backend)
}

/// `--bootstrap-defrag-threshold-megabytes`: only where enough would be gained.
fn defragment_at_start(config: &Config, backend: &Backend) -> Result<()> {
    if backend.sizes().total_bytes.saturating_sub(backend.sizes().in_use_bytes)
        < config.bootstrap_defrag_threshold_bytes
    {
        tracing::info!("Skipping defragmentation");
    } else if config.bootstrap_defrag_threshold_bytes > 0 {
        backend.defragment().context("failed to defragment")?;
    }
    Ok(())
}
