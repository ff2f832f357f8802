//! What one door's TLS is made of, as the flags say it; no file is read here.

use std::path::PathBuf;

/// A TLS version that etcd offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A certificate file and its key file, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Certificate, followed by those between it and its authority.
    pub cert: PathBuf,
    /// Key: PKCS#1, PKCS#8 or SEC1.
    pub key: PathBuf,
}

/// What a certificate must say beside being signed by a trusted authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Nothing.
    #[default]
    Any,
    /// One of these CommonNames.
    CommonNames(Vec<String>),
    /// It must be valid for one of these hosts or addresses.
    Hosts(Vec<String>),
}

/// TLS of the client doors (metrics with them) or of the peer port and of calls to peers.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// `client` or `peer`, for logs and metrics.
    pub door: &'static str,
    /// What this member shows.
    pub pair: Pair,
    /// What this member shows when it calls, where that is something else.
    pub calling_pair: Option<Pair>,
    /// Authorities of who calls and of who is called; the system's where absent.
    pub trusted_ca: Option<PathBuf>,
    /// Demand a certificate even without `trusted_ca`, and take its CommonName for the caller's name.
    pub client_cert_auth: bool,
    /// Revoked certificates, DER or PEM.
    pub crl: Option<PathBuf>,
    /// What certificates must say.
    pub allowed: Allowed,
    /// IANA numbers of the TLS 1.2 suites to offer; empty for all.
    pub cipher_suites: Vec<u16>,
    /// Oldest version.
    pub min_version: Version,
    /// Newest version.
    pub max_version: Version,
    /// The pair was made by `--auto-tls`: members do not verify each other's, as nothing is there to verify it by.
    pub is_self_signed: bool,
    /// A caller's certificate that names hosts or addresses must name the one it calls from.
    pub checks_address: bool,
    /// Name to expect in certificates of who is called, instead of the host in the URL.
    pub server_name: Option<String>,
}

impl TlsOptions {
    /// True where a caller must show a certificate: a trusted authority alone already demands it.
    pub fn demands_certificate(&self) -> bool {
        self.client_cert_auth || self.trusted_ca.is_some()
    }

    /// Every file that is read.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let pairs = std::iter::once(&self.pair).chain(&self.calling_pair);
        let pairs = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
        pairs.chain(&self.trusted_ca).chain(&self.crl).cloned().collect()
    }
}
