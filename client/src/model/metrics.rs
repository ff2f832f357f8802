//! Reads a member's `/metrics` text into the few figures the model shows.
//!
//! A reader for the Prometheus text format, version 0.0.4; not a general library: names that are not wanted are
//! skipped, and a line that cannot be read costs only itself.

use super::Histogram;

/// What the model takes from one `/metrics` page; what the member does not export stays `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scrape {
    /// Duration of the log's fsync.
    pub fsync: Option<Histogram>,
    /// Duration of the engine's commit.
    pub commit: Option<Histogram>,
    /// The quota in bytes; 0 means that the member has switched the quota off.
    pub quota: Option<f64>,
    /// Puts applied by this member since it started.
    pub puts: Option<f64>,
    /// Resident memory in bytes.
    pub memory: Option<f64>,
}

impl Scrape {
    /// Reads the page.
    pub fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut fsync = Vec::new();
        let mut commit = Vec::new();
        let mut old_puts = None;
        for line in text.lines() {
            let Some((name, labels, value)) = sample(line) else { continue };
            match name {
                "etcd_disk_wal_fsync_duration_seconds_bucket" => {
                    fsync.extend(bound(labels).map(|bound| (bound, value)));
                }
                "etcd_disk_backend_commit_duration_seconds_bucket" => {
                    commit.extend(bound(labels).map(|bound| (bound, value)));
                }
                "etcd_server_quota_backend_bytes" => scrape.quota = Some(value),
                "etcd_mvcc_put_total" => scrape.puts = Some(value),
                // Its name before etcd 3.4.
                "etcd_debugging_mvcc_put_total" => old_puts = Some(value),
                "process_resident_memory_bytes" => scrape.memory = Some(value),
                _ => {}
            }
        }
        scrape.puts = scrape.puts.or(old_puts);
        scrape.fsync = (!fsync.is_empty()).then(|| Histogram::new(fsync));
        scrape.commit = (!commit.is_empty()).then(|| Histogram::new(commit));
        scrape
    }
}

/// Splits a line into name, the text inside the braces, and the value.
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (name_and_labels, rest) = match line.find('{') {
        // A label's value may hold spaces, so the closing brace is looked for from the right.
        Some(_) => line.split_at(line.rfind('}')? + 1),
        None => line.split_at(line.find(' ')?),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    let (name, labels) = name_and_labels.split_once('{').unwrap_or((name_and_labels, ""));
    Some((name, labels.trim_end_matches('}'), value))
}

/// The `le` label of a bucket.
fn bound(labels: &str) -> Option<f64> {
    let start = labels.find("le=\"")? + 4;
    let text = &labels[start..start + labels[start..].find('"')?];
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
# TYPE etcd_disk_wal_fsync_duration_seconds histogram
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 3
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 9
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 10
etcd_disk_wal_fsync_duration_seconds_sum 0.0123
etcd_disk_wal_fsync_duration_seconds_count 10
etcd_server_quota_backend_bytes 2.147483648e+09
etcd_debugging_mvcc_put_total 41
etcd_mvcc_put_total 42
grpc_server_handled_total{grpc_code="OK",grpc_method="Put {odd} name"} 5
"#;

    /// Buckets, gauges with exponents and labels with spaces and braces are read.
    #[test]
    fn page_is_read() {
        let scrape = Scrape::parse(PAGE);
        assert_eq!(scrape.quota, Some(2_147_483_648.0));
        assert_eq!(scrape.puts, Some(42.0), "the newer name wins");
        let fsync = scrape.fsync.unwrap();
        assert_eq!(fsync.count(), 10.0);
    }

    /// What the page does not hold is missing, not 0; garbage costs nothing else.
    #[test]
    fn missing_is_none() {
        let scrape = Scrape::parse("garbage\n{}\n}{ 5\nprocess_resident_memory_bytes 7e6\nx{ 1");
        assert_eq!(scrape, Scrape { memory: Some(7e6), ..Scrape::default() });
    }
}
