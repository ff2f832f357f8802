//! Whose certificate is taken. The chain is rustls' business; here are etcd's rules on top of it: allowed names,
//! revoked serial numbers, and a certificate that is in the list of authorities itself.

use super::certificate::Facts;
use super::options::Allowed;
use super::revocation::Revoked;
use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::collections::HashSet;
use std::sync::Arc;

/// What holds for both directions.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub allowed: Allowed,
    pub revoked: Option<Revoked>,
    /// Authorities as they stand in the file. One of them used as server's or client's own certificate is trusted as it
    /// is, as in Go; webpki takes no authority for an end entity.
    pub authorities: HashSet<Vec<u8>>,
}

/// A refusal: what the other end is told, and what the log says.
struct Refusal {
    error: CertificateError,
    text: Option<String>,
}

impl From<CertificateError> for Refusal {
    fn from(error: CertificateError) -> Refusal {
        Refusal { error, text: None }
    }
}

/// Text that goes into the log instead of rustls' own.
pub(super) type Why = Arc<Mutex<Option<String>>>;

impl Refusal {
    fn told(self, why: &Why) -> Error {
        if self.text.is_some() {
            *why.lock() = self.text;
        }
        Error::InvalidCertificate(self.error)
    }
}

impl Rules {
    /// Checks a certificate whose chain was followed to an authority.
    fn check(
        &self,
        entity: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> Result<(), Refusal> {
        let read = |der| Facts::read(der).map_err(|_| Refusal::from(CertificateError::BadEncoding));
        if let Some(revoked) = &self.revoked {
            for der in std::iter::once(entity).chain(between) {
                let serial = read(der)?.serial;
                if revoked.contains(&serial) {
                    let hex: String = serial.iter().map(|byte| format!("{byte:02x}")).collect();
                    let text = Some(format!("transport: certificate serial {hex} revoked"));
                    return Err(Refusal { error: CertificateError::Revoked, text });
                }
            }
        }
        let is_allowed = match &self.allowed {
            Allowed::Any => true,
            Allowed::CommonNames(names) => names.contains(&read(entity)?.common_name),
            Allowed::Hosts(hosts) => {
                let facts = read(entity)?;
                hosts.iter().any(|host| facts.is_valid_for(host))
            }
        };
        if is_allowed {
            return Ok(());
        }
        // The alert that Go sends: bad certificate.
        let text = Some("client certificate authentication failed".to_owned());
        Err(Refusal { error: CertificateError::NotValidForName, text })
    }

    /// Dates and purpose of a certificate that is trusted as it is; `None` when it is not such a one.
    fn trusted_as_is(
        &self,
        entity: &CertificateDer<'_>,
        now: UnixTime,
        calls: bool,
    ) -> Option<Result<(), CertificateError>> {
        if !self.authorities.contains(entity.as_ref()) {
            return None;
        }
        let Ok(facts) = Facts::read(entity) else {
            return Some(Err(CertificateError::BadEncoding));
        };
        let now = now.as_secs().cast_signed();
        let is_purpose =
            facts.usage.is_none_or(|usage| if calls { usage.calls } else { usage.serves });
        Some(if now > facts.not_after {
            Err(CertificateError::Expired)
        } else if now < facts.not_before {
            Err(CertificateError::NotValidYet)
        } else if !is_purpose {
            Err(CertificateError::InvalidPurpose)
        } else {
            Ok(())
        })
    }
}

/// Looks at who calls, on one connection.
#[derive(Debug)]
pub(super) struct CallerVerifier {
    pub chain: Arc<dyn ClientCertVerifier>,
    pub rules: Arc<Rules>,
    pub why: Why,
}

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.rules.trusted_as_is(end_entity, now, true) {
            Some(outcome) => outcome.map_err(Error::InvalidCertificate)?,
            None => {
                self.chain.verify_client_cert(end_entity, intermediates, now)?;
            }
        }
        let checked = self.rules.check(end_entity, intermediates);
        checked.map_err(|refusal| refusal.told(&self.why))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Looks at who is called, on one connection.
#[derive(Debug)]
pub(super) struct CalledVerifier {
    /// `None` with `--peer-auto-tls`, where there is nothing to follow a chain to.
    pub chain: Option<Arc<WebPkiServerVerifier>>,
    pub provider: Arc<CryptoProvider>,
    pub rules: Arc<Rules>,
    pub why: Why,
}

impl ServerCertVerifier for CalledVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match self.rules.trusted_as_is(end_entity, now, false) {
            Some(outcome) => {
                outcome.map_err(Error::InvalidCertificate)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            None => {
                let (name, ocsp) = (server_name, ocsp_response);
                chain.verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
            }
        }
        let checked = self.rules.check(end_entity, intermediates);
        checked.map_err(|refusal| refusal.told(&self.why))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
