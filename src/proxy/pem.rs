//! Certificates, private keys and authorities out of PEM files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use tracing::warn;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::{CertificateFiles, Misfit, NamedFile, Step};

/// Why TLS cannot be set up. Its text is one line: the file, what
/// is wrong with it, what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file is not PEM, or what is in it is not what PEM says it is.
    #[error("{}: {cause}: give a PEM file", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate: give a PEM file that has BEGIN CERTIFICATE", .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no private key.
    #[error("{} holds no private key: give a PEM file that has BEGIN PRIVATE KEY, without a password", .0.display())]
    NoKey(PathBuf),
    /// A certificate cannot be understood.
    #[error("{}: certificate {number} is no valid certificate: {cause}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Which of the file, from 1.
        number: usize,
        /// Why.
        cause: String,
    },
    /// A private key cannot be used.
    #[error("{}: the private key cannot be used: {cause}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// A key and a certificate are not of each other.
    #[error(
        "the key {} is not the key of the certificate {}: give the two that belong together",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The other side's certificates cannot be verified with these authorities.
    #[error("{}: {cause}", path.display())]
    BadAuthorities {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The system has no randomness, or TLS lacks a part.
    #[error("TLS cannot be set up: {0}")]
    Unavailable(rustls::Error),
}

/// A certificate with its key.
pub struct Pair {
    /// The DNS names that it is for, in lower case.
    pub names: Vec<String>,
    /// Ready to be shown.
    pub certified: Arc<CertifiedKey>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

// === impl TlsError ===

impl TlsError {
    /// The file that is concerned.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::NotPem { path, .. }
            | Self::NoCertificate(path)
            | Self::NoKey(path)
            | Self::BadCertificate { path, .. }
            | Self::BadKey { path, .. }
            | Self::Mismatch { key: path, .. }
            | Self::BadAuthorities { path, .. } => Some(path),
            Self::Unavailable(_) => None,
        }
    }

    /// The mistake as one of the configuration, whose table at `way` names these files.
    pub fn misfit<'a>(
        &self,
        mut way: Vec<Step>,
        files: impl IntoIterator<Item = NamedFile<'a>>,
    ) -> Misfit {
        let files: Vec<_> = files.into_iter().collect();
        let is_key = |named: &NamedFile<'_>| named.at.last() == Some(&Step::from("key"));
        let of_key = matches!(self, Self::NoKey(_) | Self::BadKey { .. });
        // A file may be named more than once, as a certificate and as a key, and as the key of
        // several certificates.
        let place = files.iter().enumerate().position(|(index, named)| match self {
            Self::Mismatch { certificate, .. } => {
                let before = index.checked_sub(1).map(|before| files[before].path);
                Some(named.path) == self.file() && before == Some(certificate)
            }
            _ => Some(named.path) == self.file() && (!of_key || is_key(named)),
        });
        way.extend(place.into_iter().flat_map(|place| files[place].at.clone()));
        Misfit { message: self.to_string(), at: way }
    }
}

/// Reads a certificate and its key, and sees that they belong together. One that is
/// not valid now is only warned of: clocks differ.
///
/// # Errors
///
/// See [`TlsError`].
pub fn pair(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Pair, TlsError> {
    let chain = certificates(&files.certificate)?;
    let mut names = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|cause| TlsError::BadCertificate {
                path: files.certificate.clone(),
                number: index + 1,
                cause: cause.to_string(),
            })?;
        if index == 0 {
            names = dns_names(&parsed);
            if !parsed.validity().is_valid() {
                warn!(target: "tls", certificate = %files.certificate.display(),
                    not_before = %parsed.validity().not_before,
                    not_after = %parsed.validity().not_after,
                    "the certificate is not valid now; who is shown it will refuse it");
            }
        }
    }
    let der = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|cause| match cause {
        pem::Error::NoItemsFound => TlsError::NoKey(files.key.clone()),
        cause => TlsError::NotPem { path: files.key.clone(), cause: cause.to_string() },
    })?;
    let key = provider
        .key_provider
        .load_private_key(der.clone_key())
        .map_err(|cause| TlsError::BadKey { path: files.key.clone(), cause })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Keys of some kinds do not show their public half.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(TlsError::Mismatch {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
            });
        }
        Err(cause) => {
            return Err(TlsError::BadCertificate {
                path: files.certificate.clone(),
                number: 1,
                cause: cause.to_string(),
            });
        }
    }
    Ok(Pair { names, certified: Arc::new(certified), key: der })
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// Those whose signatures are believed.
///
/// # Errors
///
/// See [`TlsError`].
pub fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|cause| TlsError::BadAuthorities {
            path: path.to_owned(),
            cause: cause.to_string(),
        })?;
    }
    Ok(roots)
}

/// The certificates of a file, of which there is at least one.
///
/// # Errors
///
/// See [`TlsError`].
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|cause| TlsError::NotPem { path: path.to_owned(), cause: cause.to_string() })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })
}
