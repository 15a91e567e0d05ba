//! The value of a field that a header rule sets: text with variables.

use std::fmt;

use http::HeaderValue;
use serde::Deserialize;

use super::Variable;
use crate::config::Invalid;
use crate::config::validate::meant;
use crate::config::written::written_as_string;

/// A field's value: text with variables, `$name` each; `$$` is a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderTemplate(Vec<Part>);

/// A piece of a [`HeaderTemplate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that is the same for every request.
    Literal(HeaderValue),
    /// What differs from request to request.
    Variable(Variable),
}

// === impl HeaderTemplate ===

written_as_string!(
    HeaderTemplate,
    "HeaderTemplate",
    "Text with variables, each written $name; $$ is a dollar sign",
    "for $client_ip"
);

impl fmt::Display for HeaderTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            // It was text, whatever alphabet it is in.
            Part::Literal(text) => {
                f.write_str(&String::from_utf8_lossy(text.as_bytes()).replace('$', "$$"))
            }
            Part::Variable(variable) => write!(f, "${}", variable.name()),
        })
    }
}

impl HeaderTemplate {
    /// Text without variables, for a default.
    pub(in crate::config) fn literal(text: &'static str) -> Self {
        Self(vec![Part::Literal(HeaderValue::from_static(text))])
    }

    /// Reads text with variables.
    ///
    /// # Errors
    ///
    /// An unknown variable, or text that no header field can hold.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let end =
                after.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let variable = Variable::named(name).ok_or_else(|| {
                let known = Variable::ALL.map(|(name, _)| name);
                let hint = match meant(name, &known) {
                    Some(other) => format!("did you mean ${other}?"),
                    None => format!(
                        "use {}, or $$ for a dollar sign",
                        known.map(|name| format!("${name}")).join(", ")
                    ),
                };
                Invalid(format!("\"${name}\" is no variable: {hint}"))
            })?;
            if !literal.is_empty() {
                parts.push(Part::literal(&literal)?);
                literal.clear();
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        literal.push_str(rest);
        if parts.is_empty() || !literal.is_empty() {
            parts.push(Part::literal(&literal)?);
        }
        Ok(Self(parts))
    }

    /// The pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl TryFrom<String> for HeaderTemplate {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

// === impl Part ===

impl Part {
    fn literal(text: &str) -> Result<Self, Invalid> {
        HeaderValue::from_str(text)
            .map(Self::Literal)
            .map_err(|_| Invalid(format!("{text:?} cannot stand in a header field")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &'static str) -> Part {
        Part::Literal(HeaderValue::from_static(text))
    }

    #[test]
    fn a_template_is_text_with_variables() {
        let parts = |text| HeaderTemplate::parse(text).unwrap().0;
        assert_eq!(parts("plain"), [literal("plain")]);
        assert_eq!(parts(""), [literal("")]);
        assert_eq!(parts("$backend"), [Part::Variable(Variable::Backend)]);
        assert_eq!(
            parts("for=$client_ip;cost=$$5"),
            [literal("for="), Part::Variable(Variable::ClientIp), literal(";cost=$5")]
        );
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        let message = HeaderTemplate::parse("$clientip").unwrap_err().to_string();
        assert_eq!(message, "\"$clientip\" is no variable: did you mean $client_ip?");
        for text in ["$", "$nobody", "a$ b", "line\nbreak", "$Backend"] {
            assert!(HeaderTemplate::parse(text).is_err(), "{text:?}");
        }
    }
}
