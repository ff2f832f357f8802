//! What a TLS connection proves about its client, carried to the handlers in a request's extensions.

use std::sync::Arc;

/// CommonName of the client's certificate: that of the first verified chain. Present only where `--client-cert-auth`
/// demands a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName(pub Arc<str>);
