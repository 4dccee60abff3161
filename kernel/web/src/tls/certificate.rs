//! A certificate and its key as they stand in files.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use world::Moment;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// A certificate that was read with its key, and what it says of itself.
#[derive(Debug)]
pub struct Certificate {
    /// The hosts and addresses that it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub not_before: Moment,
    /// Until when it is valid.
    pub not_after: Moment,
    pub(super) served: Arc<CertifiedKey>,
}

/// Why a certificate cannot be served: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The file of the certificate is at fault.
    Certificate(String),
    /// The file of the key is at fault.
    Key(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Certificate(cause) | Self::Key(cause)) = self;
        f.write_str(cause)
    }
}

impl std::error::Error for Unusable {}

impl Certificate {
    /// Reads a chain of certificates, our own first, and the key of that one; both in PEM.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Unusable> {
        let (shown, key_shown) = (certificate.display(), key.display());
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|fault| Unusable::Certificate(format!("{shown} {}", said(&fault))))?;
        let Some(own) = chain.first() else {
            return Err(Unusable::Certificate(format!(
                "{shown} holds no certificate; it should hold PEM, our own certificate first and those of its authorities after it"
            )));
        };
        let unreadable =
            |fault: String| Unusable::Certificate(format!("the first certificate in {shown} cannot be read: {fault}"));
        let (_, parsed) = X509Certificate::from_der(own).map_err(|fault| unreadable(fault.to_string()))?;
        let names = names(&parsed).map_err(unreadable)?;
        let validity = parsed.validity();
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|fault| Unusable::Key(format!("{key_shown} {}", said(&fault))))?;
        let served = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|fault| match fault {
            rustls::Error::InconsistentKeys(_) => Unusable::Key(format!(
                "{key_shown} is not the key of the first certificate in {shown}; the two must be made together"
            )),
            other => Unusable::Key(format!(
                "{key_shown} cannot be used: {other}; it should be an RSA, ECDSA or Ed25519 key without a password"
            )),
        })?;
        Ok(Self { names, not_before, not_after, served: Arc::new(served) })
    }
}

/// What is wrong with a file of PEM, after its name.
pub(crate) fn said(fault: &pem::Error) -> String {
    match fault {
        pem::Error::Io(cause) => format!("cannot be read: {cause}"),
        pem::Error::NoItemsFound => "does not hold what it should: PEM begins with -----BEGIN …-----".to_owned(),
        other => format!("is no PEM that can be read: {other}"),
    }
}

/// The names by which clients may know who has the certificate; its subject is none.
/// Source: RFC 9525, section 2.
fn names(parsed: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let alternative = parsed.subject_alternative_name().map_err(|fault| fault.to_string())?;
    let names = alternative.into_iter().flat_map(|extension| &extension.value.general_names);
    Ok(names.filter_map(name).collect())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

fn moment(time: ASN1Time) -> Moment {
    Moment::from_micros(time.timestamp().saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rcgen::generate_simple_self_signed;
    use tempfile::TempDir;

    use super::{Certificate, Unusable};

    struct Files {
        _folder: TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    fn files(certificate: &str, key: &str) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let files =
            Files { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem"), _folder: folder };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
        files
    }

    fn pair() -> (String, String) {
        let made = generate_simple_self_signed(["shop.example".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_says_for_whom_and_until_when_it_is() {
        let (certificate, key) = pair();
        let files = files(&certificate, &key);
        let read = Certificate::read(&files.certificate, &files.key).unwrap();
        assert_eq!(read.names, ["shop.example", "127.0.0.1"]);
        // What the generator gives where nothing is said.
        assert_eq!(read.not_before.to_string(), "1975-01-01T00:00:00.000000Z");
        assert_eq!(read.not_after.to_string(), "4096-01-01T00:00:00.000000Z");
    }

    #[test]
    fn each_way_in_which_a_pair_cannot_be_used_is_told_with_its_file() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let damaged = certificate.replacen("MII", "MIJ", 1);
        for (certificate, key, told) in [
            ("", key.as_str(), "c.pem holds no certificate"),
            ("nonsense", &key, "c.pem holds no certificate"),
            (&key, &key, "c.pem holds no certificate"),
            (&damaged, &key, "c.pem cannot be read"),
            (&certificate, "", "k.pem does not hold what it should"),
            (&certificate, &certificate, "k.pem does not hold what it should"),
            (&certificate, &other, "k.pem is not the key of the first certificate in"),
        ] {
            let files = files(certificate, key);
            let unusable = Certificate::read(&files.certificate, &files.key).unwrap_err();
            assert!(unusable.to_string().contains(told), "{told}: {unusable}");
            assert_eq!(matches!(unusable, Unusable::Key(_)), told.starts_with('k'), "{unusable}");
            assert!(!unusable.to_string().contains("PRIVATE"), "{unusable}");
        }
        let files = files(&certificate, &key);
        fs::remove_file(&files.key).unwrap();
        let unusable = Certificate::read(&files.certificate, &files.key).unwrap_err();
        assert!(matches!(unusable, Unusable::Key(cause) if cause.contains("k.pem cannot be read")));
    }
}
