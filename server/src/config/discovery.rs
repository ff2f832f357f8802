//! The flags of bootstrap by discovery: through DNS SRV records, or through the v3 discovery service. Who is asked and
//! what comes of it is the node's business.

use super::ConfigError;
use super::reader::Reader;
use std::path::PathBuf;
use std::time::Duration;

/// Where the initial cluster is learnt from.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// DNS SRV records of a domain.
    Srv {
        /// `--discovery-srv`.
        domain: String,
        /// `--discovery-srv-name`; empty for none.
        service_name: String,
    },
    /// An etcd cluster that keeps the registry.
    V3(Box<DiscoveryService>),
}

/// How the discovery service is reached. Field names are those of the flags.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct DiscoveryService {
    pub token: String,
    pub endpoints: Vec<String>,
    pub dial_timeout: Duration,
    pub request_timeout: Duration,
    pub keepalive_time: Duration,
    pub keepalive_timeout: Duration,
    pub is_insecure_transport: bool,
    pub skips_tls_verify: bool,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub cacert: Option<PathBuf>,
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for DiscoveryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Neither the password nor the token, which admits members.
        f.debug_struct("DiscoveryService")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Discovery {
    /// Reads and checks the flags; `None` for a static bootstrap.
    ///
    /// # Errors
    /// Half of a pair is given, or two ways of bootstrap at once.
    pub(super) fn read(read: &Reader<'_>) -> Result<Option<Discovery>, ConfigError> {
        if read.text("discovery-fallback") == "proxy" {
            let text =
                "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"";
            return Err(ConfigError::Contradiction(text.to_owned()));
        }
        let (token, endpoints) = (read.text("discovery-token"), read.list("discovery-endpoints"));
        let domain = read.text("discovery-srv");
        if token.is_empty() != endpoints.is_empty() {
            let text = "both --discovery-token and --discovery-endpoints must be set";
            return Err(ConfigError::Contradiction(text.to_owned()));
        }
        let ways =
            [!read.text("initial-cluster").is_empty(), !token.is_empty(), !domain.is_empty()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            let text = "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \
                        \"discovery-endpoints\" or \"discovery-srv\"";
            return Err(ConfigError::Contradiction(text.to_owned()));
        }
        if !domain.is_empty() {
            let service_name = read.text("discovery-srv-name");
            return Ok(Some(Discovery::Srv { domain, service_name }));
        }
        if token.is_empty() {
            return Ok(None);
        }
        Ok(Some(Discovery::V3(Box::new(DiscoveryService {
            token,
            endpoints,
            dial_timeout: read.time("discovery-dial-timeout")?,
            request_timeout: read.time("discovery-request-timeout")?,
            keepalive_time: read.time("discovery-keepalive-time")?,
            keepalive_timeout: read.time("discovery-keepalive-timeout")?,
            is_insecure_transport: read.switch("discovery-insecure-transport")?,
            skips_tls_verify: read.switch("discovery-insecure-skip-tls-verify")?,
            cert: read.path("discovery-cert"),
            key: read.path("discovery-key"),
            cacert: read.path("discovery-cacert"),
            user: read.text("discovery-user"),
            password: read.text("discovery-password"),
        }))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Invocation, parse};

    fn refusal(args: &[&str]) -> String {
        match parse(args.iter().map(|s| (*s).to_owned()), []).unwrap() {
            Invocation::Serve(values, _) => Config::from_values(&values).unwrap_err().to_string(),
            other => panic!("not a serve: {other:?}"),
        }
    }

    /// One way of bootstrap at a time, and whole, with etcd's texts.
    #[test]
    fn one_way_at_a_time() {
        let both = "both --discovery-token and --discovery-endpoints must be set";
        assert_eq!(refusal(&["--discovery-token=t"]), both);
        let many = "multiple discovery or bootstrap flags are set";
        let args = ["--discovery-srv=x", "--initial-cluster=default=http://localhost:2380"];
        assert!(refusal(&args).starts_with(many));
        let args = ["--discovery-srv=x", "--discovery-token=t", "--discovery-endpoints=http://h:1"];
        assert!(refusal(&args).starts_with(many));
        assert!(refusal(&["--discovery-fallback=proxy"]).contains("v2 proxy is deprecated"));
    }
}
