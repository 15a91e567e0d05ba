//! Header rules: which fields are set and removed on the way.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `direction` | what holds for requests, what for answers |
//! | `template`, `variable` | what the value of a field is made of |
//! | `table` | how rules are written in a file, and written back |

mod direction;
mod table;
mod template;
mod variable;

use std::marker::PhantomData;

use http::HeaderName;

pub use direction::{Direction, Request, Response};
pub use template::{HeaderTemplate, Part};
pub use variable::Variable;

/// Which fields are removed, which are then set, replacing any of the name, and
/// which are added to what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderRules<D> {
    /// Fields to remove, whatever their value.
    pub remove: Vec<HeaderName>,
    /// Fields to set, in order.
    pub set: Vec<(HeaderName, HeaderTemplate)>,
    /// Fields to add, in order, whatever is there of the name.
    pub add: Vec<(HeaderName, HeaderTemplate)>,
    direction: PhantomData<D>,
}

/// Rules that come on top of others, so that there are none by default.
#[derive(Clone, Debug, PartialEq)]
pub struct MoreRules<D>(pub HeaderRules<D>);

// === impl HeaderRules ===

impl<D: Direction> HeaderRules<D> {
    fn new(remove: &[&'static str], set: &[(&'static str, &str)]) -> Self {
        Self {
            remove: remove.iter().map(|name| HeaderName::from_static(name)).collect(),
            set: set
                .iter()
                .map(|(name, value)| {
                    let template = HeaderTemplate::parse(value).expect("a default is valid");
                    (HeaderName::from_static(name), template)
                })
                .collect(),
            add: Vec::new(),
            direction: PhantomData,
        }
    }

    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

impl<D: Direction> Default for HeaderRules<D> {
    fn default() -> Self {
        D::defaults()
    }
}

// === impl MoreRules ===

impl<D> Default for MoreRules<D> {
    fn default() -> Self {
        Self(HeaderRules {
            remove: Vec::new(),
            set: Vec::new(),
            add: Vec::new(),
            direction: PhantomData,
        })
    }
}
