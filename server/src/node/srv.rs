//! Bootstrap through DNS: SRV records name the members (`--discovery-srv`), and the record that leads to this member's
//! own address is its own. Where records come from is the system's resolver configuration.
//!
//! Source: `etcd:client/pkg/srv/srv.go`, `etcd:server/embed/config.go` (`GetDNSClusterNames`).

use super::error::{Context as _, Result, refuse};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;
use quorate_etcd_files::datadir::InitialUrls;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Scheme and service of the records.
const SERVICES: [(&str, &str); 2] = [("https", "etcd-server-ssl"), ("http", "etcd-server")];

/// One record: where a member is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    priority: u16,
    host: String,
    port: u16,
}

/// Asks DNS.
pub(super) struct Names {
    resolver: TokioResolver,
}

impl Names {
    /// A resolver by the system's configuration.
    ///
    /// # Errors
    /// There is none that can be read.
    pub(super) fn of_the_system() -> Result<Names> {
        let builder = TokioResolver::builder_tokio();
        let builder = builder.context("failed to read /etc/resolv.conf for --discovery-srv")?;
        Ok(Names { resolver: builder.build().context("failed to make a DNS resolver")? })
    }

    async fn targets(&self, service: &str, domain: &str) -> Result<Vec<Target>> {
        let name = format!("_{service}._tcp.{domain}");
        let looked_up = self.resolver.srv_lookup(&*name).await;
        let answer =
            looked_up.with_context(|| format!("error querying DNS SRV records for {name}"))?;
        let target = |record: &hickory_resolver::proto::rr::Record| match &record.data {
            RData::SRV(srv) => Some(Target {
                priority: srv.priority,
                host: srv.target.to_utf8().trim_end_matches('.').to_owned(),
                port: srv.port,
            }),
            _ => None,
        };
        let mut targets: Vec<Target> = answer.answers().iter().filter_map(target).collect();
        // The same order on every member, for what the others are called.
        targets.sort();
        Ok(targets)
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(ip) = host.parse() {
            return vec![ip];
        }
        match self.resolver.lookup_ip(host).await {
            Ok(found) => found.iter().collect(),
            Err(error) => {
                tracing::warn!(host, %error, "failed to resolve a host of the cluster");
                Vec::new()
            }
        }
    }
}

/// The initial cluster that DNS describes, with this member under `name`.
///
/// # Errors
/// DNS does not answer, knows no members, or not this one.
pub(super) async fn initial_cluster(
    names: &Names,
    (domain, service_name): (&str, &str),
    name: &str,
    advertised: &[String],
) -> Result<InitialUrls> {
    let suffix = match service_name {
        "" => String::new(),
        service_name => format!("-{service_name}"),
    };
    let mut own = BTreeMap::new();
    for url in advertised {
        let Some((scheme, host, port)) = parts(url) else { continue };
        for address in names.addresses(host).await {
            own.insert((address, port), (scheme, url));
        }
    }
    let (mut members, mut reasons) = (InitialUrls::new(), Vec::new());
    let mut n_others = 0;
    for (scheme, service) in SERVICES {
        let targets = match names.targets(&format!("{service}{suffix}"), domain).await {
            Ok(targets) => targets,
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        };
        for target in targets {
            let addresses = names.addresses(&target.host).await;
            let mine = addresses.iter().find_map(|address| own.get(&(*address, target.port)));
            let url = format!("{scheme}://{}:{}", target.host, target.port);
            tracing::info!(url, "got bootstrap from DNS for etcd-server");
            match mine {
                Some((own_scheme, _)) if *own_scheme != scheme => reasons.push(format!(
                    "bootstrap url {url} has another scheme than --initial-advertise-peer-urls"
                )),
                // By the name that DNS has for it, all members compute the same ids.
                Some(_) => members.entry(name.to_owned()).or_default().push(url),
                None => {
                    members.insert(n_others.to_string(), vec![url]);
                    n_others += 1;
                }
            }
        }
    }
    if members.is_empty() {
        refuse!("error setting up initial cluster: {}. Check the SRV records.", reasons.join("; "));
    }
    if !members.contains_key(name) {
        refuse!(
            "cannot find local etcd member {name:?} in SRV records. One of them must lead to \
             --initial-advertise-peer-urls ({}).",
            advertised.join(",")
        );
    }
    members.values_mut().for_each(|urls| urls.sort());
    Ok(members)
}

/// Scheme, host and port of a URL that was checked.
fn parts(url: &str) -> Option<(&str, &str, u16)> {
    let (scheme, address) = url.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    Some((scheme, host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, Record};
    use std::net::Ipv4Addr;
    use tokio::net::UdpSocket;

    /// A DNS server on loopback that knows three members of `example.test` under the service name `prod`.
    async fn serve_dns() -> Names {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..n]).unwrap();
                socket.send_to(&answer(&question).to_vec().unwrap(), from).await.unwrap();
            }
        });
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let server = NameServerConfig::new("127.0.0.1".parse().unwrap(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Names { resolver: builder.build().unwrap() }
    }

    fn answer(question: &Message) -> Message {
        let query = question.queries[0].clone();
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(query.clone());
        let name = query.name().to_utf8();
        let record = |data| Record::from_rdata(query.name().clone(), 60, data);
        if name == "_etcd-server-prod._tcp.example.test." {
            for n in 1..=3 {
                let target = Name::from_utf8(format!("m{n}.example.test.")).unwrap();
                answer.add_answer(record(RData::SRV(SRV::new(0, 0, 2380, target))));
            }
        } else if let Some(n) = name.strip_prefix('m').and_then(|rest| rest[..1].parse::<u8>().ok())
        {
            answer.add_answer(record(RData::A(A(Ipv4Addr::new(127, 0, 0, n)))));
        } else {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer
    }

    /// The record that leads to the member's own address is its own; the others get numbers for names.
    #[tokio::test]
    async fn records_make_a_cluster() {
        let names = serve_dns().await;
        let own = ["http://127.0.0.2:2380".to_owned()];
        let at = ("example.test", "prod");
        let members = initial_cluster(&names, at, "me", &own).await.unwrap();
        let url = |n: u8| vec![format!("http://m{n}.example.test:2380")];
        let wanted = [("0", url(1)), ("1", url(3)), ("me", url(2))];
        let wanted: InitialUrls = wanted.map(|(name, urls)| (name.to_owned(), urls)).into();
        assert_eq!(members, wanted);
    }

    /// A member that DNS does not name, and a domain without records, are refused in etcd's words.
    #[tokio::test]
    async fn strangers_are_refused() {
        let names = serve_dns().await;
        let stranger = ["http://127.0.0.9:2380".to_owned()];
        let error = initial_cluster(&names, ("example.test", "prod"), "me", &stranger).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot find local etcd member \"me\" in SRV records"), "{error}");
        let error = initial_cluster(&names, ("nowhere.test", ""), "me", &stranger).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("error querying DNS SRV records for _etcd-server._tcp"), "{error}");
    }
}
