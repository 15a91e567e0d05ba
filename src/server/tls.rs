//! TLS with clients: certificates and keys out of files, and which certificate a
//! client gets.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tracing::warn;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::{CertificateFiles, ClientCertificates, Listener, ListenerTls};

/// Why the TLS of a listener cannot be set up. Its text is one line: the file, what
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
    /// Clients' certificates cannot be verified with these authorities.
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

/// Reads the files of a listener's TLS and sets it up.
///
/// # Errors
///
/// See [`TlsError`].
pub fn load(listener: &Listener, tls: &ListenerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let resolver = BySni::load(&tls.certificates, &provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Unavailable)?;
    let builder = match (&tls.client_ca, tls.client_certificates) {
        (Some(path), wanted @ (ClientCertificates::Optional | ClientCertificates::Required)) => {
            let bad = |cause: String| TlsError::BadAuthorities { path: path.clone(), cause };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|cause| bad(cause.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match wanted {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|cause| bad(cause.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    if listener.http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    // Sessions are resumed from tickets, which take no memory here, and which no
    // longer hold once the certificates or authorities have changed.
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Unavailable)?;
    Ok(Arc::new(config))
}

/// The files that a listener's TLS is read from.
pub fn files(tls: &ListenerTls) -> impl Iterator<Item = &Path> {
    let pairs = tls.certificates.iter();
    pairs
        .flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()])
        .chain(tls.client_ca.as_deref())
}

/// Chooses the certificate by the name that a client asks for.
#[derive(Debug)]
struct BySni {
    exact: HashMap<String, Keys>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Keys>,
    default: Arc<CertifiedKey>,
}

/// Certificates for one name, of different kinds of key.
type Keys = Vec<Arc<CertifiedKey>>;

// === impl BySni ===

impl BySni {
    fn load(pairs: &[CertificateFiles], provider: &CryptoProvider) -> Result<Self, TlsError> {
        let (mut exact, mut wildcard) = (HashMap::<_, Keys>::new(), HashMap::<_, Keys>::new());
        let mut default = None;
        for pair in pairs {
            let (names, key) = load_pair(pair, provider)?;
            let key = Arc::new(key);
            if names.is_empty() && default.is_some() {
                warn!(target: "tls", certificate = %pair.certificate.display(),
                    "the certificate has no DNS name, so no client will get it");
            }
            for name in names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default(),
                    None => exact.entry(name).or_default(),
                }
                .push(Arc::clone(&key));
            }
            default.get_or_insert(key);
        }
        let default =
            default.ok_or(TlsError::Unavailable(rustls::Error::NoCertificatesPresented))?;
        Ok(Self { exact, wildcard, default })
    }

    fn of_name(&self, name: &str) -> Option<&Keys> {
        let name = name.to_ascii_lowercase();
        self.exact.get(&name).or_else(|| {
            // A wildcard stands for one label (RFC 6125, section 6.4.3).
            self.wildcard.get(name.split_once('.')?.1)
        })
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = hello.server_name().and_then(|name| self.of_name(name));
        let fits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let key = keys.and_then(|keys| keys.iter().find(fits).or(keys.first()));
        Some(Arc::clone(key.unwrap_or(&self.default)))
    }
}

/// A certificate with its key, and the DNS names that it is for.
fn load_pair(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<(Vec<String>, CertifiedKey), TlsError> {
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
                    "the certificate is not valid now; clients will refuse it");
            }
        }
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|cause| match cause {
        pem::Error::NoItemsFound => TlsError::NoKey(files.key.clone()),
        cause => TlsError::NotPem { path: files.key.clone(), cause: cause.to_string() },
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
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
    Ok((names, certified))
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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
