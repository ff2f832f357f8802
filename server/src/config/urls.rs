//! URL lists as etcd's flags take them: comma-separated, `http`, `https`, `unix` or `unixs`, no path.

use std::fmt;

/// Why a URL was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not one of the four schemes.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// Host or port is missing.
    #[error(r#"URL address does not have the form "host:port": {0}"#)]
    Address(String),
    /// There is something behind the port.
    #[error("URL must not contain a path: {0}")]
    Path(String),
    /// A listen URL needs an address, not a name.
    #[error("expected IP in URL for binding ({0})")]
    NotAnIp(String),
    /// An empty list.
    #[error("no valid URLs given")]
    Empty,
}

/// One URL to listen on or to advertise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenUrl {
    /// `http`, `https`, `unix` or `unixs`.
    pub scheme: String,
    /// `host:port`, or the socket's path.
    pub address: String,
}

impl ListenUrl {
    /// True for `https` and `unixs`.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme.as_str(), "https" | "unixs")
    }

    /// True for the socket-file schemes. `unix://localhost:20000` is a file of that name in the working directory.
    pub fn is_unix(&self) -> bool {
        self.scheme.starts_with("unix")
    }

    /// Host without brackets, and port; `None` for socket files.
    pub fn host_and_port(&self) -> Option<(&str, &str)> {
        if self.is_unix() {
            return None;
        }
        let (host, port) = self.address.rsplit_once(':')?;
        Some((host.trim_start_matches('[').trim_end_matches(']'), port))
    }

    /// Checks that a socket can be bound to it without asking DNS.
    ///
    /// # Errors
    /// The host is a name other than `localhost`.
    pub fn check_bindable(&self) -> Result<(), UrlError> {
        let Some((host, _)) = self.host_and_port() else { return Ok(()) };
        let is_ip = host.parse::<std::net::IpAddr>().is_ok();
        if is_ip || host == "localhost" || host.is_empty() {
            return Ok(());
        }
        Err(UrlError::NotAnIp(self.to_string()))
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

/// Parses a comma-separated list.
///
/// # Errors
/// The first URL that etcd would refuse, or an empty list.
pub fn parse_url_list(text: &str) -> Result<Vec<ListenUrl>, UrlError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let urls = parts.map(parse_url).collect::<Result<Vec<_>, _>>()?;
    if urls.is_empty() { Err(UrlError::Empty) } else { Ok(urls) }
}

fn parse_url(text: &str) -> Result<ListenUrl, UrlError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(UrlError::Scheme(text.to_owned()));
    };
    let url = ListenUrl { scheme: scheme.to_owned(), address: rest.to_owned() };
    match scheme {
        "unix" | "unixs" if !rest.is_empty() => return Ok(url),
        "http" | "https" => {}
        _ => return Err(UrlError::Scheme(text.to_owned())),
    }
    if rest.contains('/') {
        return Err(UrlError::Path(text.to_owned()));
    }
    match url.host_and_port() {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(url),
        _ => Err(UrlError::Address(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists are split and refused as etcd does it.
    #[test]
    fn lists() {
        let urls = parse_url_list("http://127.0.0.1:1,https://localhost:2").unwrap();
        assert_eq!(urls.len(), 2);
        assert!(urls[1].is_tls());
        assert_eq!(parse_url_list("").unwrap_err(), UrlError::Empty);
        assert!(matches!(parse_url_list("127.0.0.1:2379"), Err(UrlError::Scheme(_))));
        assert!(matches!(parse_url_list("http://a:1/x"), Err(UrlError::Path(_))));
        assert!(matches!(parse_url_list("http://a"), Err(UrlError::Address(_))));
        assert!(parse_url_list("unix://localhost:20000").unwrap()[0].is_unix());
    }

    /// Names cannot be bound, `localhost` and addresses can.
    #[test]
    fn binding() {
        let check = |text: &str| parse_url_list(text).unwrap()[0].check_bindable();
        assert!(check("http://example.com:1").is_err());
        assert!(check("http://localhost:1").is_ok());
        assert!(check("http://[::1]:1").is_ok());
    }
}
