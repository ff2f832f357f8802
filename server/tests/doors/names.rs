//! Which names in a certificate open which door, beside real etcd 3.7.1: allowed host names of clients and peers, and
//! the rule that a peer's certificate fits where it calls from. Names are looked up in a hosts file of the test's own,
//! in a mount namespace, which takes root.

use super::ask::{etcd, ours, run};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testbed::{Leaf, Pair, Pki, Process, free_ports};

const HOSTS: &str = "127.0.0.1 node1.cluster.test localhost\n127.0.0.2 node2.cluster.test\n";

/// A member with TLS and demanded certificates on both ports.
struct Member {
    _process: Process,
    client: u16,
    peer: u16,
}

fn member(program: &Path, folder: &Path, name: &str, extra: &[String]) -> Member {
    let ports = free_ports(2).unwrap();
    let (client, peer) = (ports[0], ports[1]);
    let hosts = folder.join("hosts");
    std::fs::write(&hosts, HOSTS).unwrap();
    // Nobody answers there: what is not in the hosts file is not known.
    let resolver = folder.join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let mount = format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
        hosts.display(),
        resolver.display()
    );
    let flags = [
        format!("--name={name}"),
        format!("--data-dir={}", folder.join(name).display()),
        format!("--listen-client-urls=https://127.0.0.1:{client}"),
        format!("--advertise-client-urls=https://127.0.0.1:{client}"),
        format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"),
        format!("--initial-cluster={name}=https://127.0.0.1:{peer}"),
    ];
    let words = ["-m", "sh", "-c", &mount, &program.to_string_lossy()].map(str::to_owned);
    let arguments = [&words[..], &flags[..], extra].concat();
    let mut process = Process::new(name, folder, Path::new("unshare"), &arguments);
    process.start().unwrap();
    process.wait_ready(Duration::from_secs(60)).unwrap();
    Member { _process: process, client, peer }
}

/// Whether a page of this port can be read with this certificate.
fn is_let_in(pki: &Pki, port: u16, page: &str, pair: &Pair) -> bool {
    let mut words: Vec<String> = ["-sS", "--http1.1", "--max-time", "30"].map(str::to_owned).into();
    words.extend(["--cacert".to_owned(), pki.ca().display().to_string()]);
    words.extend(["--cert".to_owned(), pair.cert.display().to_string()]);
    words.extend(["--key".to_owned(), pair.key.display().to_string()]);
    words.push(format!("https://127.0.0.1:{port}{page}"));
    let answer = run(Path::new("curl"), &words);
    answer.code == 0 && answer.out.starts_with(['[', '{'])
}

/// Certificates by a word for them, with their names.
type Named<'a> = &'a [(&'a str, &'a str, &'a [&'a str])];

const CLIENTS: Named<'_> = &[
    ("the name", "", &["a.example.com"]),
    ("the name in capitals", "", &["A.EXAMPLE.COM"]),
    ("a wildcard over it", "", &["*.example.com"]),
    ("a wildcard below it", "", &["*.a.example.com"]),
    ("a wildcard two levels up", "", &["*.com"]),
    ("a name below it", "", &["x.a.example.com"]),
    ("the name as common name alone", "a.example.com", &[]),
    ("the name as common name beside another", "a.example.com", &["b.example.com"]),
    ("an address", "", &["127.0.0.1"]),
    ("an address and the name", "", &["10.1.2.3", "a.example.com"]),
    ("no name", "someone", &[]),
];

const PEERS: Named<'_> = &[
    ("its address", "", &["127.0.0.1"]),
    ("another address", "", &["10.1.2.3"]),
    ("a name of its address", "", &["node1.cluster.test"]),
    ("another address and a name of its own", "", &["10.1.2.3", "node1.cluster.test"]),
    ("a name of another address", "", &["node2.cluster.test"]),
    ("a name that nobody knows", "", &["node3.cluster.test"]),
    ("two names, one of them its own", "", &["node2.cluster.test", "node1.cluster.test"]),
    ("a wildcard over the name of its address", "", &["*.cluster.test"]),
    ("a wildcard over other names", "", &["*.other.test"]),
    ("its address and a name of another", "", &["127.0.0.1", "node2.cluster.test"]),
    ("its address and an allowed name", "", &["127.0.0.1", "node1.cluster.test"]),
    ("an allowed name as common name", "node1.cluster.test", &["127.0.0.1"]),
    ("no name", "someone", &[]),
];

fn issue(pki: &Pki, named: Named<'_>, kind: &str) -> Vec<Pair> {
    let issue = |(n, (_, common_name, names)): (usize, &(&str, &str, &[&str]))| {
        let file = format!("{kind}{n}");
        pki.issue(&Leaf { file: &file, common_name, names, ..Leaf::default() }).unwrap()
    };
    named.iter().enumerate().map(issue).collect()
}

/// Who is let in, by program, rule and certificate.
fn judge(program: &Path, folder: &Path, pki: &Pki) -> BTreeMap<String, bool> {
    std::fs::create_dir_all(folder).unwrap();
    let (clients, peers) = (issue(pki, CLIENTS, "client"), issue(pki, PEERS, "peer"));
    let tls = pki.server_flags().unwrap();
    let with = |flags: &[&str]| {
        let flags = flags.iter().map(|flag| (*flag).to_owned());
        tls.iter().cloned().chain(flags).collect::<Vec<String>>()
    };
    let mut judged = BTreeMap::new();
    let mut note = |rule: &str, port: u16, page: &str, named: Named<'_>, pairs: &[Pair]| {
        for ((word, ..), pair) in named.iter().zip(pairs) {
            judged.insert(format!("{rule}: {word}"), is_let_in(pki, port, page, pair));
        }
    };
    let plain = member(program, folder, "plain", &with(&[]));
    note("any client", plain.client, "/version", CLIENTS, &clients);
    note("any peer", plain.peer, "/members", PEERS, &peers);
    let strict = [
        "--client-cert-allowed-hostname=a.example.com",
        "--peer-cert-allowed-hostname=node1.cluster.test",
    ];
    let strict = member(program, folder, "strict", &with(&strict));
    note("client with a name", strict.client, "/version", CLIENTS, &clients);
    note("peer with a name", strict.peer, "/members", PEERS, &peers);
    let lax = [
        "--peer-cert-allowed-hostname=x.test,node1.cluster.test",
        "--peer-skip-client-san-verification",
    ];
    let lax = member(program, folder, "lax", &with(&lax));
    note("peer with one of two names, wherever it is", lax.peer, "/members", PEERS, &peers);
    judged
}

/// Both servers let in the same certificates, by every rule.
#[test]
fn names_of_certificates_are_judged_as_by_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(&folder.path().join("pki")).unwrap();
    let judged = |kind: &str, program: PathBuf| judge(&program, &folder.path().join(kind), &pki);
    let (our, their) = (judged("ours", ours()), judged("etcd", etcd()));
    for (case, is_let_in) in &their {
        println!("{case}: {is_let_in}");
    }
    let differ: Vec<_> = their.iter().filter(|(case, is)| our[*case] != **is).collect();
    assert!(differ.is_empty(), "etcd says {differ:#?}");
    for (case, is_let_in) in [
        ("client with a name: the name", true),
        ("client with a name: a wildcard over it", true),
        ("client with a name: the name as common name alone", false),
        ("any peer: a wildcard over the name of its address", true),
        ("any peer: a name of another address", false),
        ("peer with a name: its address", false),
        ("peer with a name: its address and an allowed name", true),
    ] {
        assert_eq!(their[case], is_let_in, "{case}");
    }
}
