//! What happens to one request.
//!
//! [`service::Proxy`] is `impl ProxyHttp`, a phase a method, each a short call
//! into a neighbour:
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`pool`] | which backend a request goes to, out of those that are healthy |
//! | [`endpoint`] | how one address of a backend is connected to |
//! | [`discovery`] | which addresses a backend's name has now |
//! | [`health`] | which addresses take connections |
//! | [`retry`] | whether a failed request may be sent again |
//! | [`headers`] | which fields are set and removed, in both directions |
//! | [`host`] | what the client's `Host` is, and whether it is one |
//! | [`forwarded`] | whose word about the client is believed |
//! | [`request_id`] | the id that the logs of client, proxy and backend share |
//! | [`answer`] | the proxy's own answers and their reasons |
//! | [`access_log`] | the one line that is left of a request |
//!
//! Nothing here parses, formats, allocates or locks on a request's path what
//! could be prepared when the configuration is read.

pub mod access_log;
pub mod answer;
pub mod context;
pub mod discovery;
pub mod endpoint;
pub mod forwarded;
pub mod headers;
pub mod health;
pub mod host;
pub mod pool;
pub mod request_id;
pub mod retry;
pub mod service;

pub use context::InFlight;
pub use pool::{BackendState, Pool, Unresolved};
pub use service::Proxy;
