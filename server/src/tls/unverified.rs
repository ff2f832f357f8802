//! Calls to a service whose certificate is not looked at (`--discovery-insecure-skip-tls-verify`); never to a peer.

use super::accept::Socket;
use super::dial::{DialError, host_of};
use super::error::TlsError;
use super::options::Pair;
use super::refusal;
use super::verify::{CalledVerifier, Rules, Why};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, DEFAULT_VERSIONS};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Opens encrypted connections to whoever answers.
#[derive(Clone, Debug)]
pub struct UnverifiedDialer {
    config: Arc<ClientConfig>,
}

impl UnverifiedDialer {
    /// A dialer that shows this pair to who asks for a certificate.
    ///
    /// # Errors
    /// The pair cannot be read or used.
    pub fn new(pair: Option<&Pair>) -> Result<UnverifiedDialer, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = CalledVerifier {
            chain: None,
            provider: provider.clone(),
            rules: Arc::new(Rules::default()),
            why: Why::default(),
        };
        let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
                let chain = chain.map_err(|error| TlsError::file("certificate", cert, error))?;
                let secret = PrivateKeyDer::from_pem_file(key)
                    .map_err(|_| TlsError::file("key", key, "there is no PEM private key in it"))?;
                builder.with_client_auth_cert(chain, secret).map_err(setup)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(UnverifiedDialer { config: Arc::new(config) })
    }

    /// Connects to `host:port` for HTTP/2.
    ///
    /// # Errors
    /// Nobody answers in time, or what answers is no TLS.
    pub async fn dial(&self, address: &str, limit: Duration) -> Result<Socket, DialError> {
        let connect = async {
            let name = ServerName::try_from(host_of(address).to_owned())
                .map_err(|_| DialError::Url { url: address.to_owned(), why: "no host in it" })?;
            let refused = |error: &std::io::Error| DialError::Refused(refusal::describe(error));
            let stream = TcpStream::connect(address).await.map_err(|error| refused(&error))?;
            let connector = TlsConnector::from(self.config.clone());
            let stream = connector.connect(name, stream).await.map_err(|error| refused(&error))?;
            Ok(Box::new(stream) as Socket)
        };
        tokio::time::timeout(limit, connect).await.unwrap_or(Err(DialError::Late(limit)))
    }
}
