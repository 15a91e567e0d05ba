//! `pingora-lab serve`.

mod access;
mod access_log;
mod balancing;
mod command_line;
mod ending;
mod failures;
mod headers;
mod health;
mod names;
mod nginx;
mod pools;
mod reload;
mod routing;
mod tls;
mod upstream_tls;
