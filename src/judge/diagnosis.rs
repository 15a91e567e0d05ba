//! Why a check is not passed: a [`Diagnosis`] with its [`Evidence`].
//!
//! The judge says *what* it found, as an id and facts; the lessons hold the
//! sentences for each id, in both languages, with the facts as placeholders.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Why a check is not passed.
#[derive(Clone, Debug)]
pub enum Finding {
    /// The program does not do what the stage asks.
    Fail(Box<Diagnosis>),
    /// Nothing was shown about the program: the machine was too slow, a port was
    /// stolen, or the judge itself failed.
    Inconclusive(Box<Diagnosis>),
}

/// What was found, in facts.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The id by which the lessons name it.
    pub id: &'static str,
    /// The facts.
    pub evidence: Evidence,
    /// Commands that show the same by hand, one a line.
    pub repeat: Vec<String>,
    /// Whether the finding rests on how long something took, so that it says
    /// nothing if the machine stalled meanwhile.
    pub timed: bool,
}

/// Named facts. Those that are text or numbers fill the placeholders of the
/// lesson's sentences; `expected` and `actual` are there wherever they make sense.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Evidence(Map<String, Value>);

// === impl Evidence ===

impl Evidence {
    /// The fact of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All facts, in the order in which they were found.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V: Into<Value>> FromIterator<(&'static str, V)> for Evidence {
    fn from_iter<I: IntoIterator<Item = (&'static str, V)>>(facts: I) -> Self {
        Self(facts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

// === impl Diagnosis ===

impl Diagnosis {
    /// A diagnosis without facts yet.
    pub fn new(id: &'static str) -> Self {
        Self { id, evidence: Evidence::default(), repeat: Vec::new(), timed: false }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.evidence.0.insert(name.to_owned(), value.into());
        self
    }

    /// The same facts under another id, where the check knows better what they
    /// mean.
    #[must_use]
    pub fn renamed(self, id: &'static str) -> Self {
        Self { id, ..self }
    }

    /// What a right program would have done, and what this one did.
    #[must_use]
    pub fn compared(self, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        self.with("expected", expected.to_string()).with("actual", actual.to_string())
    }

    /// The commands that show it by hand.
    #[must_use]
    pub fn repeat(mut self, commands: Vec<String>) -> Self {
        self.repeat = commands;
        self
    }

    /// Marks the finding as one that rests on time.
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// The program does not do what is asked.
    pub fn fail(self) -> Finding {
        Finding::Fail(Box::new(self))
    }

    /// Nothing was shown about the program.
    pub fn inconclusive(self) -> Finding {
        Finding::Inconclusive(Box::new(self))
    }
}

// === impl Finding ===

impl Finding {
    /// What was found.
    pub fn diagnosis(&self) -> &Diagnosis {
        match self {
            Self::Fail(diagnosis) | Self::Inconclusive(diagnosis) => diagnosis,
        }
    }

    /// The same finding with its diagnosis changed.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Diagnosis) -> Diagnosis) -> Self {
        match self {
            Self::Fail(diagnosis) => Self::Fail(Box::new(change(*diagnosis))),
            Self::Inconclusive(diagnosis) => Self::Inconclusive(Box::new(change(*diagnosis))),
        }
    }
}
