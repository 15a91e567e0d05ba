//! The configuration file of a program under test: what `LAB_CONFIG` names from stage
//! 09 on.
//!
//! Its format is a part of the one of `pingora-lab serve` (`docs/configuration.md`), so
//! that whatever is written here runs there too. What the file may hold at which stage
//! is in `docs/course.md`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use toml::Value;

/// A configuration file, line by line: of each line it is known where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigFile {
    lines: Vec<String>,
}

/// The header of a certificate's table.
pub const CERTIFICATE: &str = "[[listener.tls.certificates]]";

// === impl ConfigFile ===

impl ConfigFile {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a line as it is: a comment, for one.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// With a table: its header with the brackets, and its keys.
    #[must_use]
    pub fn table<'a>(
        mut self,
        header: &str,
        keys: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Self {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.lines.push(header.to_owned());
        self.lines.extend(keys.into_iter().map(|(key, value)| format!("{key} = {value}")));
        self
    }

    /// With a listener.
    #[must_use]
    pub fn listener(self, address: SocketAddr) -> Self {
        self.table("[[listener]]", [("address", text(address))])
    }

    /// With a listener that sends everybody on to this port, where TLS is spoken.
    #[must_use]
    pub fn redirecting_listener(self, address: SocketAddr, port: u16) -> Self {
        self.listener(address).key("redirect_to_https", i64::from(port))
    }

    /// With TLS for the listener that was written last: each of these pairs is a certificate's
    /// file and its key's.
    #[must_use]
    pub fn certificates<'a>(self, pairs: impl IntoIterator<Item = (&'a Path, &'a Path)>) -> Self {
        pairs.into_iter().fold(self, |file, (certificate, key)| {
            let keys = [("certificate", text(certificate.display())), ("key", text(key.display()))];
            file.table(CERTIFICATE, keys)
        })
    }

    /// With a pool of these backends, looked at this often, or as often as the program
    /// likes.
    #[must_use]
    pub fn pool(
        self,
        name: &str,
        interval: Option<Duration>,
        backends: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        self.weighted_pool(name, interval, backends.into_iter().map(|address| (address, None)))
    }

    /// The same with the backends' weights, where one is said.
    #[must_use]
    pub fn weighted_pool(
        self,
        name: &str,
        interval: Option<Duration>,
        backends: impl IntoIterator<Item = (SocketAddr, Option<u16>)>,
    ) -> Self {
        let mut file = self.table("[[pool]]", [("name", text(name))]);
        if let Some(interval) = interval {
            let interval = format!("{}ms", interval.as_millis());
            file = file.table("[pool.health_check]", [("interval", text(interval))]);
        }
        backends.into_iter().fold(file, |file, (address, weight)| {
            let weight = weight.map(|weight| ("weight", Value::from(i64::from(weight))));
            let keys = [("address", text(address))].into_iter().chain(weight);
            file.table("[[pool.backend]]", keys)
        })
    }

    /// With a route to this pool: for these hosts or any, for paths that begin so or
    /// any.
    #[must_use]
    pub fn route(self, hosts: &[&str], prefix: Option<&str>, pool: &str) -> Self {
        let hosts: Vec<_> = hosts.iter().map(text).collect();
        let hosts = (!hosts.is_empty()).then_some(("hosts", Value::Array(hosts)));
        let prefix = prefix.map(|prefix| ("prefix", text(prefix)));
        let keys = hosts.into_iter().chain(prefix).chain([("pool", text(pool))]);
        self.table("[[route]]", keys)
    }

    /// With a key more in the table that was written last.
    #[must_use]
    pub fn key(self, key: &str, value: impl Into<Value>) -> Self {
        self.line(format!("{key} = {}", value.into()))
    }

    /// The line, from 1, of a key of the `nth` table with this header, from 0; that of
    /// the header for an empty key.
    pub fn line_of(&self, header: &str, nth: usize, key: &str) -> Option<usize> {
        let mut headers = self.lines.iter().enumerate().filter(|(_, line)| *line == header);
        let (at, _) = headers.nth(nth)?;
        let of_table = |line: &&String| !line.is_empty();
        let lines = self.lines[at..].iter().take_while(of_table);
        let is_key =
            |line: &String| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" ="));
        let mut lines = lines.enumerate();
        let found =
            lines.find(|(number, line)| if key.is_empty() { *number == 0 } else { is_key(line) });
        found.map(|(number, _)| at + number + 1)
    }

    /// The address of `[admin]`, if it is there.
    pub fn admin(&self) -> Option<SocketAddr> {
        let line = self.at(self.line_of("[admin]", 0, "address")?);
        line.split('"').nth(1)?.parse().ok()
    }

    /// With another line in place of the one of this number, from 1.
    #[must_use]
    pub fn with_line(mut self, number: usize, line: impl Into<String>) -> Self {
        if let Some(there) = self.lines.get_mut(number.wrapping_sub(1)) {
            *there = line.into();
        }
        self
    }

    /// With a line more, before the one of this number, from 1.
    #[must_use]
    pub fn with_line_before(mut self, number: usize, line: impl Into<String>) -> Self {
        let at = number.saturating_sub(1).min(self.lines.len());
        self.lines.insert(at, line.into());
        self
    }

    /// Without the lines of these numbers, from 1.
    #[must_use]
    pub fn without_lines(mut self, numbers: std::ops::Range<usize>) -> Self {
        let mut number = 0;
        self.lines.retain(|_| {
            number += 1;
            !numbers.contains(&number)
        });
        self
    }

    /// All lines, as they stand.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What stands in the line of this number, from 1.
    pub fn at(&self, number: usize) -> &str {
        self.lines.get(number.wrapping_sub(1)).map_or("", String::as_str)
    }

    /// The whole, as it is written to disk.
    pub fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// A command that writes the file, without its comments and empty lines. `$PWD` in it stands
    /// for the folder at hand: the program may be started in another one.
    pub fn command(&self, name: &str) -> String {
        let lines = self.lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let words = ["printf", "%s\\n"].into_iter().chain(lines.map(String::as_str));
        // What has a `$` stands between single quotes, where no shell looks.
        let words = shell_words::join(words).replace("$PWD", "'\"$PWD\"'");
        format!("{words} >{name}")
    }
}

/// A value that is text.
pub fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ConfigFile {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        ConfigFile::new()
            .line("# a comment")
            .listener(address(1))
            .pool("web", Some(Duration::from_millis(150)), [address(2), address(3)])
            .route(&["a.test"], Some("/api"), "web")
            .route(&[], None, "web")
    }

    #[test]
    fn it_is_toml() {
        let table: toml::Table = file().text().parse().unwrap();
        assert_eq!(table["pool"][0]["backend"][1]["address"].as_str(), Some("127.0.0.1:3"));
        assert_eq!(table["pool"][0]["health_check"]["interval"].as_str(), Some("150ms"));
        assert_eq!(table["route"][0]["hosts"][0].as_str(), Some("a.test"));
        assert_eq!(table["route"][1].get("prefix"), None);
    }

    #[test]
    fn certificates_are_those_of_the_listener_before() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let pair = (Path::new("/a.pem"), Path::new("/a.key"));
        let file = ConfigFile::new()
            .redirecting_listener(address(1), 443)
            .listener(address(2))
            .certificates([pair, pair]);
        let table: toml::Table = file.text().parse().unwrap();
        assert_eq!(table["listener"][0]["redirect_to_https"].as_integer(), Some(443));
        let certificates = table["listener"][1]["tls"]["certificates"].as_array().unwrap();
        assert_eq!(certificates.len(), 2);
        assert_eq!(certificates[1]["key"].as_str(), Some("/a.key"));
        assert_eq!(file.at(file.line_of(CERTIFICATE, 1, "").unwrap() + 2), "key = \"/a.key\"");
    }

    #[test]
    fn lines_are_found_and_changed() {
        let file = file();
        let second = file.line_of("[[pool.backend]]", 1, "address").unwrap();
        assert_eq!(file.at(second), "address = \"127.0.0.1:3\"");
        assert_eq!(file.at(file.line_of("[[route]]", 1, "").unwrap()), "[[route]]");
        assert_eq!(file.line_of("[[route]]", 1, "prefix"), None);
        let admin = SocketAddr::from(([127, 0, 0, 1], 9));
        assert_eq!(file.admin(), None);
        assert_eq!(file.clone().table("[admin]", [("address", text(admin))]).admin(), Some(admin));
        assert_eq!(file.clone().with_line(second, "x").at(second), "x");
        let more = file.clone().with_line_before(second, "y");
        assert_eq!((more.at(second), more.at(second + 1)), ("y", file.at(second)));
        assert_eq!(file.clone().without_lines(1..3).at(1), file.at(3));
        assert!(file.command("lab.toml").starts_with("printf '%s\\n' '[[listener]]' 'address = "));
    }
}
