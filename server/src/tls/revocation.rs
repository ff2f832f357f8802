//! Certificate revocation lists: which serial numbers are revoked. Signature and dates of the list are not looked at,
//! as in etcd: whoever can write the file can do worse.

use super::certificate::without_zeros;
use super::error::TlsError;
use std::collections::HashSet;
use std::path::Path;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Serial numbers that are revoked.
#[derive(Debug, Default)]
pub(super) struct Revoked(HashSet<Vec<u8>>);

impl Revoked {
    /// Reads a list in DER, or in PEM, of which Go's newer parsers know nothing any more.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Revoked, TlsError> {
        let unusable = |cause: String| TlsError::file("revocation list", path, cause);
        let is_pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN");
        let pem;
        let der = if is_pem {
            let read = x509_parser::pem::parse_x509_pem(bytes);
            pem = read.map_err(|error| unusable(error.to_string()))?.1;
            &pem.contents[..]
        } else {
            bytes
        };
        let list = CertificateRevocationList::from_der(der);
        let (_, list) = list.map_err(|error| unusable(error.to_string()))?;
        let serials = list.iter_revoked_certificates();
        Ok(Revoked(serials.map(|it| without_zeros(it.raw_serial()).to_vec()).collect()))
    }

    /// Whether a serial number (without leading zeros) is in the list.
    pub(super) fn contains(&self, serial: &[u8]) -> bool {
        self.0.contains(serial)
    }
}
