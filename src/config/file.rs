//! Reading a configuration file, and saying what is wrong with it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::Config;
use super::validate::{Misfit, Step, meant};

/// Why a configuration file cannot be used. Its text is one line: what, where,
/// and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A place in the file is wrong.
    #[error("{}:{line}:{column}: {message}{}", path.display(), quoted(excerpt))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong and what to do.
        message: String,
        /// The line itself.
        excerpt: String,
    },
    /// The whole is wrong, and no one place of the file.
    #[error("{}: {message}", path.display())]
    Whole {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
}

/// A configuration file that has been read, for telling places in it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Config {
    /// Reads a TOML file. What concerns several values is left to
    /// [`Config::validate`], after flags have had their say; [`Source::locate`]
    /// says where in the file its errors are.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn from_file(path: &Path) -> Result<(Self, Source), ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(path, &bytes)
    }

    /// The same, of the content of a file. Secrets and other files that it names are
    /// read all the same.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Self, Source), ConfigError> {
        // Editors on Windows begin a file with a byte order mark.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column, _) = place(&before, before.len()..before.len());
            ConfigError::Wrong {
                path: path.to_owned(),
                line,
                column,
                message: "the file is not UTF-8 from here on: save it as UTF-8".to_owned(),
                excerpt: String::new(),
            }
        })?;
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            source.wrong(span, &suggest(error.message()))
        })?;
        for pool in &mut config.pools {
            super::address::name_by_place(&mut pool.backends);
        }
        Ok((config, source))
    }
}

// === impl Source ===

impl Source {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says where in the file a mistake is, as far as the file says anything of
    /// the value; flags may have.
    pub fn locate(&self, misfit: &Misfit) -> ConfigError {
        match self.span(&misfit.at) {
            Some(span) => self.wrong(span, &misfit.message),
            None => ConfigError::Whole { path: self.path.clone(), message: misfit.message.clone() },
        }
    }

    fn wrong(&self, span: Range<usize>, message: &str) -> ConfigError {
        let (line, column, excerpt) = place(&self.text, span);
        ConfigError::Wrong {
            path: self.path.clone(),
            line,
            column,
            message: message.trim().replace('\n', ", "),
            excerpt,
        }
    }

    /// The nearest place on the way to a value that the file has.
    fn span(&self, at: &[Step]) -> Option<Range<usize>> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut found = None;
        let mut here: Option<&DeValue<'_>> = None;
        let mut table = Some(document.get_ref());
        for step in at {
            let next = match step {
                Step::Key(key) => table.and_then(|table| table.get(key.as_str())),
                Step::Item(item) => match here {
                    Some(DeValue::Array(items)) => items.get(*item),
                    _ => None,
                },
            };
            let Some(next) = next else { break };
            found = Some(next.span());
            here = Some(next.get_ref());
            table = match here {
                Some(DeValue::Table(table)) => Some(table),
                _ => None,
            };
        }
        found
    }
}

/// Names what was probably meant, where a key or a word is unknown: the parser
/// says which there are.
fn suggest(message: &str) -> String {
    let mut quoted = message.split('`');
    let begins = |what: &str| message.starts_with(what);
    if !begins("unknown field") && !begins("unknown variant") {
        return message.to_owned();
    }
    let unknown = quoted.nth(1).unwrap_or_default();
    // What stands between back-ticks, every second part.
    let known: Vec<_> = quoted.skip(1).step_by(2).collect();
    let kind = if begins("unknown field") { "key" } else { "word" };
    let hint = match meant(unknown, &known) {
        Some(other) => format!("did you mean `{other}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => {
            let all: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("there are {}", all.join(", "))
        }
    };
    format!("unknown {kind} `{unknown}`: {hint}")
}

/// Line and column, from 1, of a place in a text, and the line there.
fn place(text: &str, span: Range<usize>) -> (usize, usize, String) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    let excerpt = text[line_start..].lines().next().unwrap_or_default().trim().to_owned();
    (line, column, excerpt)
}

/// A line of the file, as much of it as helps and nothing that a terminal would
/// act on.
fn quoted(excerpt: &str) -> String {
    if excerpt.is_empty() {
        return String::new();
    }
    let shown: String =
        excerpt.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let more = if excerpt.chars().nth(80).is_some() { "…" } else { "" };
    format!(" — in: {shown}{more}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let mut file = tempfile::Builder::new().prefix("lab").suffix(".toml").tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let name = file.path().display().to_string();
        let named = |error: ConfigError| error.to_string().replace(&name, "lab.toml");
        let (config, source) = Config::from_file(file.path()).map_err(named)?;
        config.validate().map_err(|misfit| named(source.locate(&misfit)))?;
        Ok(config)
    }

    #[test]
    fn a_file_that_is_no_text_says_where_and_no_terminal_acts_on_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.toml");
        std::fs::write(&path, b"threads = 1\n# caf\xe9\n").unwrap();
        let error = Config::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("lab.toml:2:6: the file is not UTF-8"), "{error}");
        std::fs::write(&path, format!("threads = \"\u{1b}[31m{}\"\n", "x".repeat(5000))).unwrap();
        let error = Config::from_file(&path).unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }

    const POOL: &str = "[[pool]]\n[[pool.backend]]\naddress = \"127.0.0.1:9001\"\n";

    #[test]
    fn the_smallest_file_has_every_default() {
        let config = load(POOL).unwrap();
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:6188");
        assert_eq!(config.pools[0].health_check.interval.to_string(), "30s");
        assert_eq!(config.shutdown.drain.to_string(), "10s");
        assert_eq!(config.headers.request.set.len(), 6);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let cases = [
            ("threads = 0\n", "lab.toml:1:11: 0 threads: use a number from 1 to 1024"),
            ("thread = 1\n", "lab.toml:1:1: unknown key `thread`: did you mean `threads`?"),
            ("threads = \"two\"\n", "lab.toml:1:11: invalid type: string \"two\""),
            ("threads = \n", "lab.toml:1:1"),
            ("[timeouts]\nread = \"0s\"\n", "lab.toml:2:8: \"0s\" is out of range"),
            (
                "trusted_proxies = [\"10.0.0.0/33\"]\n",
                "lab.toml:1:19: \"10.0.0.0/33\" is no network",
            ),
            ("[[listener]]\naddress = \"nowhere\"\n", "lab.toml:2:11: invalid socket address"),
            (
                "[[pool]]\n[[pool.backend]]\nadress = \"a:1\"\n",
                "lab.toml:3:1: unknown key `adress`: did you mean `address`?",
            ),
            ("[[pool]]\n[[pool.backend]]\naddress = \"a\"\n", "lab.toml:3:11: \"a\" is no address"),
            ("[headers.request]\nset = { host = \"a\" }\n", "lab.toml:2:9: \"host\" follows from"),
            ("[headers.response]\nset = { x = \"$b\" }\n", "lab.toml:2:13: \"$b\" is no variable"),
            (
                "[headers.response]\nremove = [\"content-length\"]\n",
                "lab.toml:2:10: \"content-length\" frames",
            ),
            ("\u{feff}thread = 1\n", "lab.toml:1:1: unknown key `thread`: did you mean `threads`?"),
            (
                "[[listener]]\naddress = \"[::1]:1\"\n[[listener]]\naddress = \"[::1]:1\"\n",
                "lab.toml:4:11: two listeners on [::1]:1",
            ),
            ("[[pool]]\n", "lab.toml:1:1: pool \"default\" has no [[pool.backend]]"),
            ("", "lab.toml: no [[pool]]"),
            (
                "[[pool]]\nbalance = \"rondom\"\n",
                "lab.toml:2:11: unknown word `rondom`: did you mean `random`?",
            ),
            (
                "[[pool]]\n[[pool.backend]]\naddress = \"a:1\"\nweight = 0\n",
                "lab.toml:4:10: a backend of weight 0",
            ),
            ("[[pool]]\nretries = { budget = 1.5 }\n", "lab.toml:2:22: 1.5 is no share"),
            (
                "[[pool]]\nname = \"shop\"\n[[pool.backend]]\naddress = \"a:1\"\n[[route]]\npool = \"shpo\"\n",
                "lab.toml:6:8: there is no pool \"shpo\": did you mean \"shop\"?",
            ),
            ("[[route]]\nprefix = \"/a\"\n", "lab.toml:1:1: the route does nothing"),
            (
                "[access.office]\nallow = [\"::1\"]\n[[route]]\nanswer = {}\naccess = [\"offise\"]\n",
                "lab.toml:5:11: there is no access policy \"offise\": did you mean \"office\"?",
            ),
            (
                "[access.a]\n[[route]]\nanswer = {}\n",
                "lab.toml:1:1: access \"a\": it lets everybody in",
            ),
            (
                "[access.a]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"::1\", \"10.1.0.0/8\"]\n[[route]]\nanswer = {}\n",
                "lab.toml:3:16: access \"a\": 10.0.0.0/8 is allowed and denied: remove one",
            ),
            (
                "[rate_limit.a]\nrequests = 1000\nper = \"1us\"\n",
                "lab.toml:3:7: \"1us\" is out of range",
            ),
            ("[rate_limit.a]\nper = \"1s\"\n", "lab.toml:1:1: missing field `requests`"),
            (
                "[rate_limit.a]\nrequests = 1\nby = \"adress\"\n",
                "lab.toml:3:6: unknown word `adress`: there are",
            ),
            (
                "[rate_limit.a]\nrequests = 2000\nper = \"1ms\"\n[[route]]\nanswer = {}\n",
                "lab.toml:2:12: rate_limit \"a\": it lets through more than a request each µs",
            ),
            (
                "[rate_limit.a]\nrequests = 1\nper = \"1h\"\nburst = 10000\n[[route]]\nanswer = {}\n",
                "lab.toml:4:9: rate_limit \"a\": after a burst it would take more than a year",
            ),
            (
                "[rate_limit.a]\nrequests = 1\nby = \"identity\"\n[[route]]\nanswer = {}\nrate_limit = [\"a\"]\n",
                "lab.toml:6:15: rate limit \"a\" goes by identity, which nobody asks for: add auth",
            ),
            (
                "[rate_limit.a]\nrequests = 1\n[[route]]\nanswer = {}\nrate_limit = [\"a\", \"a\"]\n",
                "lab.toml:5:20: rate limit \"a\" is named twice",
            ),
            (
                "[cors.a]\norigins = [\"*\"]\ncredentials = true\n[[route]]\nanswer = {}\n",
                "lab.toml:2:11: cors \"a\": browsers do not take \"*\" in origins together with credentials",
            ),
            (
                "[cors.a]\norigins = [\"http://a\"]\nexpose = [\"*\"]\ncredentials = true\n[[route]]\nanswer = {}\n",
                "lab.toml:3:10: cors \"a\": browsers do not take \"*\" in expose",
            ),
            (
                "[cors.a]\norigins = [\"http://a\", \"*\"]\n[[route]]\nanswer = {}\n",
                "lab.toml:2:11: cors \"a\": \"*\" is every origin",
            ),
            (
                "[cors.a]\norigins = []\n[[route]]\nanswer = {}\n",
                "lab.toml:2:11: cors \"a\": no origin",
            ),
            (
                "[cors.a]\norigins = [\"https://a/\"]\n",
                "lab.toml:2:11: \"https://a/\" is no origin: leave out",
            ),
            (
                "[cors.site]\norigins = [\"*\"]\n[[route]]\nanswer = {}\ncors = \"sight\"\n",
                "lab.toml:5:8: there is no CORS policy \"sight\"",
            ),
            ("[access.'a b']\n", "lab.toml:1:9: \"a b\" is no name of a policy"),
            (
                "[[route]]\nanswer = {}\n[route.redirect]\n",
                "lab.toml:2:10: the route has redirect and answer",
            ),
        ];
        for (text, expected) in cases {
            let error = load(text).unwrap_err();
            assert!(!error.contains('\n'), "one line: {error}");
            assert!(
                error.starts_with(expected),
                "{text:?}\n  gave:     {error}\n  expected: {expected}"
            );
        }
    }

    #[test]
    fn what_is_written_replaces_the_default_of_that_field() {
        let config = load(&format!(
            "{POOL}\n[headers.response]\nremove = [\"x-proxy\"]\nset = {{ server = \"mine\", x-served-by = \"b-$backend\" }}\n[headers.request]\ndefaults = false\n"
        ))
        .unwrap();
        let response = config.headers.response;
        let names: Vec<_> = response.set.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-load-balancer", "server", "x-served-by"]);
        assert_eq!(response.remove, ["x-proxy"]);
        assert!(config.headers.request.set.is_empty());
    }

    #[test]
    fn a_dns_name_names_its_backend_as_in_a_flag() {
        let pool = "[[pool]]\n[[pool.backend]]\naddress = \"shop.test:80\"\n[[pool.backend]]\naddress = \"localhost:80\"\n";
        let labels: Vec<_> =
            load(pool).unwrap().pools[0].backends.iter().map(|b| b.label()).collect();
        assert_eq!(labels, ["shop.test", "localhost:80"]);
    }

    #[test]
    fn two_backends_of_one_name_are_refused() {
        let two = "[[pool]]\n[[pool.backend]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[pool.backend]]\nname = \"A\"\naddress = \"127.0.0.1:2\"\n";
        assert!(load(two).unwrap_err().contains("two backends are called \"a\""));
    }
}
