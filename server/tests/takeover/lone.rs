//! A member of a cluster of one: its flags stay while the program behind them changes.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testbed::{Process, free_ports};

use super::ask;
use super::stage::READY_MAX;

const VALUE_BYTES: usize = 16 * 1024;

/// A member of a cluster of one, whatever runs it.
pub struct Lone {
    pub folder: TempDir,
    pub data: PathBuf,
    pub flags: Vec<String>,
    pub url: String,
}

impl Lone {
    pub fn new() -> Lone {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let ports = free_ports(2).unwrap();
        let [url, peer] = [ports[0], ports[1]].map(|port| format!("http://127.0.0.1:{port}"));
        let flags = [
            "--name=m1".to_owned(),
            "--logger=zap".to_owned(),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=m1={peer}"),
        ];
        Lone { folder, data, flags: flags.into(), url }
    }

    pub fn process(&self, program: &Path) -> Process {
        let data = [format!("--data-dir={}", self.data.display())];
        let flags: Vec<String> = self.flags.iter().chain(&data).cloned().collect();
        // Real etcd then checks its own files while it starts.
        let process = Process::new("m1", self.folder.path(), program, &flags);
        process.with_variable("ETCD_VERIFY", "all")
    }

    pub fn start(&self, program: &Path) -> Process {
        let mut process = self.process(program);
        process.start().unwrap();
        process.wait_ready(READY_MAX).unwrap();
        process
    }

    pub async fn put(&self, keys: usize) {
        let mut kv = ask::kv(&self.url, READY_MAX);
        for n in 0..keys {
            let put = quorate_proto::etcdserverpb::PutRequest {
                key: format!("k{n}").into(),
                value: vec![b'v'; VALUE_BYTES].into(),
                ..Default::default()
            };
            kv.put(put).await.unwrap();
        }
    }

    /// Revision and HashKV of what runs.
    pub async fn state(&self) -> (i64, u32) {
        let urls = std::slice::from_ref(&self.url);
        let revision = ask::same_revision(urls, READY_MAX).await;
        (revision, ask::hashes(urls, revision).await[0])
    }

    pub fn moved(&self) -> bool {
        fs::read_dir(&self.data)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("member.etcd-"))
    }
}
