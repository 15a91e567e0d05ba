//! What certificates are for, for servers that are told it name by name.

use x509_parser::pem::Pem;
use x509_parser::prelude::GeneralName;

use super::file::Pair;

impl Pair {
    /// The names that the certificate is for, in small letters.
    ///
    /// # Panics
    ///
    /// The file holds no certificate.
    pub fn names(&self) -> Vec<String> {
        let text = std::fs::read(&self.certificate).expect("the certificate is there");
        let pem = Pem::iter_from_buffer(&text).next().expect("a certificate").expect("PEM");
        let certificate = pem.parse_x509().expect("a certificate");
        let names = certificate.subject_alternative_name().expect("names").expect("names");
        let names = names.value.general_names.iter();
        let dns = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        dns.collect()
    }

    /// Both files in one, as HAProxy wants them.
    ///
    /// # Panics
    ///
    /// One is not there.
    pub fn joined(&self) -> String {
        let read = |path: &str| std::fs::read_to_string(path).expect("the file is there");
        read(&self.certificate) + &read(&self.key)
    }
}
