//! Mistakes that people make, each a few edits of the solution.

use serde::Deserialize;

use super::Both;

/// A mistake: the solution, edited.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// Its name, one of its kind in its stage.
    pub id: String,
    /// What is wrong with it.
    pub about: Both,
    /// The check that must fail, before any other.
    pub check: String,
    /// The diagnosis that must come of it.
    pub diagnosis: String,
    /// What makes it of the solution.
    pub edits: Vec<Edit>,
}

/// Text of the solution, and what stands there instead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// In the solution exactly once.
    pub find: String,
    /// Instead of it.
    pub replace: String,
}

/// An edit does not fit the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text to replace is there {times} times, not once: {find:?}")]
pub struct BadEdit {
    /// What was looked for.
    pub find: String,
    /// How often it is there.
    pub times: usize,
}

impl Mistake {
    /// The solution with this mistake in it.
    ///
    /// # Errors
    ///
    /// Where an edit's text is not there exactly once.
    pub fn apply(&self, solution: &str) -> Result<String, BadEdit> {
        let mut text = solution.to_owned();
        for Edit { find, replace } in &self.edits {
            let times = text.matches(find.as_str()).count();
            if times != 1 {
                return Err(BadEdit { find: find.clone(), times });
            }
            text = text.replacen(find.as_str(), replace, 1);
        }
        Ok(text)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mistake: Vec<Mistake>,
}

pub(super) fn read(text: &str) -> Result<Vec<Mistake>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.mistake)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISTAKES: &str = r#"
        [[mistake]]
        id = "fixed"
        about = { en = "a", zh = "甲" }
        check = "forwards"
        diagnosis = "path-changed"
        edits = [{ find = '''one''', replace = '''two''' }, { find = "two three", replace = "" }]
    "#;

    #[test]
    fn edits_are_made_in_turn_and_must_fit_exactly_once() {
        let mistakes = read(MISTAKES).unwrap();
        assert_eq!(mistakes[0].apply("zero one three").unwrap(), "zero ");
        for (text, times) in [("zero", 0), ("one one", 2)] {
            let error = BadEdit { find: "one".to_owned(), times };
            assert_eq!(mistakes[0].apply(text).unwrap_err(), error);
        }
    }
}
