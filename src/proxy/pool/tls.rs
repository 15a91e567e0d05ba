//! TLS with the backends of a pool, read from its files and checked.

use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::config::UpstreamTls;
use crate::proxy::pem::{self, TlsError};

/// In the groups of connections that are made with TLS. The bit below it is the version's
/// of HTTP.
const SECURED: u64 = 1 << 63;

/// What connections to a pool's backends are made with.
#[derive(Clone, Debug)]
pub struct Tls {
    ca: Option<Arc<CaType>>,
    client: Option<Arc<CertKey>>,
    verify: bool,
    /// Pingora would use a connection for another pool that trusts others or shows
    /// another certificate: it looks at the address, the name, and this.
    group: u64,
}

// === impl Tls ===

impl Tls {
    /// Reads the files of a pool's TLS; `None` where there is to be none.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn load(written: &UpstreamTls) -> Result<Option<Self>, TlsError> {
        if !written.enabled {
            return Ok(None);
        }
        let mut print = Sha256::new();
        print.update([u8::from(written.verify)]);
        let mut add = |bytes: &[u8]| {
            print.update((bytes.len() as u64).to_be_bytes());
            print.update(bytes);
        };
        let ca = match &written.ca {
            Some(path) => {
                // Seen to be usable here, since Pingora does so for each connection.
                pem::authorities(path)?;
                let authorities = pem::certificates(path)?;
                add(b"ca");
                authorities.iter().for_each(|authority| add(authority));
                Some(authorities.iter().map(wrapped).collect())
            }
            None => None,
        };
        let client = match &written.client_certificate {
            Some(files) => {
                let provider = rustls::crypto::ring::default_provider();
                let pair = pem::pair(files, &provider)?;
                add(b"client");
                pair.certified.cert.iter().for_each(|certificate| add(certificate));
                add(pair.key.secret_der());
                let chain = pair.certified.cert.iter().map(|c| c.to_vec()).collect();
                Some(Arc::new(CertKey::new(chain, pair.key.secret_der().to_vec())))
            }
            None => None,
        };
        let print: [u8; 32] = print.finalize().into();
        let group = u64::from_be_bytes([
            print[0], print[1], print[2], print[3], print[4], print[5], print[6], print[7],
        ]);
        Ok(Some(Self { ca, client, verify: written.verify, group: group >> 2 | SECURED }))
    }

    /// Has connections to a peer made so.
    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        peer.client_cert_key.clone_from(&self.client);
        peer.group_key = self.group;
        peer.options.ca.clone_from(&self.ca);
        peer.options.verify_cert = self.verify;
        peer.options.verify_hostname = self.verify;
    }
}

impl PartialEq for Tls {
    /// Whether the settings and what was in the files are the same.
    fn eq(&self, other: &Self) -> bool {
        self.group == other.group
    }
}

fn wrapped(certificate: &CertificateDer<'static>) -> WrappedX509 {
    WrappedX509::new(certificate.to_vec(), parse_x509)
}
