//! Certificates that a test makes, and clients that trust them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Issued {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How a client talks TLS.
pub struct Trust {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    shown: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    protocols: Vec<Vec<u8>>,
}

/// A connection over TLS whose handshake is done.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate for these names, which may be IP addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// The same, with a last word on what is in it.
    pub fn issue_with(
        &self,
        names: &[&str],
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = leaf(names);
        adjust(&mut params);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let certificate_pem = certificate.pem();
        Issued { certificate: certificate.der().clone(), certificate_pem, key }
    }

    /// As the only one that is believed.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        roots
    }

    /// Its own certificate, in this folder.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.pem"));
        std::fs::write(&path, self.0.pem()).expect("a written file");
        path
    }
}

fn leaf(names: &[&str]) -> CertificateParams {
    let owned: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(owned).expect("names");
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, *first);
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

impl Issued {
    /// One that nobody but itself vouches for.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf(names).self_signed(&key).expect("a certificate");
        let certificate_pem = certificate.pem();
        Self { certificate: certificate.der().clone(), certificate_pem, key }
    }

    /// As files of this name, in this folder.
    pub fn write(&self, folder: &Path, name: &str) -> Files {
        let files = Files {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        self.write_certificate(&files);
        self.write_key(&files);
        files
    }

    pub fn write_certificate(&self, files: &Files) {
        replace(&files.certificate, &self.certificate_pem);
    }

    pub fn write_key(&self, files: &Files) {
        replace(&files.key, &self.key.serialize_pem());
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A new file in the place of the old one.
pub fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a written file");
    std::fs::rename(&new, path).expect("a renamed file");
}

impl Files {
    /// As the configuration names them.
    pub fn toml(&self) -> String {
        let Self { certificate, key } = self;
        format!("{{ certificate = '{}', key = '{}' }}", certificate.display(), key.display())
    }
}

impl Trust {
    /// Trusts one authority, speaks TLS 1.2 and 1.3, and names no protocol.
    pub fn in_authority(authority: &Authority) -> Self {
        let roots = authority.roots();
        let versions = vec![&rustls::version::TLS13, &rustls::version::TLS12];
        Self { roots, versions, shown: None, protocols: Vec::new() }
    }

    /// Shows this certificate when asked for one.
    pub fn showing(mut self, issued: &Issued) -> Self {
        self.shown = Some((issued.certificate(), issued.key()));
        self
    }

    /// Speaks this version of TLS only.
    pub fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Names these protocols (ALPN).
    pub fn speaking(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.shown {
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .expect("a key that fits"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }

    /// Connects and shakes hands, asking for `name`: an IP address is not asked for.
    pub fn connect(&self, address: SocketAddr, name: &str) -> io::Result<Secured> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(self.config(), name).expect("a connection");
        let mut secured = StreamOwned::new(connection, stream);
        while secured.conn.is_handshaking() {
            secured.conn.complete_io(&mut secured.sock)?;
        }
        Ok(secured)
    }
}

/// What a test reads and writes.
pub trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}
