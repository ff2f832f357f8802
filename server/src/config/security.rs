//! The TLS flags: two doors' files and rules, and etcd's checks of what fits together. No file is read here.

use super::checks::ConfigError;
use super::reader::Reader;
use super::urls::ListenUrl;
use std::path::PathBuf;

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLS1.2`.
    Tls12,
    /// `TLS1.3`.
    Tls13,
}

/// TLS of one door. Field names are those of the flags, without `peer-`.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DoorSecurity {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub client_cert_auth: bool,
    pub trusted_ca_file: Option<PathBuf>,
    pub crl_file: Option<PathBuf>,
    pub allowed_cns: Vec<String>,
    pub allowed_hostnames: Vec<String>,
    pub auto_tls: bool,
    pub skip_client_san_verification: bool,
}

/// All TLS flags.
#[derive(Clone, Debug)]
pub struct Security {
    /// The client and metrics URLs.
    pub client: DoorSecurity,
    /// The peer URLs, and calls to peers.
    pub peer: DoorSecurity,
    /// IANA numbers of `--cipher-suites`; empty for all.
    pub cipher_suites: Vec<u16>,
    /// `--tls-min-version`.
    pub min_version: TlsVersion,
    /// `--tls-max-version`.
    pub max_version: TlsVersion,
    /// `--self-signed-cert-validity`, in years.
    pub self_signed_years: u32,
}

/// Go's names of suites with their IANA numbers, those of TLS 1.3 and the insecure ones too: Go knows them all.
#[rustfmt::skip]
const SUITES: &[(&str, u16)] = &[
    ("TLS_RSA_WITH_RC4_128_SHA", 0x0005), ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x000a),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f), ("TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c), ("TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d), ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", 0xc007),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009), ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0xc011), ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc012),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013), ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023), ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f), ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030), ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8), ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", 0xcca8), ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", 0xcca9),
    ("TLS_AES_128_GCM_SHA256", 0x1301), ("TLS_AES_256_GCM_SHA384", 0x1302), ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
];

impl DoorSecurity {
    /// True where neither certificate nor key is given and none will be made.
    pub fn is_empty(&self) -> bool {
        self.cert_file.is_none() && self.key_file.is_none() && !self.auto_tls
    }

    /// etcd's checks of one door that speaks TLS.
    fn check(&self) -> Result<(), ConfigError> {
        let shown = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        let (cert, key) = (shown(&self.cert_file), shown(&self.key_file));
        if cert.is_empty() != key.is_empty() {
            return refused(format!(
                "KeyFile and CertFile must both be present[key: {key}, cert: {cert}]"
            ));
        }
        let (cert, key) = (shown(&self.client_cert_file), shown(&self.client_key_file));
        if cert.is_empty() != key.is_empty() {
            return refused(format!(
                "ClientKeyFile and ClientCertFile must both be present or both absent: key: {key}, cert: {cert}]"
            ));
        }
        if !self.allowed_cns.is_empty() && !self.allowed_hostnames.is_empty() {
            return refused(format!(
                "AllowedCNs and AllowedHostnames are mutually exclusive (cns={:?}, hostnames={:?})",
                self.allowed_cns, self.allowed_hostnames
            ));
        }
        Ok(())
    }
}

fn refused<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Contradiction(text))
}

impl Security {
    /// Reads the flags.
    ///
    /// # Errors
    /// What etcd refuses of versions and suites.
    pub(super) fn read(read: &Reader<'_>) -> Result<Security, ConfigError> {
        let min_version = version(&read.text("tls-min-version"))?.unwrap_or(TlsVersion::Tls12);
        let max_version = version(&read.text("tls-max-version"))?.unwrap_or(TlsVersion::Tls13);
        if min_version > max_version {
            return refused(format!(
                "min version ({}) is greater than max version ({})",
                read.text("tls-min-version"),
                read.text("tls-max-version")
            ));
        }
        let suites = read.list("cipher-suites");
        if min_version == TlsVersion::Tls13 && !suites.is_empty() {
            return refused(
                "cipher suites cannot be configured when only TLS1.3 is enabled".to_owned(),
            );
        }
        let number = |name: &String| match SUITES.iter().find(|(known, _)| known == name) {
            Some((_, number)) => Ok(*number),
            None => refused(format!("unexpected TLS cipher suite {name:?}")),
        };
        Ok(Security {
            client: DoorSecurity {
                cert_file: read.path("cert-file"),
                key_file: read.path("key-file"),
                client_cert_file: read.path("client-cert-file"),
                client_key_file: read.path("client-key-file"),
                client_cert_auth: read.switch("client-cert-auth")?,
                trusted_ca_file: read.path("trusted-ca-file"),
                crl_file: read.path("client-crl-file"),
                allowed_cns: read.list("client-cert-allowed-cn"),
                allowed_hostnames: read.list("client-cert-allowed-hostname"),
                auto_tls: read.switch("auto-tls")?,
                skip_client_san_verification: true,
            },
            peer: DoorSecurity {
                cert_file: read.path("peer-cert-file"),
                key_file: read.path("peer-key-file"),
                client_cert_file: read.path("peer-client-cert-file"),
                client_key_file: read.path("peer-client-key-file"),
                client_cert_auth: read.switch("peer-client-cert-auth")?,
                trusted_ca_file: read.path("peer-trusted-ca-file"),
                crl_file: read.path("peer-crl-file"),
                allowed_cns: read.list("peer-cert-allowed-cn"),
                allowed_hostnames: read.list("peer-cert-allowed-hostname"),
                auto_tls: read.switch("peer-auto-tls")?,
                skip_client_san_verification: read.switch("peer-skip-client-san-verification")?,
            },
            cipher_suites: suites.iter().map(number).collect::<Result<_, _>>()?,
            min_version,
            max_version,
            self_signed_years: read.number("self-signed-cert-validity")?,
        })
    }

    /// Checks that what speaks TLS has what it takes (`etcd:server/embed/etcd.go`).
    ///
    /// # Errors
    /// In etcd's words.
    pub(super) fn check_urls(
        &self,
        peer: &[ListenUrl],
        client: &[ListenUrl],
        http: &[ListenUrl],
        metrics: &[ListenUrl],
    ) -> Result<(), ConfigError> {
        if !self.peer.is_empty() {
            self.peer.check()?;
        }
        if let Some(url) = peer.iter().find(|url| url.is_tls() && self.peer.is_empty()) {
            return refused(format!(
                "cannot listen on TLS for {}: KeyFile and CertFile are not presented. Give --peer-cert-file and \
                 --peer-key-file.",
                url.address
            ));
        }
        let mut secure = client.iter().chain(http).filter(|url| url.is_tls());
        if let Some(url) = secure.find(|_| self.client.is_empty()) {
            return refused(format!(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} with HTTPS scheme"
            ));
        }
        if metrics.iter().any(|url| url.is_tls() && self.client.is_empty()) {
            return refused(
                "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"
                    .to_owned(),
            );
        }
        if client.iter().chain(http).chain(metrics).any(ListenUrl::is_tls) {
            self.client.check()?;
        }
        match http.iter().find(|url| client.iter().any(|other| other.address == url.address)) {
            None => Ok(()),
            Some(url) => refused(format!(
                "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url {url}"
            )),
        }
    }
}

fn version(text: &str) -> Result<Option<TlsVersion>, ConfigError> {
    match text {
        "" => Ok(None),
        "TLS1.2" => Ok(Some(TlsVersion::Tls12)),
        "TLS1.3" => Ok(Some(TlsVersion::Tls13)),
        _ => refused(format!("unexpected TLS version {text:?} (must be one of: TLS1.2, TLS1.3)")),
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

    /// What does not fit together is refused in etcd's words.
    #[test]
    fn refusals_are_etcds() {
        let advertised = "--advertise-client-urls=https://127.0.0.1:1";
        for (args, text) in [
            (
                vec!["--listen-client-urls=https://127.0.0.1:1", advertised],
                "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme",
            ),
            (
                vec!["--listen-metrics-urls=https://127.0.0.1:1"],
                "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
            ),
            (
                vec!["--listen-peer-urls=https://127.0.0.1:1"],
                "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented",
            ),
            (
                vec!["--listen-client-urls=https://127.0.0.1:1", advertised, "--cert-file=c"],
                "KeyFile and CertFile must both be present[key: , cert: c]",
            ),
            (
                vec!["--tls-min-version=TLS1.1"],
                "unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)",
            ),
            (
                vec!["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
                "min version (TLS1.3) is greater than max version (TLS1.2)",
            ),
            (
                vec!["--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"],
                "cipher suites cannot be configured when only TLS1.3 is enabled",
            ),
            (vec!["--cipher-suites=TLS_NOPE"], "unexpected TLS cipher suite \"TLS_NOPE\""),
            (
                vec![
                    "--peer-cert-file=c",
                    "--peer-key-file=k",
                    "--peer-cert-allowed-cn=a",
                    "--peer-cert-allowed-hostname=b",
                ],
                "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\"], hostnames=[\"b\"])",
            ),
            (
                vec!["--listen-client-http-urls=http://localhost:2379"],
                "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url http://localhost:2379",
            ),
        ] {
            assert!(refusal(&args).contains(text), "{args:?}: {}", refusal(&args));
        }
    }
}
