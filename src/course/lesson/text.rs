//! Texts in both languages, as a lesson's TOML has them.

use serde::Deserialize;

use crate::language::Language;

/// One text in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

impl Both {
    /// The text in a language.
    pub fn in_(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }

    /// Whether it says something in each language.
    pub fn is_complete(&self) -> bool {
        !self.en.trim().is_empty() && !self.zh.trim().is_empty()
    }
}

/// A list of texts in both languages, each list in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BothLists {
    /// In English.
    pub en: Vec<String>,
    /// In Chinese.
    pub zh: Vec<String>,
}

impl BothLists {
    /// The list in a language.
    pub fn in_(&self, language: Language) -> &[String] {
        match language {
            Language::En => &self.en,
            Language::Zh => &self.zh,
        }
    }
}

/// What a learner reads of one check.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckText {
    /// By which the judge, `TODO.md` and JSON know it.
    pub id: String,
    /// One line, 60 columns at most.
    pub title: Both,
    /// What is told of the figures of a check that measures something, with these as
    /// placeholders.
    pub figures: Option<Both>,
}

/// What a learner reads of one diagnosis. Each text takes evidence by its name
/// in braces; [`fill`](super::fill()) puts it in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiagnosisText {
    /// The state: what was seen.
    pub what: Both,
    /// The reason.
    pub why: Both,
    /// What to do next.
    pub next: Both,
}
