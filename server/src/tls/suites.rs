//! What rustls offers of the versions and suites that were asked for.

use super::error::TlsError;
use super::options::{TlsOptions, Version};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{SupportedProtocolVersion, version};
use std::sync::Arc;

/// The versions between the limits.
pub(super) fn versions(options: &TlsOptions) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(Version::Tls13, &version::TLS13), (Version::Tls12, &version::TLS12)];
    let is_asked = |it: &Version| (options.min_version..=options.max_version).contains(it);
    all.iter().filter(|(it, _)| is_asked(it)).map(|(_, version)| *version).collect()
}

/// The algorithms, with the TLS 1.2 suites that were asked for. Those of TLS 1.3 cannot be chosen, as in Go.
///
/// # Errors
/// Suites were asked for and none of them is left.
pub(super) fn provider(options: &TlsOptions) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = aws_lc_rs::default_provider();
    if options.cipher_suites.is_empty() {
        return Ok(Arc::new(provider));
    }
    let asked = |id: u16| options.cipher_suites.contains(&id);
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some() || asked(u16::from(suite.suite())));
    let has_old = provider.cipher_suites.iter().any(|suite| suite.tls13().is_none());
    if !has_old && options.max_version == Version::Tls12 {
        return Err(TlsError::Setup(
            "none of the suites in --cipher-suites is offered; those with CBC, 3DES, RC4 or plain RSA are insecure and not built in"
                .to_owned(),
        ));
    }
    Ok(Arc::new(provider))
}
