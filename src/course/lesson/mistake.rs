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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
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

/// Mistakes that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum BadMistakes {
    /// The text is not what it should be.
    #[error(transparent)]
    Text(#[from] toml::de::Error),
    /// An earlier stage does not have one that is named.
    #[error(transparent)]
    Earlier(#[from] NoMistake),
}

/// A stage does not have a mistake that is named.
#[derive(Debug, thiserror::Error)]
#[error("{stage} has no mistake that is called {id}")]
pub struct NoMistake {
    /// The stage.
    pub stage: String,
    /// The name.
    pub id: String,
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

/// What is in a `mistakes.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mistakes {
    /// The stage's own.
    #[serde(rename = "mistake", default)]
    pub own: Vec<Mistake>,
    /// Those of earlier stages.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
}

/// Mistakes of an earlier stage, put into this stage's solution.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Earlier {
    /// The stage's id.
    pub stage: String,
    /// The mistakes' names there.
    pub mistakes: Vec<String>,
}

pub(super) fn read(text: &str) -> Result<Mistakes, toml::de::Error> {
    toml::from_str(text)
}

impl Earlier {
    /// The mistakes, of all that the stage has. A check that bears the stage's id must fail.
    pub fn of(&self, all: &[Mistake]) -> Result<Vec<Mistake>, NoMistake> {
        let find = |id: &String| {
            let there = all.iter().find(|mistake| mistake.id == *id);
            let Some(there) = there else {
                return Err(NoMistake { stage: self.stage.clone(), id: id.clone() });
            };
            let number = self.stage.split('-').next().unwrap_or_default();
            let (id, check) = (format!("{number}-{id}"), self.stage.clone());
            Ok(Mistake { id, check, ..there.clone() })
        };
        self.mistakes.iter().map(find).collect()
    }
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
        let mistakes = read(MISTAKES).unwrap().own;
        assert_eq!(mistakes[0].apply("zero one three").unwrap(), "zero ");
        for (text, times) in [("zero", 0), ("one one", 2)] {
            let error = BadEdit { find: "one".to_owned(), times };
            assert_eq!(mistakes[0].apply(text).unwrap_err(), error);
        }
    }

    #[test]
    fn an_earlier_mistake_is_the_same_edit_found_by_the_check_of_its_stage() {
        let all = read(MISTAKES).unwrap().own;
        let earlier = "[[earlier]]\nstage = '01-first-proxy'\nmistakes = ['fixed']";
        let earlier = read(earlier).unwrap().earlier;
        let [mistake] = &earlier[0].of(&all).unwrap()[..] else { panic!("one was named") };
        assert_eq!((&*mistake.id, &*mistake.check), ("01-fixed", "01-first-proxy"));
        assert_eq!((&*mistake.diagnosis, &mistake.edits), ("path-changed", &all[0].edits));
        let error = earlier[0].of(&[]).unwrap_err().to_string();
        assert_eq!(error, "01-first-proxy has no mistake that is called fixed");
    }
}
