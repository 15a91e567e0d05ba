//! What a program says of a file that can't be used: which file, and which line.

use std::ops::RangeInclusive;
use std::path::Path;

/// What a program has written since it was given the file.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// To its standard error.
    pub stderr: &'a str,
    /// To its standard output.
    pub stdout: &'a str,
    /// Where the file is.
    pub path: &'a Path,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsaid {
    /// What it is called.
    pub id: &'static str,
    /// What would have been right.
    pub expected: String,
    /// What there is instead.
    pub actual: String,
}

// === impl Words ===

impl Words<'_> {
    /// Whether they name the file, and one of these lines, if there is one to name.
    ///
    /// # Errors
    ///
    /// What they do not name.
    pub fn name(&self, lines: Option<&RangeInclusive<usize>>) -> Result<(), Unsaid> {
        let Self { stderr, stdout, path } = self;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !stderr.contains(name) {
            let id = if stdout.contains(name) { "message-on-stdout" } else { "file-not-named" };
            let expected = format!("{name} on its standard error");
            return Err(Unsaid { id, expected, actual: first_of(stderr) });
        }
        let Some(lines) = lines else { return Ok(()) };
        // Whatever digits the path may have say nothing of a line.
        let text = stderr.replace(&*path.to_string_lossy(), "FILE").replace(name, "FILE");
        let named = numbers(&text).any(|number| lines.contains(&number));
        let expected = format!("line {}", lines.start());
        match (named, line_named(&text)) {
            (true, _) => Ok(()),
            (false, Some(other)) => {
                Err(Unsaid { id: "wrong-line", expected, actual: format!("line {other}") })
            }
            (false, None) => {
                Err(Unsaid { id: "line-not-named", expected, actual: first_of(stderr) })
            }
        }
    }
}

/// The first line of a text that is not blank, or that there is nothing.
pub fn first_of(text: &str) -> String {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.map_or_else(|| "nothing".to_owned(), |line| line.chars().take(240).collect())
}

/// All whole numbers of a text.
fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

/// The line that a message speaks of, as the usual forms have it: `FILE:7`, `line 7`.
fn line_named(text: &str) -> Option<usize> {
    ["FILE:", "line "].iter().find_map(|before| {
        let mut after = text.split(before).skip(1);
        after.find_map(|after| {
            let end = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
            after[..end].parse().ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_message_is_found_in_its_usual_forms() {
        for (text, line) in [
            ("error: FILE:12:3: unknown key", Some(12)),
            ("FILE: TOML parse error at line 12, column 3\n   |\n12 | x", Some(12)),
            ("FILE is wrong", None),
            ("in FILE: a line is wrong, line x", None),
        ] {
            assert_eq!(line_named(text), line, "{text}");
        }
        assert!(numbers("FILE:12:3, 127.0.0.1").eq([12, 3, 127, 0, 0, 1]));
    }

    #[test]
    fn the_file_and_one_of_the_lines_must_be_named() {
        let named = |stderr, stdout| {
            let words = Words { stderr, stdout, path: Path::new("/tmp/run-70/lab-70.toml") };
            words.name(Some(&(70..=71))).err().map(|unsaid| unsaid.id)
        };
        assert_eq!(named("error: /tmp/run-70/lab-70.toml:71: no", ""), None);
        assert_eq!(named("error: /tmp/run-70/lab-70.toml:72: no", ""), Some("wrong-line"));
        assert_eq!(named("error: /tmp/run-70/lab-70.toml: no", ""), Some("line-not-named"));
        assert_eq!(named("error: line 70", ""), Some("file-not-named"));
        assert_eq!(named("", "lab-70.toml:70"), Some("message-on-stdout"));
    }
}
