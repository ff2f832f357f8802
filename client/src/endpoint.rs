//! An endpoint as users write it, taken apart. No I/O.
//!
//! The forms are etcdctl's (`etcd:client/v3/internal/endpoint/endpoint.go`): without a scheme TLS is used exactly
//! when TLS was configured.

use crate::config::Config;
use crate::error::{ClientError, Result};
use std::path::PathBuf;

/// Where one member listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// As the user wrote it; used in messages.
    pub text: String,
    /// How to get there.
    pub(crate) target: Target,
    /// Whether TLS is spoken.
    pub(crate) secure: bool,
}

/// A socket address by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `host:port`, the host without brackets.
    Tcp { host: String, port: u16 },
    /// A unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Takes `text` apart. `config` tells whether an endpoint without a scheme is secure.
    pub fn parse(text: &str, config: &Config) -> Result<Endpoint> {
        let bad =
            |why: &str| ClientError::Config(format!("endpoint {text:?} cannot be used: {why}"));
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => match text.split_once(':') {
                Some((scheme @ ("unix" | "unixs"), rest)) => (scheme.to_owned(), rest),
                _ => (String::new(), text),
            },
        };
        let secure = match scheme.as_str() {
            "https" | "unixs" => true,
            "http" | "unix" => false,
            "" => config.tls.is_some(),
            _ => return Err(bad("its scheme is none of http, https, unix, unixs")),
        };
        if scheme.starts_with("unix") {
            if rest.is_empty() {
                return Err(bad("it names no socket"));
            }
            let target = Target::Unix(PathBuf::from(rest));
            return Ok(Endpoint { text: text.to_owned(), target, secure });
        }
        let host_port = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
                (host, port.parse().map_err(|_| bad("its port is no number up to 65535"))?)
            }
            _ if scheme == "https" => (host_port, 443),
            _ if scheme == "http" => (host_port, 80),
            _ => return Err(bad("it has no port")),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { "localhost" } else { host };
        let target = Target::Tcp { host: host.to_owned(), port };
        Ok(Endpoint { text: text.to_owned(), target, secure })
    }

    /// `host:port` for HTTP's authority. For a unix socket its name, as etcd's clients have it (`localhost:2379` of
    /// `unix://localhost:2379`), or `localhost` where the name cannot be one.
    pub(crate) fn authority(&self) -> String {
        match &self.target {
            Target::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port } => format!("{host}:{port}"),
            Target::Unix(path) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let is_valid = name.parse::<http::uri::Authority>().is_ok();
                if is_valid { name.to_owned() } else { "localhost".to_owned() }
            }
        }
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The name a certificate is checked against unless another was configured.
    pub(crate) fn host(&self) -> &str {
        match &self.target {
            Target::Tcp { host, .. } => host,
            Target::Unix(_) => "localhost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tls;

    fn parse(text: &str) -> Result<Endpoint> {
        Endpoint::parse(text, &Config::default())
    }

    /// Every form that etcdctl takes is understood.
    #[test]
    fn forms_of_etcdctl() {
        assert_eq!(parse("127.0.0.1:2379").unwrap().authority(), "127.0.0.1:2379");
        assert_eq!(parse("http://h:1/path").unwrap().authority(), "h:1");
        assert!(parse("https://h").unwrap().secure);
        assert_eq!(parse("https://[::1]:5").unwrap().authority(), "[::1]:5");
        assert_eq!(
            parse("unix:///run/q.sock").unwrap().target,
            Target::Unix(PathBuf::from("/run/q.sock"))
        );
        assert_eq!(parse("unix:q.sock").unwrap().target, Target::Unix(PathBuf::from("q.sock")));
        assert_eq!(parse("unix://localhost:m0").unwrap().authority(), "localhost:m0");
        assert_eq!(parse("unix://localhost:23790").unwrap().authority(), "localhost:23790");
        assert_eq!(parse("unix:///run/q.sock").unwrap().authority(), "q.sock");
        assert_eq!(parse("unix:a b").unwrap().authority(), "localhost");
    }

    /// Without a scheme TLS follows the configuration; `http://` never uses it.
    #[test]
    fn scheme_decides_tls() {
        let config = Config { tls: Some(Tls::default()), ..Config::default() };
        assert!(Endpoint::parse("h:1", &config).unwrap().secure);
        assert!(!Endpoint::parse("http://h:1", &config).unwrap().secure);
    }

    /// What cannot be an endpoint is refused with its text.
    #[test]
    fn nonsense_is_refused() {
        for text in ["ftp://h:1", "h:99999", "h", "unix://"] {
            assert!(parse(text).unwrap_err().message().contains(text), "{text}");
        }
    }
}
