//! The lab backends: stand-ins for httpbin.org, example.com and
//! jsonplaceholder.typicode.com that need no internet.
//!
//! [`LabBackends`] runs them on a thread of its own; [`Site`] says which there
//! are. What each answers is in `httpbin`, `example` and
//! `jsonplaceholder`, one axum router each. Around every router stands one
//! `frontage`: it reads the request body (bounded in size and time), names
//! the backend in the answer, and on request reports what was received and
//! sent (see [`observation`]).
//!
//! [`recording`] is another kind of backend: it does what a check tells it to,
//! and records what it received. [`ports`] finds free ports.
//!
//! The pages and data are this project's own; only paths, field names and
//! behaviour follow the originals.

pub mod observation;
pub mod ports;
pub mod recording;

mod call;
mod connection;
mod example;
mod frontage;
mod httpbin;
mod jsonplaceholder;
mod reply;
mod server;
mod site;

pub use server::{BindError, BindFailure, Bound, LabBackends};
pub use site::Site;
