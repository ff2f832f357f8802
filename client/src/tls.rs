//! Makes rustls configurations from the files a user names. Reads files, opens no connection.

use crate::config::Tls;
use crate::error::{ClientError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::path::Path;
use std::sync::Arc;

/// The configuration for gRPC (`h2`) or plain HTTP (`http/1.1`), as `alpn` says.
pub(crate) fn client_config(tls: &Tls, alpn: &[u8]) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Config(format!("TLS cannot be set up: {error}")))?;
    let builder = if tls.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
    } else {
        let roots = Arc::new(roots(tls.ca.as_deref())?);
        let as_is = match &tls.ca {
            Some(path) => certificates(path)?,
            None => Vec::new(),
        };
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| ClientError::Config(format!("TLS cannot be set up: {error}")))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusted { chain, as_is }))
    };
    let mut config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("key", key, &error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                ClientError::Config(format!("client certificate cannot be used: {error}"))
            })?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(ClientError::Config(
                "KeyFile and CertFile must both be present[key: , cert: ]".to_owned(),
            ));
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

/// The authorities of `ca`, or the system's.
fn roots(ca: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                store.add(certificate).map_err(|e| unreadable("CA", path, &e.to_string()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// All certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let list: std::result::Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable("certificate", path, &error.to_string()));
    let list = list?;
    if list.is_empty() {
        return Err(unreadable("certificate", path, "no PEM certificate in it"));
    }
    Ok(list)
}

fn unreadable(what: &str, path: &Path, cause: &str) -> ClientError {
    ClientError::Config(format!("{what} file {} cannot be used: {cause}", path.display()))
}

/// The chain is followed to an authority; a server that shows a certificate of the CA file itself is trusted as it is,
/// as in Go. etcd's `--auto-tls` makes such certificates, and webpki takes no authority for a server.
#[derive(Debug)]
struct Trusted {
    chain: Arc<WebPkiServerVerifier>,
    as_is: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if !self.as_is.contains(end_entity) {
            let (name, ocsp) = (server_name, ocsp_response);
            return self.chain.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        }
        check_dates(end_entity, now).map_err(rustls::Error::InvalidCertificate)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn check_dates(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
) -> std::result::Result<(), CertificateError> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let (_, parsed) = parsed.map_err(|_| CertificateError::BadEncoding)?;
    let (validity, now) = (parsed.validity(), now.as_secs().cast_signed());
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    Ok(())
}

/// `--insecure-skip-tls-verify`: any certificate will do. Signatures are still checked, so that the peer at least holds
/// the key of what it shows.
#[derive(Debug)]
struct AcceptAny(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
