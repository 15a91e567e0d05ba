//! A connection over TLS.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Client, Connection, Hello, NoTls, Trouble};

/// A connection over TLS, and what the server has shown for it.
#[derive(Debug)]
pub struct Secured {
    /// For HTTP/1 inside.
    pub connection: Connection<TlsStream<TcpStream>>,
    /// What came of the handshake.
    pub shown: Shown,
}

/// What came of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The server's certificate, and those that it sent with it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The version of TLS.
    pub version: Option<ProtocolVersion>,
    /// What is spoken inside, if the server has said it.
    pub protocol: Option<String>,
}

/// Takes any certificate: whether it is the right one is for a check to say. But the
/// server must have its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

// === impl Client ===

impl Client {
    /// Makes a connection over TLS. The client trusts everybody.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`], and [`Trouble::NoTls`].
    pub async fn secure(&self, hello: &Hello) -> Result<Secured, Trouble> {
        let stream = self.stream().await?;
        let broken = |error: rustls::Error| Trouble::NoTls(NoTls::Broken(error.to_string()));
        let config = config(hello).map_err(broken)?;
        let name = match &hello.name {
            Some(name) => ServerName::try_from(name.clone())
                .map_err(|error| Trouble::NoTls(NoTls::Broken(error.to_string())))?,
            // An address is not said (RFC 6066, section 3).
            None => ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST)),
        };
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = match tokio::time::timeout(self.patience, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Trouble::NoTls(why_not(&error))),
            Err(_) => return Err(Trouble::NoTls(NoTls::PatienceOver(self.patience))),
        };
        let session = stream.get_ref().1;
        let chain = session.peer_certificates().unwrap_or_default();
        let protocol = session.alpn_protocol().map(|it| String::from_utf8_lossy(it).into_owned());
        let shown = Shown {
            chain: chain.iter().cloned().map(CertificateDer::into_owned).collect(),
            version: session.protocol_version(),
            protocol,
        };
        Ok(Secured { connection: Connection::new(stream, self.patience), shown })
    }
}

fn config(hello: &Hello) -> Result<ClientConfig, rustls::Error> {
    let mut provider = rustls::crypto::ring::default_provider();
    // By itself the client would offer the suites of all versions.
    provider.cipher_suites.retain(|suite| hello.versions.contains(&suite.version()));
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&hello.versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = hello.protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
    // Each handshake is a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn why_not(error: &io::Error) -> NoTls {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) => NoTls::Alert(format!("{alert:?}")),
        (Some(error), _) => NoTls::Broken(error.to_string()),
        (
            None,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted,
        ) => NoTls::Ended,
        (None, _) => NoTls::Broken(error.to_string()),
    }
}

// === impl Anyone ===

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "secure_tests.rs"]
mod tests;
