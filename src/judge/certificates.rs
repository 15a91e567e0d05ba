//! Certificates for a program that speaks TLS, made by the check that needs them:
//! nothing of the machine's own is used, and nothing is asked of the internet.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

/// Certificates by an authority that nobody else knows. It does not sign them itself but has
/// another do it, as authorities do: who is shown one must be shown that other's, too.
#[derive(Debug)]
pub struct Certificates {
    authority: CertificateDer<'static>,
    issued: Vec<Issued>,
}

/// A certificate, and the files that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The names that it is for; `*.a.test` is for every name just below `a.test`.
    pub names: Vec<String>,
    /// Itself.
    pub certificate: CertificateDer<'static>,
    /// Where it is, and behind it that of whoever has signed it, in PEM.
    pub certificate_file: PathBuf,
    /// Where its key is, in PEM.
    pub key_file: PathBuf,
}

// === impl Certificates ===

impl Certificates {
    /// Makes a certificate for each of these lists of names, with new keys. The files are in
    /// this folder, which must be there: `NAME.pem` and `NAME.key` for the first name of each,
    /// with `_` in place of `*`.
    ///
    /// # Errors
    ///
    /// A name is none, or a file can't be written.
    pub fn issue(folder: &Path, wanted: &[Vec<String>]) -> io::Result<Self> {
        let root = authority("pingora-lab", None).map_err(io::Error::other)?;
        let signer = authority("pingora-lab signs", Some(&root)).map_err(io::Error::other)?;
        let mut issued = Vec::new();
        for names in wanted {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let params = leaf(names).map_err(io::Error::other)?;
            let certificate = params.signed_by(&key, &signer).map_err(io::Error::other)?;
            let first = names.first().map_or_else(String::new, |name| name.replace('*', "_"));
            let one = Issued {
                names: names.clone(),
                certificate: certificate.der().clone(),
                certificate_file: folder.join(format!("{first}.pem")),
                key_file: folder.join(format!("{first}.key")),
            };
            std::fs::write(&one.certificate_file, certificate.pem() + &signer.pem())?;
            std::fs::write(&one.key_file, key.serialize_pem())?;
            issued.push(one);
        }
        Ok(Self { authority: root.der().clone(), issued })
    }

    /// All of them, in the order in which they were asked for.
    pub fn all(&self) -> &[Issued] {
        &self.issued
    }

    /// Whether a client that trusts the authority takes this chain for a server of this name.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn vouch_for(
        &self,
        chain: &[CertificateDer<'static>],
        name: &str,
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let other = |error: &dyn std::fmt::Display| rustls::Error::General(error.to_string());
        let verifier = verifier.build().map_err(|error| other(&error))?;
        let name = ServerName::try_from(name.to_owned()).map_err(|error| other(&error))?;
        let (first, rest) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        verifier.verify_server_cert(first, rest, &name, &[], UnixTime::now()).map(|_| ())
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// One that stands for itself, or one that another stands for.
fn authority(name: &str, by: Option<&Authority>) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    match by {
        None => CertifiedIssuer::self_signed(params, key),
        Some(by) => CertifiedIssuer::signed_by(params, key, by),
    }
}

fn leaf(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    if let Some(first) = names.first() {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn issue(folder: &Path, wanted: &[&[&str]]) -> Certificates {
        let wanted: Vec<Vec<String>> = wanted
            .iter()
            .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
            .collect();
        Certificates::issue(folder, &wanted).unwrap()
    }

    fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_file_iter(&issued.certificate_file).unwrap();
        chain.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_client_that_trusts_the_authority_takes_the_certificate_of_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = issue(folder.path(), &[&["a.test", "B.test"], &["*.c.test"]]);
        let [first, second] = certificates.all() else { panic!("two") };
        for (issued, name, taken) in [
            (first, "a.test", true),
            (first, "b.test", true),
            (first, "c.test", false),
            (second, "x.c.test", true),
            (second, "c.test", false),
            (second, "x.y.c.test", false),
        ] {
            let chain = chain(issued);
            assert_eq!(chain[0], issued.certificate);
            assert_eq!(certificates.vouch_for(&chain, name).is_ok(), taken, "{name}");
            // Without the one that has signed it nobody takes it.
            assert!(certificates.vouch_for(&chain[..1], name).is_err(), "{name}");
        }
        let other = tempfile::tempdir().unwrap();
        let strangers = issue(other.path(), &[&["a.test"]]);
        let unknown = strangers.vouch_for(&chain(first), "a.test");
        assert!(unknown.is_err(), "an authority that is not trusted");
    }

    #[test]
    fn the_key_is_that_of_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = issue(folder.path(), &[&["*.a.test"], &["b.test"]]);
        assert!(folder.path().join("_.a.test.pem").is_file());
        let [first, second] = certificates.all() else { panic!("two") };
        let provider = rustls::crypto::ring::default_provider();
        let pair = |certificate: &Issued, key: &Issued| {
            let key = PrivateKeyDer::from_pem_file(&key.key_file).unwrap();
            rustls::sign::CertifiedKey::from_der(chain(certificate), key, &provider)
        };
        assert!(pair(first, first).is_ok());
        assert!(pair(first, second).is_err());
    }
}
