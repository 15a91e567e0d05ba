//! TLS with clients, and TLS with backends.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::{Misfit, at, misfit};
use super::written::written_as_string;
use super::{Invalid, Step};

/// TLS of a listener: versions 1.2 and 1.3. The files are read at start, and again
/// when they change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// The certificates. Each client gets the one that has the name that it asks
    /// for, an exact name before a wildcard; one that asks for another name or for
    /// none gets the first.
    pub certificates: Vec<CertificateFiles>,
    /// Whether clients must show a certificate of their own: `none` by default.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// PEM file of the authorities that clients' certificates must come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Tells browsers to come back over TLS only (RFC 6797); not told by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file of the certificate, followed by those that it was signed with.
    pub certificate: PathBuf,
    /// PEM file of its private key: PKCS #8, PKCS #1 or SEC 1, without a password.
    pub key: PathBuf,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked for one; if they show one, it must be valid.
    Optional,
    /// They must show a valid one.
    Required,
}

/// `Strict-Transport-Security` (RFC 6797) on every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hsts {
    /// How long a browser remembers it, like `365days`.
    pub max_age: MaxAge,
    /// Whether it holds for all subdomains too.
    #[serde(default)]
    pub include_subdomains: bool,
}

/// A length of time that a browser remembers something, from 0s to 10 years, in
/// whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MaxAge(Duration);

/// TLS with the backends of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Whether backends are talked to over TLS: `true` where this table stands.
    pub enabled: bool,
    /// The name that backends are asked for and that their certificates must have;
    /// by default each backend's own name, or the DNS name of its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<ServerName>,
    /// PEM file of the authorities that backends' certificates must come from; by
    /// default those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Whether backends' certificates are verified. `false` takes any certificate,
    /// and so anyone who gets in between.
    pub verify: bool,
    /// The certificate to show to backends, if they ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateFiles>,
}

/// A DNS name that a server is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServerName(String);

/// A file that a table of the configuration names.
#[derive(Clone, Debug)]
pub struct NamedFile<'a> {
    /// The way to the key, from the table.
    pub at: Vec<Step>,
    /// The file.
    pub path: &'a Path,
}

written_as_string!(MaxAge, "MaxAge", "A length of time, from 0s to 10years", "365days");
written_as_string!(ServerName, "ServerName", "A DNS name", "backend.example.com");

/// What browsers take for ever.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

// === impl ListenerTls ===

impl ListenerTls {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = NamedFile<'_>> {
        let pairs = self.certificates.iter().enumerate();
        let pairs = pairs.flat_map(|(index, pair)| {
            pair.files(vec![Step::from("certificates"), Step::from(index)])
        });
        pairs.chain(self.client_ca.as_deref().map(|ca| NamedFile::new("client_ca", ca)))
    }

    /// What the settings say together that cannot be meant.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        if self.certificates.is_empty() {
            return Some(misfit(at!["certificates"], "there is no certificate: add one"));
        }
        match (self.client_certificates, &self.client_ca) {
            (ClientCertificates::None, Some(_)) => Some(misfit(
                at!["client_ca"],
                "clients are not asked for certificates: add client_certificates = \"required\" \
                 or \"optional\", or remove client_ca",
            )),
            (ClientCertificates::Optional | ClientCertificates::Required, None) => Some(misfit(
                at!["client_certificates"],
                "nothing says whose certificates are good: add client_ca",
            )),
            _ => None,
        }
    }
}

// === impl CertificateFiles ===

impl CertificateFiles {
    fn files(&self, way: Vec<Step>) -> [NamedFile<'_>; 2] {
        [("certificate", &self.certificate), ("key", &self.key)].map(|(key, path)| NamedFile {
            at: [way.clone(), vec![Step::from(key)]].concat(),
            path,
        })
    }
}

// === impl NamedFile ===

impl<'a> NamedFile<'a> {
    fn new(key: &str, path: &'a Path) -> Self {
        Self { at: vec![Step::from(key)], path }
    }
}

// === impl MaxAge ===

impl MaxAge {
    /// The seconds.
    pub fn as_secs(self) -> u64 {
        self.0.as_secs()
    }
}

impl FromStr for MaxAge {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        humantime::parse_duration(text)
            .ok()
            .filter(|age| *age <= LONGEST && age.subsec_nanos() == 0)
            .map(Self)
            .ok_or_else(|| {
                Invalid(format!(
                    "\"{text}\" is no age: write 365days or 1h, in whole seconds up to 10years"
                ))
            })
    }
}

impl TryFrom<String> for MaxAge {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

// === impl UpstreamTls ===

impl UpstreamTls {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = NamedFile<'_>> {
        let pair = self.client_certificate.iter();
        let pair = pair.flat_map(|pair| pair.files(vec![Step::from("client_certificate")]));
        pair.chain(self.ca.as_deref().map(|ca| NamedFile::new("ca", ca)))
    }
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { enabled: true, sni: None, ca: None, verify: true, client_certificate: None }
    }
}

// === impl ServerName ===

impl ServerName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServerName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        // An address cannot be asked for (RFC 6066, section 3).
        let address = name.parse::<std::net::IpAddr>().is_ok();
        if address || name.len() > 253 || !name.split('.').all(label) {
            return Err(Invalid(format!("\"{name}\" is no DNS name: write backend.example.com")));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(text: &str) -> Result<ListenerTls, String> {
        toml::from_str(&format!("certificates = [{{ certificate = 'a', key = 'b' }}]\n{text}"))
            .map_err(|error| error.message().to_owned())
    }

    #[test]
    fn client_certificates_and_their_authority_go_together() {
        for (text, key) in [
            ("", None),
            ("client_ca = 'ca'", Some("client_ca")),
            ("client_certificates = 'required'", Some("client_certificates")),
            ("client_certificates = 'optional'\nclient_ca = 'ca'", None),
        ] {
            let misfit = listener(text).unwrap().misfit();
            let at = key.map(|key| vec![Step::from(key)]);
            assert_eq!(misfit.map(|misfit| misfit.at), at, "{text}");
        }
        let none: ListenerTls = toml::from_str("certificates = []").unwrap();
        assert_eq!(none.misfit().unwrap().at, [Step::from("certificates")]);
    }

    #[test]
    fn an_age_is_in_whole_seconds() {
        let age = |text: &str| text.parse::<MaxAge>().map(MaxAge::as_secs).ok();
        assert_eq!(age("365days"), Some(31_536_000));
        assert_eq!(age("0s"), Some(0));
        for text in ["1500ms", "11years", "long", ""] {
            assert_eq!(age(text), None, "{text}");
        }
    }

    #[test]
    fn backends_are_verified_unless_that_is_turned_off() {
        let tls: UpstreamTls = toml::from_str("sni = 'Backend.test'").unwrap();
        assert!(tls.enabled && tls.verify);
        assert_eq!(tls.sni.unwrap().as_str(), "backend.test");
        for name in ["", "a..b", "10.0.0.1", "a b", "a:443"] {
            assert!(ServerName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }
}
