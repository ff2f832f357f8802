//! Certificates and authorities that change while members and clients go on.

use super::ask::{etcdctl, flags, ours, secure_cluster, until};
use std::fs;
use testbed::{Leaf, Pki, Version};

/// Certificates, keys and authorities of all members change under traffic: no call fails, old and new clients are
/// served while both authorities are trusted, and only new ones when the old authority is gone. A bad file in between
/// changes nothing and is complained about.
#[test]
fn authorities_change_without_a_failed_call() {
    let folder = tempfile::tempdir().unwrap();
    let old = Pki::new(&folder.path().join("pki")).unwrap();
    let new = Pki::new(&folder.path().join("new")).unwrap();
    let cluster = secure_cluster(&ours(), 3, folder.path(), &old);
    let (old_client, new_client) = (old.client("root").unwrap(), new.client("root").unwrap());
    let ca = old.ca();
    let both = folder.path().join("both.pem");
    let (old_ca, new_ca) =
        (fs::read_to_string(&ca).unwrap(), fs::read_to_string(new.ca()).unwrap());
    fs::write(&both, format!("{old_ca}{new_ca}")).unwrap();
    let put = |cert: &testbed::Pair| {
        let trusted = vec![format!("--cacert={}", both.display())];
        let flags = flags(&cluster.client_urls(), &old, Some(cert));
        let flags =
            [flags.into_iter().filter(|f| !f.starts_with("--cacert")).collect(), trusted].concat();
        etcdctl(Version::V3_7_1, &flags, "put a b")
    };
    put(&old_client).good();
    assert_ne!(put_quick(&cluster.client_urls(), &both, &new_client), 0);
    let traffic = Traffic::start(&cluster.client_urls(), &both, &old_client);
    let replace = |path: &std::path::Path, text: &str| {
        let next = path.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, path).unwrap();
    };

    // 1. Both authorities are trusted.
    replace(&ca, &format!("{old_ca}{new_ca}"));
    put(&old_client).good();
    put(&new_client).good();

    // 2. Something that is no certificate: the earlier state holds, and the log says so once.
    let server = folder.path().join("pki/server.pem");
    let (server_cert, server_key) =
        (fs::read_to_string(&server).unwrap(), server.with_extension("key"));
    replace(&server, "this is no certificate\n");
    put(&old_client).good();
    until("the bad file is complained about", || {
        let told = "TLS files have changed and cannot be used";
        cluster.members.iter().all(|m| m.process.log_text().contains(told))
    });
    put(&new_client).good();

    // 3. Members show certificates of the new authority. Key and certificate change one after the other.
    let next = new.issue(&Leaf { file: "server", ..Leaf::default() }).unwrap();
    replace(&server_key, &fs::read_to_string(&next.key).unwrap());
    put(&old_client).good();
    replace(&server, &fs::read_to_string(&next.cert).unwrap());
    put(&old_client).good();
    put(&new_client).good();
    assert_ne!(server_cert, fs::read_to_string(&server).unwrap());

    // 4. The old authority is gone. Nobody has noticed anything until now.
    let calls = traffic.stop();
    assert!(calls > 20, "only {calls} calls were made meanwhile");
    let traffic = Traffic::start(&cluster.client_urls(), &both, &new_client);
    replace(&ca, &new_ca);
    put(&new_client).good();
    assert_ne!(put_quick(&cluster.client_urls(), &both, &old_client), 0);
    let urls = cluster.client_urls();
    for url in &urls {
        let flags = vec![
            format!("--endpoints={url}"),
            format!("--cacert={}", new.ca().display()),
            format!("--cert={}", new_client.cert.display()),
            format!("--key={}", new_client.key.display()),
        ];
        etcdctl(Version::V3_7_1, &flags, "put a b").good();
    }
    traffic.stop();
    for member in &cluster.members {
        let log = member.process.log_text();
        assert!(log.contains("reloaded TLS files"), "{log}");
    }
    // Peers that meet anew do so with the new certificates.
    let mut cluster = cluster;
    for n in 0..3 {
        cluster.members[n].process.stop(std::time::Duration::from_secs(30)).unwrap();
        cluster.members[n].process.start().unwrap();
        cluster.members[n].process.wait_ready(std::time::Duration::from_secs(60)).unwrap();
    }
    assert_eq!(put_quick(&cluster.client_urls(), &both, &new_client), 0);
}

/// Puts that never end: over one connection that is kept, and over a new one each time. None may fail.
struct Traffic {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    callers: Vec<std::thread::JoinHandle<usize>>,
}

impl Traffic {
    fn start(urls: &[String], ca: &std::path::Path, pair: &testbed::Pair) -> Traffic {
        use std::sync::atomic::Ordering;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let caller = |keeps: bool| {
            let mut config = quorate_client::Config::new(urls.iter().cloned());
            config.dial_timeout = std::time::Duration::from_secs(20);
            config.request_timeout = Some(std::time::Duration::from_secs(30));
            config.tls = Some(quorate_client::Tls {
                ca: Some(ca.to_owned()),
                cert: Some(pair.cert.clone()),
                key: Some(pair.key.clone()),
                ..Default::default()
            });
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                runtime.block_on(async move {
                    let mut client = quorate_client::Client::connect(config.clone()).await.unwrap();
                    let mut calls = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if !keeps {
                            client = quorate_client::Client::connect(config.clone()).await.unwrap();
                        }
                        let put = quorate_proto::etcdserverpb::PutRequest {
                            key: "traffic".into(),
                            value: "v".into(),
                            ..Default::default()
                        };
                        client.kv().put(put).await.expect("no call fails");
                        calls += 1;
                    }
                    calls
                })
            })
        };
        let callers = vec![caller(true), caller(false)];
        Traffic { stop, callers }
    }

    /// How many calls there were; each succeeded.
    fn stop(self) -> usize {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.callers.into_iter().map(|caller| caller.join().expect("no call failed")).sum()
    }
}

/// A put that is expected to fail, without the patience of one that is not.
fn put_quick(urls: &[String], ca: &std::path::Path, pair: &testbed::Pair) -> i32 {
    let flags = vec![
        format!("--endpoints={}", urls[0]),
        format!("--cacert={}", ca.display()),
        format!("--cert={}", pair.cert.display()),
        format!("--key={}", pair.key.display()),
        "--command-timeout=2s".to_owned(),
        "--dial-timeout=2s".to_owned(),
    ];
    etcdctl(Version::V3_7_1, &flags, "put a b").code
}
