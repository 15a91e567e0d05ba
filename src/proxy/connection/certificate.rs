//! Who a client is by its certificate.

use http::HeaderValue;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is said of a client's certificate, which the handshake has verified. Made once
/// for a connection.
#[derive(Debug)]
pub struct ClientCertificate {
    /// Its subject, like `CN=client, O=Example`; `None` if no header field can hold it.
    pub subject: Option<HeaderValue>,
    /// The SHA-256 of it, as 64 hexadecimal digits.
    pub fingerprint: HeaderValue,
}

impl ClientCertificate {
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        // What is no ASCII could be read in more than one way.
        let subject = certificate.subject().to_string();
        let subject = subject.is_ascii().then(|| HeaderValue::try_from(subject).ok()).flatten();
        let digest: [u8; 32] = Sha256::digest(der).into();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { subject, fingerprint: HeaderValue::try_from(hex).ok()? })
    }
}
