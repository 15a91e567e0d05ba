//! What happens to one request.
//!
//! [`service::Proxy`] is `impl ProxyHttp`, a phase a method, each a short call
//! into a neighbour:
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`context`] | what the phases of one request tell each other |
//! | [`snapshot`] | what the configuration says, prepared; swapped whole on reload |
//! | [`connection`] | how long a client is waited for, and what of it |
//! | `decision` | the first look at a request, and what it comes to |
//! | [`census`] | which of the fields that the proxy goes by a request has |
//! | [`framing`] | whether a request may pass the door |
//! | [`look_alike`] | which names of fields backends may take for others |
//! | [`host`] | what the client's `Host` is, and whether it is one |
//! | [`cookie`] | which cookies came |
//! | [`list`] | what the members of a field are that is a list |
//! | [`path`] | the one reading of a path that routes decide on |
//! | [`routes`] | which route a request takes |
//! | [`choice`] | what a request is for: its route, backends and path |
//! | [`route`] | what is done with the requests of a route |
//! | [`policies`] | what a route asks of a request first |
//! | [`access`] | which clients may come, by their addresses |
//! | [`source`] | which addresses are one client's |
//! | [`cors`] | which pages of other origins may read answers |
//! | [`rate_limit`] | how many requests of a client go through |
//! | [`auth`] | who may |
//! | [`pem`] | what certificates and keys are in a file |
//! | [`pool`] | which backend a request goes to, out of those that are healthy |
//! | [`wait`] | how long a backend may take for the header of its answer |
//! | [`retry`] | whether a failed request may be sent again |
//! | `fields` | the fields of a message as one map, without the case of names |
//! | [`headers`] | which fields are set, added and removed, in both directions |
//! | [`forwarded`] | whose word about the client is believed |
//! | [`variables`] | what else header rules can say of a request |
//! | [`trace`] | the trace that a request belongs to |
//! | [`request_id`] | the id that the logs of client, proxy and backend share |
//! | [`answer`] | the proxy's own answers and their reasons |
//! | `own_answers` | when they are given, and how they are sent |
//! | `every_answer` | what is said in every answer, whoever gives it |
//! | [`compress`] | which answers are compressed, and what they become |
//! | [`http10`] | how the answers to clients of HTTP/1.0 end |
//! | [`backend_answer`] | what a backend's answer must be before it is passed on |
//! | [`outcome`] | how a request ended |
//! | [`metrics`] | what is counted of requests |
//! | [`witness`] | who keeps what is left of requests |
//! | [`access_log`] | the one line that is left of a request |
//! | `faults` | where a request of a test panics |
//!
//! Nothing here parses, formats, allocates or locks on a request's path what
//! could be prepared when the configuration is read.

pub mod access;
pub mod access_log;
pub mod answer;
pub mod auth;
pub mod backend_answer;
pub mod census;
pub mod choice;
pub mod compress;
pub mod connection;
pub mod context;
pub mod cookie;
pub mod cors;
mod decision;
mod every_answer;
#[cfg(test)]
pub mod faults;
mod fields;
pub mod forwarded;
pub mod framing;
pub mod headers;
pub mod host;
pub mod http10;
pub mod list;
pub mod look_alike;
pub mod metrics;
pub mod outcome;
mod own_answers;
pub mod path;
pub mod pem;
pub mod policies;
pub mod pool;
pub mod rate_limit;
pub mod request_id;
pub mod retry;
pub mod route;
pub mod routes;
pub mod service;
pub mod snapshot;
pub mod source;
pub mod trace;
pub mod variables;
pub mod wait;
pub mod witness;

pub use context::InFlight;
pub use metrics::Metrics;
pub use pool::{BackendState, Pool, Unresolved};
pub use service::Proxy;
pub use snapshot::{Current, Snapshot};
