//! What a certificate says about its owner. Whether to believe it is decided elsewhere.

use rustls::pki_types::CertificateDer;
use std::net::IpAddr;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The parts of a certificate that etcd's rules ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// CommonName; empty where there is none. The last one where there are several, as in Go.
    pub common_name: String,
    /// Alternative names: hosts, `*.` wildcards among them.
    pub hosts: Vec<String>,
    /// Alternative names: addresses.
    pub addresses: Vec<IpAddr>,
    /// Serial number, without leading zeros.
    pub serial: Vec<u8>,
    /// Seconds since 1970 between which it is valid.
    pub not_before: i64,
    pub not_after: i64,
    /// What it may be used for; `None` where it does not say.
    pub usage: Option<Usage>,
}

/// Extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub serves: bool,
    pub calls: bool,
}

impl Facts {
    /// Reads a certificate; the text says why not.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Facts, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let mut facts = Facts {
            common_name: certificate
                .subject()
                .iter_common_name()
                .last()
                .and_then(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            serial: without_zeros(certificate.raw_serial()).to_vec(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            ..Facts::default()
        };
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(host) => facts.hosts.push((*host).to_owned()),
                    GeneralName::IPAddress(bytes) => facts.addresses.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        if let Ok(Some(usage)) = certificate.extended_key_usage() {
            let usage = usage.value;
            facts.usage = Some(Usage {
                serves: usage.any || usage.server_auth,
                calls: usage.any || usage.client_auth,
            });
        }
        Ok(facts)
    }

    /// Go's `VerifyHostname`: an address must be among the addresses, a name must equal a host or fit its wildcard.
    pub(super) fn is_valid_for(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.hosts.iter().any(|pattern| fits(pattern, host)),
        }
    }
}

/// A DER integer may begin with a zero that only says "not negative".
pub(super) fn without_zeros(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A wildcard stands for the whole first label and for nothing else.
fn fits(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.trim_end_matches('.'), host.trim_end_matches('.'));
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        None => pattern.eq_ignore_ascii_case(host),
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(first, tail)| !first.is_empty() && tail.eq_ignore_ascii_case(rest)),
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    /// Names are compared as Go compares them.
    #[test]
    fn wildcards_stand_for_one_label() {
        assert!(fits("*.example.com", "a.example.com"));
        assert!(fits("A.example.com", "a.EXAMPLE.com."));
        assert!(!fits("*.example.com", "a.b.example.com"));
        assert!(!fits("*.example.com", ".example.com"));
        assert!(!fits("*.example.com", "example.com"));
        assert!(!fits("", ""));
    }
}
