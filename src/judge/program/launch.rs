//! How a program under test is run: its command, its environment, its place.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::environment::environment;
use super::order::Order;

/// How to run a program under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What is added to the judge's own environment (see [`environment`]).
    pub env: Vec<(String, String)>,
    /// The program's working directory.
    pub cwd: PathBuf,
    /// A folder for the judge's files, which does not outlive the judge.
    pub scratch: Option<PathBuf>,
}

/// A command as a person wrote it, with placeholders for the addresses.
///
/// Placeholders: `{listen}` and `{listen_port}`; `{backend1}`, `{backend2}`,
/// and so on; `{backends}`, all of them with commas between. Only lower-case words in
/// braces are placeholders, and `${word}` is left to a shell; `{{word}}` stands for
/// `{word}` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    text: String,
    words: Vec<String>,
}

/// A command that cannot be run as written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandLineError {
    /// A quote is opened and not closed.
    #[error("the command has a quote that is not closed: {0}")]
    Quotes(String),
    /// There is nothing to run.
    #[error("the command is empty")]
    Empty,
    /// A word in braces that means nothing here.
    #[error(
        "the command has the placeholder {{{0}}}, which there is not; there are {{listen}}, \
         {{listen_port}}, {{backends}} and {{backend1}}, {{backend2}}, ... ({{{{{0}}}}} stands \
         for {{{0}}} itself)"
    )]
    Unknown(String),
    /// A backend that this run does not have.
    #[error("the command asks for {{backend{asked}}}, but this run has {}", backends(*.there))]
    NoSuchBackend {
        /// The number in the placeholder.
        asked: usize,
        /// How many backends there are, numbered from 1.
        there: usize,
    },
}

fn backends(count: usize) -> String {
    match count {
        0 => "no backend".to_owned(),
        1 => "one backend only".to_owned(),
        _ => format!("{count} backends only"),
    }
}

// === impl Launch ===

impl Launch {
    /// The order for the guard, which allows each process of the program so
    /// much memory in bytes.
    pub fn order(&self, memory_bytes: u64) -> Order {
        Order {
            command: self.command.clone(),
            env: environment(&self.env),
            cwd: self.cwd.clone(),
            memory_bytes,
            scratch: self.scratch.clone(),
        }
    }
}

// === impl CommandLine ===

impl fmt::Display for CommandLine {
    /// As it was typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl CommandLine {
    /// Splits a command as a shell would; nothing is expanded.
    ///
    /// # Errors
    ///
    /// The command is empty, has an open quote, or an unknown placeholder.
    pub fn parse(line: &str) -> Result<Self, CommandLineError> {
        let words =
            shell_words::split(line).map_err(|_| CommandLineError::Quotes(line.to_owned()))?;
        if words.is_empty() {
            return Err(CommandLineError::Empty);
        }
        for word in &words {
            fill(word, |name| match name {
                "listen" | "listen_port" | "backends" => Ok(String::new()),
                _ if number(name).is_some() => Ok(String::new()),
                _ => Err(CommandLineError::Unknown(name.to_owned())),
            })?;
        }
        Ok(Self { text: line.to_owned(), words })
    }

    /// The command with these addresses in place of the placeholders.
    ///
    /// # Errors
    ///
    /// A placeholder names a backend that is not there.
    pub fn fill(
        &self,
        listen: SocketAddr,
        backends: &[SocketAddr],
    ) -> Result<Vec<String>, CommandLineError> {
        let value = |name: &str| match (name, number(name)) {
            ("listen", _) => Ok(listen.to_string()),
            ("listen_port", _) => Ok(listen.port().to_string()),
            ("backends", _) => {
                Ok(backends.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            (_, Some(asked)) => asked
                .checked_sub(1)
                .and_then(|index| backends.get(index))
                .map(ToString::to_string)
                .ok_or(CommandLineError::NoSuchBackend { asked, there: backends.len() }),
            (_, None) => Err(CommandLineError::Unknown(name.to_owned())),
        };
        self.words.iter().map(|word| fill(word, value)).collect()
    }
}

/// The number of `backend7`.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix("backend").and_then(|digits| digits.parse().ok())
}

/// Replaces every placeholder of a word.
fn fill(
    word: &str,
    value: impl Fn(&str) -> Result<String, CommandLineError>,
) -> Result<String, CommandLineError> {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let literal =
            from.strip_prefix("{{").and_then(name).filter(|(_, end)| end.starts_with('}'));
        if let Some((name, end)) = literal {
            filled.push_str(&format!("{{{name}}}"));
            rest = &end[1..];
        } else if let (false, Some((name, end))) = (before.ends_with('$'), name(&from[1..])) {
            filled.push_str(&value(name)?);
            rest = end;
        } else {
            filled.push('{');
            rest = &from[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A lower-case word and its closing brace: the word, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, end) = text.split_once('}')?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits))
        .then_some((name, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(line: &str) -> Result<Vec<String>, CommandLineError> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        CommandLine::parse(line)?.fill(address(10), &[address(21), address(22)])
    }

    #[test]
    fn placeholders_become_addresses() {
        assert_eq!(
            filled("proxy --on {listen} 'a b {listen_port}' {backend2}/{backend1} {backends}"),
            Ok([
                "proxy",
                "--on",
                "127.0.0.1:10",
                "a b 10",
                "127.0.0.1:22/127.0.0.1:21",
                "127.0.0.1:21,127.0.0.1:22"
            ]
            .map(str::to_owned)
            .to_vec())
        );
    }

    #[test]
    fn braces_of_other_languages_stay() {
        let line = r#"sh -c 'f() { echo ${HOME} {{listen}} {"a":1} {} {A}; }'"#;
        let command = filled(line).unwrap();
        assert_eq!(command[2], r#"f() { echo ${HOME} {listen} {"a":1} {} {A}; }"#);
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        let unknown = CommandLine::parse("proxy {port}").unwrap_err();
        assert!(unknown.to_string().contains("placeholder {port}, "), "{unknown}");
        assert!(unknown.to_string().contains("({{port}} stands for {port} itself)"), "{unknown}");
        let missing = filled("proxy {backend3}").unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the command asks for {backend3}, but this run has 2 backends only"
        );
        assert_eq!(
            filled("proxy {backend0}"),
            Err(CommandLineError::NoSuchBackend { asked: 0, there: 2 })
        );
        assert_eq!(filled("  "), Err(CommandLineError::Empty));
        assert!(matches!(filled("proxy 'a"), Err(CommandLineError::Quotes(_))));
    }
}
