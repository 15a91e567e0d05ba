//! TLS with clients: what is agreed on, and which certificate a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tracing::warn;

use crate::config::{CertificateFiles, ClientCertificates, Listener, ListenerTls};
use crate::proxy::pem::{self, TlsError};

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
            let roots = pem::authorities(path)?;
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
            let pem::Pair { names, certified: key, .. } = pem::pair(pair, provider)?;
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
