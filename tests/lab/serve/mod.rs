//! `pingora-lab serve`.

mod aborts;
mod access;
mod access_log;
mod admin;
mod balancing;
mod command_line;
mod ending;
mod failures;
mod framing;
mod headers;
mod health;
mod http2;
mod limits;
mod metrics;
mod names;
mod nginx;
mod pools;
mod rate_limit;
mod reload;
mod routing;
mod semantics;
mod tls;
mod upstream_tls;
