//! Failed handshakes in the words that etcd's users know from Go's TLS.

use rustls::{AlertDescription, CertificateError, Error};

/// Says why a handshake failed.
pub(super) fn describe(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => text(error),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => error.to_string(),
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        Error::InvalidMessage(_) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::NoApplicationProtocol => {
            "tls: client requested unsupported application protocols".to_owned()
        }
        Error::PeerIncompatible(cause) => {
            format!("tls: no protocol version or cipher suite in common ({cause:?})")
        }
        Error::InvalidCertificate(cause) => {
            format!("tls: failed to verify certificate: x509: {}", certificate_text(cause))
        }
        other => other.to_string(),
    }
}

fn certificate_text(cause: &CertificateError) -> String {
    use CertificateError as C;
    match cause {
        C::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. } => {
            format!("certificate has expired or is not yet valid: {cause}")
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "certificate specifies an incompatible key usage".to_owned()
        }
        other => other.to_string(),
    }
}

/// Go's words for the alerts that matter to certificates.
fn alert_text(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let text = match alert {
        A::BadCertificate => "bad certificate",
        A::UnsupportedCertificate => "unsupported certificate",
        A::CertificateRevoked => "revoked certificate",
        A::CertificateExpired => "expired certificate",
        A::CertificateUnknown => "unknown certificate",
        A::CertificateRequired => "certificate required",
        A::UnknownCA => "unknown certificate authority",
        A::AccessDenied => "access denied",
        A::HandshakeFailure => "handshake failure",
        A::ProtocolVersion => "protocol version not supported",
        A::DecryptError => "error decrypting message",
        A::InternalError => "internal error",
        A::NoApplicationProtocol => "no application protocol",
        other => return format!("{other:?}"),
    };
    text.to_owned()
}
