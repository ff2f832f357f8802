//! Endpoints by DNS: SRV records of a domain name the members (`--discovery-srv`). Where records come from is the system's
//! resolver configuration. How members find each other at their first start is the server's business.
//!
//! Source: `etcd:client/pkg/srv/srv.go` (`GetClient`), `etcd:etcdctl/ctlv3/command/global.go`.

use crate::cli::Global;
use crate::failure::{Failure, Outcome, exit};
use crate::terminal::complain;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::read_system_conf;
use std::net::IpAddr;

/// Scheme and service of the records.
const SERVICES: [(&str, &str); 2] = [("https", "etcd-client-ssl"), ("http", "etcd-client")];

/// The endpoints to ask: those that DNS names, where a domain is given and names any, else those given.
///
/// # Errors
/// A domain is given, and neither of its two services can be looked up.
pub async fn endpoints(flags: &Global) -> Outcome<Vec<String>> {
    let discovered = match flags.discovery_srv.as_str() {
        "" => Vec::new(),
        domain => look_up(domain, flags).await?,
    };
    if !discovered.is_empty() {
        return Ok(discovered);
    }
    Ok(flags.endpoints.iter().filter(|text| !text.is_empty()).cloned().collect())
}

async fn look_up(domain: &str, flags: &Global) -> Outcome<Vec<String>> {
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let resolver = resolver.map_err(|error| {
        let text = format!("failed to read how to ask DNS: {error}. Look at /etc/resolv.conf.");
        Failure::new(exit::ERROR, text)
    })?;
    let (mut endpoints, mut reasons) = (Vec::new(), Vec::new());
    for (scheme, service) in SERVICES {
        let service = match flags.discovery_srv_name.as_str() {
            "" => service.to_owned(),
            name => format!("{service}-{name}"),
        };
        match targets(&resolver, &format!("_{service}._tcp.{domain}")).await {
            Ok(targets) => {
                endpoints.extend(targets.iter().map(|target| format!("{scheme}://{target}")));
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.len() == SERVICES.len() {
        let text = format!("dns lookup errors: {}", reasons.join(" and "));
        return Err(Failure::new(exit::ERROR, text));
    }
    if !flags.insecure_discovery {
        endpoints.retain(|endpoint| {
            let is_secure = !endpoint.starts_with("http://");
            if !is_secure {
                complain(format!("ignoring discovered insecure endpoint {endpoint:?}"));
            }
            is_secure
        });
    }
    Ok(endpoints)
}

/// Hosts with their ports, best priority first; the reason in Go's words where there are none.
async fn targets(resolver: &TokioResolver, name: &str) -> Result<Vec<String>, String> {
    let answer = resolver.srv_lookup(name).await.map_err(|error| {
        let asked = asked().map_or_else(String::new, |server| format!(" on {server}:53"));
        format!("lookup {name}{asked}: {}", reason(&error))
    })?;
    let mut found: Vec<(u16, u16, String)> = Vec::new();
    for record in answer.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        found.push((srv.priority, srv.weight, format!("{}:{}", srv.target.to_utf8(), srv.port)));
    }
    // Go draws by weight among equals; here the heavier comes first, so that runs are alike.
    found.sort_by(|a, b| (a.0, b.1, &a.2).cmp(&(b.0, a.1, &b.2)));
    Ok(found.into_iter().map(|(_, _, target)| target).collect())
}

/// The server that is asked first.
fn asked() -> Option<IpAddr> {
    let (config, _) = read_system_conf().ok()?;
    config.name_servers().first().map(|server| server.ip)
}

fn reason(error: &NetError) -> String {
    match error {
        error if error.is_no_records_found() => "no such host".to_owned(),
        NetError::Timeout => "i/o timeout".to_owned(),
        other => other.to_string(),
    }
}
