//! A DNS server on loopback that knows what a test tells it, and a way for a program to have it as its system's own: in a
//! mount namespace, which takes root. Every host is this machine.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Addresses of 127.54.0.0/16 that are tried for port 53.
const ADDRESSES: u16 = 2000;

/// A service and where it is offered.
#[derive(Clone, Debug)]
pub struct Service {
    /// For example `_etcd-client._tcp.quorate.test`.
    pub name: String,
    /// Hosts, which must end with the domain of the test, and ports.
    pub targets: Vec<(String, u16)>,
}

/// A DNS server that answers as long as the process lives.
#[derive(Debug)]
pub struct Dns {
    /// Where it answers, on port 53.
    pub address: Ipv4Addr,
    resolver: PathBuf,
}

impl Dns {
    /// Starts one that knows these services and that every host under `domain` is this machine. `folder` is for the resolver's
    /// configuration.
    pub fn start(folder: &Path, domain: &str, services: Vec<Service>) -> anyhow::Result<Dns> {
        let (address, socket) = bind()?;
        let resolver = folder.join("resolv.conf");
        std::fs::write(&resolver, format!("nameserver {address}\n"))?;
        let hosts = format!(".{domain}.");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((n, from)) = socket.recv_from(&mut buffer) {
                let Ok(question) = Message::from_vec(&buffer[..n]) else { continue };
                let answer = answer(&question, &hosts, &services);
                let Ok(bytes) = answer.to_vec() else { continue };
                if socket.send_to(&bytes, from).is_err() {
                    break;
                }
            }
        });
        Ok(Dns { address, resolver })
    }

    /// What `unshare` has to be told so that `program`, with the arguments that follow, asks this server.
    pub fn arguments(&self, program: &Path) -> Vec<String> {
        let mount = format!(
            "mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"",
            self.resolver.display()
        );
        let program = program.display().to_string();
        ["-m", "sh", "-c", &mount, &program].map(str::to_owned).into()
    }
}

/// Port 53 of an address that no other test has.
fn bind() -> anyhow::Result<(Ipv4Addr, UdpSocket)> {
    let first = u16::try_from(std::process::id() % u32::from(u16::MAX))?;
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for n in 0..ADDRESSES {
        let [high, low] = first.wrapping_add(n).to_be_bytes();
        let address = Ipv4Addr::new(127, 54, high, low);
        match UdpSocket::bind((address, 53)) {
            Ok(socket) => return Ok((address, socket)),
            Err(error) => last = error,
        }
    }
    Err(anyhow::Error::from(last).context("no address of loopback has port 53 free"))
}

fn answer(question: &Message, hosts: &str, services: &[Service]) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    let Some(query) = question.queries.first() else {
        answer.metadata.response_code = ResponseCode::FormErr;
        return answer;
    };
    answer.add_query(query.clone());
    let (name, kind) = (query.name().to_utf8().to_lowercase(), query.query_type());
    let record = |data| Record::from_rdata(query.name().clone(), 60, data);
    let service = services.iter().find(|service| format!("{}.", service.name) == name);
    match (service, kind) {
        (Some(service), RecordType::SRV) => {
            for (host, port) in &service.targets {
                let Ok(target) = Name::from_utf8(format!("{host}.")) else { continue };
                answer.add_answer(record(RData::SRV(SRV::new(0, 0, *port, target))));
            }
        }
        (None, RecordType::A) if name.ends_with(hosts) => {
            answer.add_answer(record(RData::A(A(Ipv4Addr::LOCALHOST))));
        }
        // The name is known, but has nothing of this kind.
        (Some(_), _) => {}
        (None, _) if name.ends_with(hosts) && !name.starts_with('_') => {}
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer
}
