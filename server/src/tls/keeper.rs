//! Keeps what a door's files say up to date: each handshake looks whether a file has changed, and so does a clock.
//!
//! New files hold for connections made from then on. Files that cannot be used change nothing; that is logged once.
//! While files are being replaced one by one they do not belong together: a state is complained about only when it has
//! rested for a moment.

use super::error::TlsError;
use super::material::{Contents, Material};
use super::options::TlsOptions;
use crate::metrics::Metrics;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Time between two looks without a handshake, so that a bad file is told before a client finds out.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A file that changed less than this ago may change again without a difference in its times.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What tells a file from its successor without reading it.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// What is known of the files.
#[derive(Default)]
struct Seen {
    stamps: Vec<Stamp>,
    /// False while a file is so new that it has to be read again.
    is_settled: bool,
    /// Of the contents that are in use.
    used: [u8; 32],
    /// Of the contents that were complained about.
    refused: Option<[u8; 32]>,
}

/// TLS of one door, as its files say now.
pub struct TlsKeeper {
    options: TlsOptions,
    files: Vec<PathBuf>,
    current: ArcSwap<Material>,
    seen: Mutex<Seen>,
    metrics: Metrics,
}

impl std::fmt::Debug for TlsKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TLS of the {} door", self.options.door)
    }
}

impl TlsKeeper {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Which file is wrong and how.
    pub fn open(options: TlsOptions, metrics: Metrics) -> Result<Arc<TlsKeeper>, TlsError> {
        let files = options.files();
        let stamps = stamps(&files);
        let contents = read(&files);
        let material = Material::read(&options, &contents)?;
        let is_settled = is_settled(&stamps);
        let seen = Seen { stamps, is_settled, used: digest(&files, &contents), refused: None };
        let keeper = TlsKeeper {
            current: ArcSwap::from_pointee(material),
            seen: Mutex::new(seen),
            options,
            files,
            metrics,
        };
        keeper.publish();
        Ok(Arc::new(keeper))
    }

    /// What the door is made of.
    pub fn options(&self) -> &TlsOptions {
        &self.options
    }

    /// Counters, for those who use the door.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What the files say now. Asks the system for the times of the files, and reads them when these have changed.
    pub(super) fn material(&self) -> Arc<Material> {
        self.look();
        self.current.load_full()
    }

    /// Looks at the files from time to time, until it is dropped.
    pub async fn watch_files(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let keeper = self.clone();
            // File systems may hang; a runtime's thread must not.
            if tokio::task::spawn_blocking(move || keeper.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let mut seen = self.seen.lock();
        let now = stamps(&self.files);
        if seen.is_settled && seen.stamps == now {
            return;
        }
        let contents = read(&self.files);
        let digest = digest(&self.files, &contents);
        seen.is_settled = is_settled(&now);
        seen.stamps = now;
        if digest == seen.used {
            seen.refused = None;
            return;
        }
        if seen.refused == Some(digest) {
            return;
        }
        match Material::read(&self.options, &contents) {
            Ok(material) => {
                (seen.used, seen.refused) = (digest, None);
                self.current.store(Arc::new(material));
                self.metrics.tls.reloads.with_label_values(&[self.options.door, "success"]).inc();
                self.publish();
                tracing::info!(
                    door = self.options.door,
                    certificate_not_after = self.current.load().not_after,
                    "reloaded TLS files; new connections use them"
                );
            }
            Err(_) if !seen.is_settled => {}
            Err(error) => {
                seen.refused = Some(digest);
                self.metrics.tls.reloads.with_label_values(&[self.options.door, "failure"]).inc();
                tracing::error!(
                    door = self.options.door,
                    %error,
                    "TLS files have changed and cannot be used; the earlier ones stay in use. Put usable files there."
                );
            }
        }
    }

    fn publish(&self) {
        let ends = &self.metrics.tls.certificate_ends;
        ends.with_label_values(&[self.options.door]).set(self.current.load().not_after);
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        let nanos = |seconds: i64, nanos: i64| seconds.wrapping_mul(1_000_000_000) + nanos;
        let modified = nanos(meta.mtime(), meta.mtime_nsec());
        Some((meta.dev(), meta.ino(), meta.len(), modified, nanos(meta.ctime(), meta.ctime_nsec())))
    };
    files.iter().map(stamp).collect()
}

/// Whether another change would show in the stamps. A clock that runs backwards only makes for more reading.
fn is_settled(stamps: &[Stamp]) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let limit = now.saturating_sub(SETTLED_AFTER).as_nanos() as i64;
    stamps.iter().flatten().all(|(.., changed)| *changed < limit)
}

fn read(files: &[PathBuf]) -> Contents {
    let contents = |path: &PathBuf| std::fs::read(path).map_err(|error| error.to_string());
    files.iter().map(|path| (path.clone(), contents(path))).collect()
}

fn digest(files: &[PathBuf], contents: &Contents) -> [u8; 32] {
    let mut sha = Sha256::new();
    for path in files {
        let (kind, bytes) = match contents.get(path) {
            Some(Ok(bytes)) => (0_u8, &bytes[..]),
            Some(Err(cause)) => (1, cause.as_bytes()),
            None => (2, &[][..]),
        };
        sha.update([kind]);
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::tls::{Allowed, Pair, Version};
    use testbed::{Leaf, Pki};

    fn open(pair: &testbed::Pair) -> Arc<TlsKeeper> {
        let options = TlsOptions {
            door: "client",
            pair: Pair { cert: pair.cert.clone(), key: pair.key.clone() },
            calling_pair: None,
            trusted_ca: None,
            client_cert_auth: false,
            crl: None,
            allowed: Allowed::Any,
            cipher_suites: Vec::new(),
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            is_self_signed: false,
            checks_address: false,
            server_name: None,
        };
        TlsKeeper::open(options, Metrics::new(false)).unwrap()
    }

    /// A change is seen by the very next handshake, and the metrics tell of it.
    #[test]
    fn the_next_handshake_sees_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path()).unwrap();
        let leaf = Leaf { file: "server", ..Leaf::default() };
        let keeper = open(&pki.issue(&leaf).unwrap());
        let before = keeper.material();
        assert!(Arc::ptr_eq(&before, &keeper.material()), "nothing has changed");
        pki.issue(&leaf).unwrap();
        assert!(!Arc::ptr_eq(&before, &keeper.material()));
        let reloads = &keeper.metrics.tls.reloads;
        assert_eq!(reloads.with_label_values(&["client", "success"]).get(), 1);
    }

    /// Files that cannot be used change nothing, however often they are looked at, and are counted once when they have
    /// rested; the next good ones are taken.
    #[test]
    fn bad_files_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path()).unwrap();
        let leaf = Leaf { file: "server", ..Leaf::default() };
        let pair = pki.issue(&leaf).unwrap();
        let keeper = open(&pair);
        let before = keeper.material();
        std::fs::write(&pair.key, "no key").unwrap();
        assert!(Arc::ptr_eq(&before, &keeper.material()));
        let failures =
            || keeper.metrics.tls.reloads.with_label_values(&["client", "failure"]).get();
        let start = std::time::Instant::now();
        while failures() == 0 {
            assert!(start.elapsed() < Duration::from_secs(60), "never told");
            assert!(Arc::ptr_eq(&before, &keeper.material()));
            std::thread::sleep(Duration::from_millis(50));
        }
        for _ in 0..10 {
            keeper.material();
        }
        assert_eq!(failures(), 1);
        pki.issue(&leaf).unwrap();
        assert!(!Arc::ptr_eq(&before, &keeper.material()));
    }
}
