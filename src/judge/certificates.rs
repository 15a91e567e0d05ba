//! Certificates for a program that speaks TLS, made by the check that needs them:
//! nothing of the machine's own is used, and nothing is asked of the internet.

use std::io;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

/// A certificate for each of some names, by an authority that nobody else knows.
///
/// They lie in a folder of their own, as files in PEM: `NAME.pem` and `NAME.key` for
/// each name, `authority.pem` for the authority. The folder goes when this is
/// dropped.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
    authority: CertificateDer<'static>,
    issued: Vec<(String, CertificateDer<'static>)>,
}

// === impl Certificates ===

impl Certificates {
    /// Makes them, with new keys.
    ///
    /// # Errors
    ///
    /// A name is none, or a file can't be written.
    pub fn issue(names: &[&str]) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("pingora-lab-certificates-").tempdir()?;
        let issuer = authority().map_err(io::Error::other)?;
        std::fs::write(folder.path().join("authority.pem"), issuer.pem())?;
        let mut issued = Vec::new();
        for name in names {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let params = leaf(name).map_err(io::Error::other)?;
            let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem())?;
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem())?;
            issued.push(((*name).to_owned(), certificate.der().clone()));
        }
        Ok(Self { authority: issuer.der().clone(), folder, issued })
    }

    /// What a client is to trust.
    pub fn authority(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    /// The same as a file, for a client by hand: `curl --cacert`.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// What a client must be shown that asks for this name.
    pub fn of(&self, name: &str) -> Option<&CertificateDer<'static>> {
        self.issued.iter().find(|(other, _)| other == name).map(|(_, certificate)| certificate)
    }

    /// What tells a program where they are: the folder, and the names with commas
    /// between.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        let names: Vec<_> = self.issued.iter().map(|(name, _)| name.as_str()).collect();
        let folder = self.folder.path().display().to_string();
        [("LAB_TLS_FOLDER", folder), ("LAB_TLS_NAMES", names.join(","))]
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "pingora-lab");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore, ServerConfig};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A server with the files of `name`, as a program would read them.
    fn server(certificates: &Certificates, name: &str) -> TlsAcceptor {
        let [(_, folder), _] = certificates.settings();
        let chain = CertificateDer::pem_file_iter(format!("{folder}/{name}.pem")).unwrap();
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{folder}/{name}.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// The certificate that a client is shown who trusts these and asks for `name`.
    async fn shown(
        trusted: &Certificates,
        server: TlsAcceptor,
        name: &'static str,
    ) -> io::Result<CertificateDer<'static>> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.authority()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(1 << 16);
        let client = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(name).unwrap();
        let (client, _server) = tokio::join!(client.connect(name, near), server.accept(far));
        let client = client?;
        Ok(client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_authority_is_shown_the_certificate_of_the_name() {
        let certificates = Certificates::issue(&["a.test", "b.test"]).unwrap();
        for name in ["a.test", "b.test"] {
            let found = shown(&certificates, server(&certificates, name), name).await.unwrap();
            assert_eq!(Some(&found), certificates.of(name), "{name}");
        }
        let other = shown(&certificates, server(&certificates, "a.test"), "b.test").await;
        assert!(other.is_err(), "another name's");
        let strangers = Certificates::issue(&["a.test"]).unwrap();
        let unknown = shown(&strangers, server(&certificates, "a.test"), "a.test").await;
        assert!(unknown.is_err(), "an authority that is not trusted");
    }

    #[test]
    fn the_settings_name_the_folder_and_it_goes_with_them() {
        let certificates = Certificates::issue(&["a.test", "b.test"]).unwrap();
        let [(_, folder), (_, names)] = certificates.settings();
        assert_eq!(names, "a.test,b.test");
        assert!(certificates.authority_file().is_file());
        drop(certificates);
        assert!(!std::path::Path::new(&folder).exists());
    }
}
