//! The stages, each with its checks.

mod access_log;
mod authentication;
mod circuit_breaker;
mod configuration;
mod consistent_hashing;
mod failures;
mod first_proxy;
mod graceful_upgrade;
mod graduation;
mod health_checks;
mod hot_reload;
mod looks;
mod metrics;
mod named_proxy;
mod own;
mod path_routing;
mod rate_limiting;
mod refused;
mod request_headers;
mod response_headers;
mod round_robin;
mod stale;
mod starts;
mod timeouts;
mod tls_termination;
mod together;
mod turns;
mod weighted;

use super::stage::Stage;

/// All stages that can be judged, in the order of the course.
pub const STAGES: &[&Stage] = &[
    &first_proxy::STAGE,
    &round_robin::STAGE,
    &health_checks::STAGE,
    &request_headers::STAGE,
    &response_headers::STAGE,
    &failures::STAGE,
    &path_routing::STAGE,
    &access_log::STAGE,
    &configuration::STAGE,
    &rate_limiting::STAGE,
    &weighted::STAGE,
    &circuit_breaker::STAGE,
    &consistent_hashing::STAGE,
    &timeouts::STAGE,
    &tls_termination::STAGE,
    &authentication::STAGE,
    &metrics::STAGE,
    &hot_reload::STAGE,
    &graceful_upgrade::STAGE,
    &graduation::STAGE,
];

/// The stage of this id.
pub fn stage(id: &str) -> Option<&'static Stage> {
    STAGES.iter().copied().find(|stage| stage.id == id)
}
