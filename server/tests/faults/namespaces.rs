//! Three members in network namespaces of their own, with one link to their peers and one to clients, so that a member
//! can be cut off from its peers (its packets vanish, nothing is refused) while clients still reach it.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use testbed::Process;

use super::stage::{READY_MAX, SERVER};

/// One member in its namespace.
pub struct Island {
    pub process: Process,
    namespace: String,
    /// The end of its peer link that is on our side.
    peer_link: String,
}

/// The members and the two bridges that join them. All of it is taken down when it is dropped.
pub struct Archipelago {
    pub islands: Vec<Island>,
    pub urls: Vec<String>,
    peer_bridge: String,
    client_bridge: String,
    _folder: TempDir,
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().expect("a command has a program");
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}. Install iproute2."));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}. Partitions are tested as root.");
}

impl Archipelago {
    /// Three members, started and ready. `mark` (at most three letters) keeps the names of tests apart.
    pub fn start(mark: &str) -> Archipelago {
        let folder = tempfile::tempdir().unwrap();
        // Interface names have at most 15 bytes; networks are told apart by our process id too.
        let id = std::process::id() % 10_000;
        let net = std::process::id() % 200 + 20;
        let third = mark.bytes().map(u32::from).sum::<u32>() % 250;
        let (peer_bridge, client_bridge) = (format!("qp{mark}{id}"), format!("qc{mark}{id}"));
        let mut all = Archipelago {
            islands: Vec::new(),
            urls: Vec::new(),
            peer_bridge,
            client_bridge,
            _folder: folder,
        };
        let (peer, client) = (format!("10.{net}.{third}"), format!("10.{}.{third}", net + 1));
        let initial: Vec<String> =
            (1..=3).map(|n| format!("m{n}=http://{peer}.{n}:2380")).collect();
        for bridge in [&all.peer_bridge, &all.client_bridge] {
            run(&format!("ip link add {bridge} type bridge"));
            run(&format!("ip link set {bridge} up"));
        }
        run(&format!("ip addr add {client}.254/24 dev {}", all.client_bridge));
        for n in 1..=3 {
            let namespace = format!("q{mark}{id}-{n}");
            run(&format!("ip netns add {namespace}"));
            run(&format!("ip -n {namespace} link set lo up"));
            let peer_link = all.join(&namespace, n, 'p', &format!("{peer}.{n}"));
            all.join(&namespace, n, 'c', &format!("{client}.{n}"));
            let url = format!("http://{client}.{n}:2379");
            let process = all.member(
                &namespace,
                n,
                &initial.join(","),
                &format!("http://{peer}.{n}:2380"),
                &url,
            );
            all.urls.push(url);
            all.islands.push(Island { process, namespace, peer_link });
        }
        for island in &mut all.islands {
            island.process.start().unwrap();
        }
        for island in &mut all.islands {
            island.process.wait_ready(READY_MAX).unwrap();
        }
        all
    }

    /// A cable from a namespace to one of the bridges; returns our end.
    fn join(&self, namespace: &str, n: usize, kind: char, address: &str) -> String {
        let bridge = if kind == 'p' { &self.peer_bridge } else { &self.client_bridge };
        let (ours, theirs) = (format!("{bridge}{n}"), format!("eth{kind}"));
        run(&format!("ip link add {ours} type veth peer name {theirs} netns {namespace}"));
        run(&format!("ip -n {namespace} addr add {address}/24 dev {theirs}"));
        run(&format!("ip -n {namespace} link set {theirs} up"));
        run(&format!("ip link set {ours} master {bridge} up"));
        ours
    }

    fn member(
        &self,
        namespace: &str,
        n: usize,
        initial: &str,
        peer: &str,
        client: &str,
    ) -> Process {
        let folder = self._folder.path();
        let data_dir = folder.join(format!("m{n}"));
        let flags = [
            ("name", format!("m{n}")),
            ("data-dir", data_dir.to_string_lossy().into_owned()),
            ("listen-client-urls", client.to_owned()),
            ("advertise-client-urls", client.to_owned()),
            ("listen-peer-urls", peer.to_owned()),
            ("initial-advertise-peer-urls", peer.to_owned()),
            ("initial-cluster", initial.to_owned()),
        ];
        // `ip netns exec` becomes the server: signals reach it.
        let enter = ["netns", "exec", namespace, SERVER].map(str::to_owned);
        let arguments: Vec<String> = enter
            .into_iter()
            .chain(flags.iter().map(|(flag, value)| format!("--{flag}={value}")))
            .collect();
        Process::new(&format!("m{n}"), folder, Path::new("ip"), &arguments)
    }

    /// From now on the member's packets to its peers, and theirs to it, vanish.
    pub fn cut_off(&self, n: usize) {
        run(&format!("ip link set {} nomaster", self.islands[n].peer_link));
    }

    pub fn heal(&self, n: usize) {
        run(&format!("ip link set {} master {}", self.islands[n].peer_link, self.peer_bridge));
    }
}

impl Drop for Archipelago {
    fn drop(&mut self) {
        for island in &mut self.islands {
            island.process.kill().ok();
            Command::new("ip").args(["netns", "del", &island.namespace]).output().ok();
        }
        for bridge in [&self.peer_bridge, &self.client_bridge] {
            Command::new("ip").args(["link", "del", bridge]).output().ok();
        }
    }
}
