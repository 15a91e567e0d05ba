//! Evidence put into a text.
//!
//! A placeholder is a name in braces: `{expected}`. A name is of small letters,
//! digits and `_`, and begins with a letter; other braces are themselves, so
//! that a text may show JSON or Rust.

use serde_json::{Map, Value};

/// A text asks for evidence that the finding does not have: a mistake of the
/// text's author or of the check's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no evidence is called {}", .names.join(", "))]
pub struct MissingEvidence {
    /// The names that were asked for.
    pub names: Vec<String>,
}

/// The names of the placeholders in a text, as they come.
pub fn placeholders(template: &str) -> Vec<&str> {
    let names = Pieces(template).filter_map(|piece| match piece {
        Piece::Evidence(name) => Some(name),
        Piece::Text(_) => None,
    });
    names.collect()
}

/// The text with evidence in place of its placeholders.
///
/// What is missing becomes `…`: a learner never reads a bare placeholder. Tests
/// use [`fill_all`], to which it is an error.
pub fn fill(template: &str, evidence: &Map<String, Value>) -> String {
    put(template, |name| evidence.get(name).map_or_else(|| "…".to_owned(), shown))
}

/// The text with evidence in place of its placeholders.
///
/// # Errors
///
/// Where evidence is missing.
pub fn fill_all(template: &str, evidence: &Map<String, Value>) -> Result<String, MissingEvidence> {
    let missing = placeholders(template).into_iter().filter(|name| !evidence.contains_key(*name));
    let names: Vec<_> = missing.map(str::to_owned).collect();
    if names.is_empty() { Ok(fill(template, evidence)) } else { Err(MissingEvidence { names }) }
}

fn put(template: &str, evidence: impl Fn(&str) -> String) -> String {
    let pieces = Pieces(template).map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Evidence(name) => evidence(name),
    });
    pieces.collect()
}

/// Evidence as a sentence shows it: a text without quotation marks, a list with
/// commas.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Evidence(&'a str),
}

/// The pieces of a text; what is left of it.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.0.is_empty() {
            return None;
        }
        if let Some((name, rest)) = leading_placeholder(self.0) {
            self.0 = rest;
            return Some(Piece::Evidence(name));
        }
        // Up to the next brace; one at the very start opens nothing.
        let next = self.0.char_indices().skip(1).find(|(_, c)| *c == '{');
        let (text, rest) = self.0.split_at(next.map_or(self.0.len(), |(at, _)| at));
        self.0 = rest;
        Some(Piece::Text(text))
    }
}

fn leading_placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.strip_prefix('{')?.split_once('}')?;
    let named = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    named.then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn evidence() -> Map<String, Value> {
        let value = json!({"expected": "/a?b", "n": 3, "ports": [1, 2], "x_1": null});
        value.as_object().unwrap().clone()
    }

    #[test]
    fn evidence_takes_the_place_of_its_name() {
        for (template, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{expected}", "/a?b"),
            ("上游收到 {expected}，共 {n} 次。", "上游收到 /a?b，共 3 次。"),
            ("{n}{n}{ports}{x_1}", "331, 2–"),
            ("{{n}}", "{3}"),
            ("{ \"n\": {n} }", "{ \"n\": 3 }"),
            ("{N} {} {n {n }", "{N} {} {n {n }"),
            ("｛n｝{", "｛n｝{"),
        ] {
            assert_eq!(fill_all(template, &evidence()), Ok(filled.to_owned()), "{template}");
        }
    }

    #[test]
    fn evidence_that_is_itself_a_placeholder_stays_as_it_is() {
        let evidence = json!({"a": "{b}", "b": "no"}).as_object().unwrap().clone();
        assert_eq!(fill("{a}", &evidence), "{b}");
    }

    #[test]
    fn missing_evidence_is_an_error_and_never_shown_as_a_placeholder() {
        let names = vec!["got".to_owned(), "why".to_owned()];
        let error = fill_all("{got} {n} {why}", &evidence()).unwrap_err();
        assert_eq!(error, MissingEvidence { names });
        assert_eq!(fill("{got} {n}", &evidence()), "… 3");
    }
}
