//! Certificates for tests: an authority in a folder, and whatever it is asked to sign, as the PEM files that flags name.
//! For tests only: its authority's key lies there for everyone.
//!
//! A cluster with TLS and client certificates, and etcdctl against it:
//! ```no_run
//! # use testbed::{Cluster, Pki, Plan};
//! # fn main() -> anyhow::Result<()> {
//! # let (program, folder) = (std::path::Path::new("quorate-server"), std::path::Path::new("/tmp/x"));
//! let pki = Pki::new(&folder.join("pki"))?;
//! let cluster = Cluster::start_tls(&Plan { program, members: 3, folder, extra: &[] }, &pki)?;
//! let mut etcdctl = std::process::Command::new("etcdctl");
//! etcdctl.arg(format!("--endpoints={}", cluster.client_urls().join(",")));
//! etcdctl.args(pki.client("root")?.client_flags(&pki)); // --cacert --cert --key; "root" is the CommonName
//! # Ok(()) }
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

/// An authority with its folder.
pub struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate file and its key file.
#[derive(Clone, Debug)]
pub struct Pair {
    /// PEM.
    pub cert: PathBuf,
    /// PEM, PKCS#8.
    pub key: PathBuf,
    serial: SerialNumber,
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'a> {
    /// Name of the files, without ending.
    pub file: &'a str,
    /// CommonName; empty for none.
    pub common_name: &'a str,
    /// DNS names and IP addresses.
    pub names: &'a [&'a str],
    /// Good for a server.
    pub serves: bool,
    /// Good for a client.
    pub calls: bool,
    /// Ended long ago.
    pub is_expired: bool,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        let names = &["localhost", "127.0.0.1", "::1"];
        Leaf { file: "", common_name: "", names, serves: true, calls: true, is_expired: false }
    }
}

impl Pki {
    /// A new authority whose files lie in `folder`, which is made.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        let name = format!("Quorate test authority {}", folder.display());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        fs::write(folder.join("ca.pem"), certificate.pem())?;
        fs::write(folder.join("ca.key"), key.serialize_pem())?;
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// PEM file of the authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs a certificate; files of the same name are replaced.
    pub fn issue(&self, leaf: &Leaf<'_>) -> Result<Pair> {
        let (params, key) = (leaf.params()?, KeyPair::generate()?);
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.write(leaf, params, certificate.pem(), &key)
    }

    /// A certificate that signed itself and calls itself an authority, as people make them by hand.
    pub fn self_signed(&self, leaf: &Leaf<'_>) -> Result<Pair> {
        let (mut params, key) = (leaf.params()?, KeyPair::generate()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key)?;
        self.write(leaf, params, certificate.pem(), &key)
    }

    /// A client's certificate with this CommonName and no other name.
    pub fn client(&self, common_name: &str) -> Result<Pair> {
        let file = format!("client-{common_name}");
        let leaf = Leaf { file: &file, common_name, names: &[], serves: false, ..Leaf::default() };
        self.issue(&leaf)
    }

    fn write(
        &self,
        leaf: &Leaf<'_>,
        params: CertificateParams,
        cert: String,
        key: &KeyPair,
    ) -> Result<Pair> {
        let path = |ending: &str| self.folder.join(format!("{}.{ending}", leaf.file));
        let serial = params.serial_number.context("a leaf has a serial")?;
        let pair = Pair { cert: path("pem"), key: path("key"), serial };
        replace(&pair.cert, cert.as_bytes())?;
        replace(&pair.key, key.serialize_pem().as_bytes())?;
        Ok(pair)
    }

    /// A revocation list over these certificates, in DER as etcd wants it.
    pub fn revoke(&self, file: &str, pairs: &[&Pair]) -> Result<PathBuf> {
        let revoked = pairs.iter().map(|pair| RevokedCertParams {
            serial_number: pair.serial.clone(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            // Long ago: etcd does not look at it.
            next_update: date_time_ymd(2026, 1, 2),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.join(file);
        replace(&path, list.signed_by(&self.issuer)?.der())?;
        Ok(path)
    }

    /// The server flags of a cluster that shows one certificate to clients and peers, and demands one from both.
    pub fn server_flags(&self) -> Result<Vec<String>> {
        let pair = self.issue(&Leaf { file: "server", ..Leaf::default() })?;
        Ok(["", "peer-"].iter().flat_map(|door| pair.server_flags(self, door)).collect())
    }
}

impl Pair {
    /// Server flags of one door: `""` for clients, `"peer-"` for peers.
    pub fn server_flags(&self, pki: &Pki, door: &str) -> Vec<String> {
        let auth = if door.is_empty() { "client-cert-auth" } else { "peer-client-cert-auth" };
        vec![
            format!("--{door}cert-file={}", self.cert.display()),
            format!("--{door}key-file={}", self.key.display()),
            format!("--{door}trusted-ca-file={}", pki.ca().display()),
            format!("--{auth}"),
        ]
    }

    /// Flags of etcdctl and of our tools.
    pub fn client_flags(&self, pki: &Pki) -> Vec<String> {
        vec![
            format!("--cacert={}", pki.ca().display()),
            format!("--cert={}", self.cert.display()),
            format!("--key={}", self.key.display()),
        ]
    }
}

impl Leaf<'_> {
    fn params(&self) -> Result<CertificateParams> {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Quorate tests");
        if !self.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, self.common_name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if self.serves {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if self.calls {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if self.is_expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        params.serial_number = Some(fresh_serial());
        Ok(params)
    }
}

/// Never zero, never negative, and not twice in a folder: time in nanoseconds and a counter.
fn fresh_serial() -> SerialNumber {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(1, |since| since.as_nanos() as u64);
    SerialNumber::from(nanos.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) >> 1)
}

/// Readers see the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(&new, path).with_context(|| path.display().to_string())
}
