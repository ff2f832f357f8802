//! `--auto-tls` and `--peer-auto-tls`: a certificate of one's own, as etcd makes it (`etcd:client/pkg/transport`).

use super::error::TlsError;
use super::options::Pair;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The pair in a folder, made when it is not there: P-521, organisation `etcd`, for these hosts and addresses.
///
/// # Errors
/// The folder cannot be written, or `years` is zero.
pub fn make_self_signed(folder: &Path, hosts: &[String], years: u32) -> Result<Pair, TlsError> {
    let failed = |cause: String| TlsError::SelfSigned { folder: folder.to_owned(), cause };
    if years == 0 {
        return Err(failed(
            "selfSignedCertValidity is invalid,it should be greater than 0".to_owned(),
        ));
    }
    let pair = Pair { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    if pair.cert.exists() && pair.key.exists() {
        return Ok(pair);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(error.to_string()))?;
    let (cert, key) = sign(hosts, years).map_err(|error| failed(error.to_string()))?;
    // The key first: both names there means both are whole.
    let written = write(&pair.key, &key, 0o600).and_then(|()| write(&pair.cert, &cert, 0o644));
    written.map_err(|error| failed(error.to_string()))?;
    tracing::warn!(
        folder = %folder.display(),
        "automatically generate certificates; who connects cannot tell this member from another machine"
    );
    Ok(pair)
}

fn sign(hosts: &[String], years: u32) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(hosts.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "etcd");
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + DAY * 365 * years.min(1000)).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::CrlSign,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(SerialNumber::from(rand::random::<u64>() >> 1 | 1));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Temporary name, sync, rename, sync of the folder.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let new = path.with_extension("tmp");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
