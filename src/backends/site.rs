//! Which sites the lab backends stand in for.

use std::fmt;

use axum::Router;

use super::{example, httpbin, jsonplaceholder};

/// A site that a lab backend stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// `httpbin.org`: echoes requests and makes answers to order.
    Httpbin,
    /// `example.com`: one small HTML page.
    Example,
    /// `jsonplaceholder.typicode.com`: a REST interface over made-up data.
    JsonPlaceholder,
}

impl Site {
    /// All sites, in the order in which they are listed and numbered.
    pub const ALL: [Self; 3] = [Self::Httpbin, Self::Example, Self::JsonPlaceholder];

    /// The host name of the original; also the value of `x-lab-backend`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Httpbin => "httpbin.org",
            Self::Example => "example.com",
            Self::JsonPlaceholder => "jsonplaceholder.typicode.com",
        }
    }

    /// The value of the `server` header: what it really is, not the original.
    pub(super) const fn server(self) -> &'static str {
        match self {
            Self::Httpbin => "pingora-lab-httpbin",
            Self::Example => "pingora-lab-example",
            Self::JsonPlaceholder => "pingora-lab-jsonplaceholder",
        }
    }

    pub(super) fn router(self) -> Router {
        match self {
            Self::Httpbin => httpbin::router(),
            Self::Example => example::router(),
            Self::JsonPlaceholder => jsonplaceholder::router(),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
