//! One reading of all files of a door: ready to make a rustls configuration for each connection.
//!
//! A configuration is made for each connection, which costs a microsecond, so that a refusal can leave its reason for
//! the log of just that connection. Sessions are never resumed: who calls is looked at anew each time.

use super::certificate::Facts;
use super::error::TlsError;
use super::options::{Pair, TlsOptions};
use super::revocation::Revoked;
use super::suites;
use super::verify::{CalledVerifier, CallerVerifier, Rules, Why};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of the files, or why they could not be read. Never printed: keys are among them.
pub(super) type Contents = HashMap<PathBuf, Result<Vec<u8>, String>>;

/// Protocols that are offered: gRPC needs the first, `curl` and Prometheus may want the second.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the files of a door held when they were last read.
pub(super) struct Material {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    shown: Arc<SingleCertAndKey>,
    shown_when_calling: Arc<SingleCertAndKey>,
    callers: Option<Arc<dyn ClientCertVerifier>>,
    called: Option<Arc<WebPkiServerVerifier>>,
    rules: Arc<Rules>,
    /// When the certificate that is shown ends, in seconds since 1970.
    pub not_after: i64,
}

struct Files<'a>(&'a Contents);

impl Files<'_> {
    fn bytes(&self, what: &'static str, path: &Path) -> Result<&[u8], TlsError> {
        match self.0.get(path) {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(cause)) => Err(TlsError::file(what, path, cause)),
            None => Err(TlsError::file(what, path, "it was not read")),
        }
    }

    fn certificates(
        &self,
        what: &'static str,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let list: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(self.bytes(what, path)?).collect();
        let list = list.map_err(|error| TlsError::file(what, path, error))?;
        if list.is_empty() {
            return Err(TlsError::file(what, path, "there is no PEM certificate in it"));
        }
        Ok(list)
    }

    fn pair(
        &self,
        pair: &Pair,
        provider: &CryptoProvider,
    ) -> Result<(CertifiedKey, Facts), TlsError> {
        let chain = self.certificates("certificate", &pair.cert)?;
        let unusable = |cause: String| TlsError::file("certificate", &pair.cert, cause);
        let facts = Facts::read(&chain[0]).map_err(unusable)?;
        let key = PrivateKeyDer::from_pem_slice(self.bytes("key", &pair.key)?)
            .map_err(|_| TlsError::file("key", &pair.key, "there is no PEM private key in it"))?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            TlsError::file("key", &pair.key, format!("this kind of key is not known ({error})"))
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok((certified, facts))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::Mismatch { cert: pair.cert.clone(), key: pair.key.clone() })
            }
            Err(error) => Err(unusable(error.to_string())),
        }
    }
}

impl Material {
    /// Makes sense of the files.
    ///
    /// # Errors
    /// Which file is wrong and how.
    pub(super) fn read(options: &TlsOptions, contents: &Contents) -> Result<Material, TlsError> {
        let files = Files(contents);
        let (provider, versions) = (suites::provider(options)?, suites::versions(options));
        if versions.is_empty() {
            return Err(TlsError::Setup("no version lies between the limits".to_owned()));
        }
        let (shown, facts) = files.pair(&options.pair, &provider)?;
        let shown = Arc::new(SingleCertAndKey::from(shown));
        let shown_when_calling = match &options.calling_pair {
            Some(pair) => Arc::new(SingleCertAndKey::from(files.pair(pair, &provider)?.0)),
            None => shown.clone(),
        };
        let authorities = match &options.trusted_ca {
            Some(path) => files.certificates("CA", path)?,
            None => Vec::new(),
        };
        let rules = Rules {
            allowed: options.allowed.clone(),
            revoked: match &options.crl {
                Some(path) => Some(Revoked::read(path, files.bytes("revocation list", path)?)?),
                None => None,
            },
            authorities: authorities.iter().map(|der| der.to_vec()).collect(),
        };
        let roots = roots(options, authorities)?;
        let cannot = |error: &dyn std::error::Error| TlsError::Setup(error.to_string());
        let callers = if options.demands_certificate() {
            let builder =
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
            Some(builder.build().map_err(|error| cannot(&error))?)
        } else {
            None
        };
        let called = if options.is_self_signed || roots.is_empty() {
            None
        } else {
            let builder = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            Some(builder.build().map_err(|error| cannot(&error))?)
        };
        let (rules, not_after) = (Arc::new(rules), facts.not_after);
        Ok(Material {
            provider,
            versions,
            shown,
            shown_when_calling,
            callers,
            called,
            rules,
            not_after,
        })
    }

    /// For one connection that was accepted; `why` is told the reason of a refusal.
    pub(super) fn server(&self, why: &Why) -> Result<Arc<ServerConfig>, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions)?;
        let builder = match &self.callers {
            None => builder.with_no_client_auth(),
            Some(chain) => builder.with_client_cert_verifier(Arc::new(CallerVerifier {
                chain: chain.clone(),
                rules: self.rules.clone(),
                why: why.clone(),
            })),
        };
        let mut config = builder.with_cert_resolver(self.shown.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// For one connection that is opened.
    pub(super) fn client(
        &self,
        why: &Why,
        protocol: &[u8],
    ) -> Result<Arc<ClientConfig>, rustls::Error> {
        let verifier = CalledVerifier {
            chain: self.called.clone(),
            provider: self.provider.clone(),
            rules: self.rules.clone(),
            why: why.clone(),
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.shown_when_calling.clone());
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

/// The authorities of the file, or the system's where they are needed and no file is named.
fn roots(
    options: &TlsOptions,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    match &options.trusted_ca {
        Some(path) => {
            for authority in authorities {
                roots.add(authority).map_err(|error| TlsError::file("CA", path, error))?;
            }
        }
        None if options.is_self_signed && !options.client_cert_auth => {}
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() && options.client_cert_auth {
                return Err(TlsError::Setup(
                    "certificates are demanded and there is no authority to check them by: name one with \
                     --trusted-ca-file or --peer-trusted-ca-file"
                        .to_owned(),
                ));
            }
        }
    }
    Ok(Arc::new(roots))
}
