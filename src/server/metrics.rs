//! What is shown of the process, beside what is counted of requests.

use crate::proxy::metrics::family::families;

use super::admin::{Desk, Running};

families! { ALL:
    CONNECTIONS_OPEN = "pingora_lab_client_connections_open" Gauge []
        "Connections of clients that are open.";
    CONNECTIONS_ACCEPTED = "pingora_lab_client_connections_accepted_total" Counter []
        "Connections of clients that were let in.";
    CONNECTIONS_REFUSED = "pingora_lab_client_connections_refused_total" Counter ["reason"]
        "Connections of clients that were turned away: too many in all, or from one address.";
    HANDSHAKES_FAILED = "pingora_lab_tls_handshakes_failed_total" Counter ["reason"]
        "TLS handshakes with clients that failed, or took too long.";
    LINES_LOST = "pingora_lab_access_log_lines_lost_total" Counter []
        "Lines of the access log that came faster than they could be written, or could not be.";
    RELOADS = "pingora_lab_reloads_total" Counter ["result"]
        "How often the configuration was read again.";
    RELOAD_GOOD = "pingora_lab_last_reload_successful" Gauge []
        "0 where the last reload failed and the configuration before it is still in use, else 1.";
    LOADED_AT = "pingora_lab_configuration_loaded_timestamp_seconds" Gauge []
        "When the configuration in use was read, in seconds since 1970.";
    CONFIGURATION = "pingora_lab_configuration_info" Gauge ["sha256"]
        "1, with the SHA-256 of what --print-config prints of the configuration in use.";
    READY = "pingora_lab_ready" Gauge []
        "1 where /readyz would answer 200, else 0.";
    BUILD = "pingora_lab_build_info" Gauge ["version"]
        "1, with the version of the program.";
}

/// One scrape; `None` where nothing is counted.
pub fn page(desk: &Desk, running: &Running) -> Option<prometheus::Result<String>> {
    let operator = &running.operator;
    let mut page = desk.metrics.page(&operator.current().load(), &desk.in_flight)?;
    let connections = &desk.connections;
    page.add(&CONNECTIONS_OPEN, &[], connections.open().into());
    page.count(&CONNECTIONS_ACCEPTED, &[], connections.accepted());
    for (full, count) in connections.refused_by_reason() {
        page.count(&CONNECTIONS_REFUSED, &[full], count);
    }
    for (reason, count) in connections.handshakes_failed() {
        page.count(&HANDSHAKES_FAILED, &[reason], count);
    }
    let lost = running.access_log.as_ref().map_or(0, |log| log.lost());
    page.count(&LINES_LOST, &[], lost);
    let reloads = operator.reloads();
    page.count(&RELOADS, &["success"], reloads.succeeded);
    page.count(&RELOADS, &["failure"], reloads.failed);
    page.add(&RELOAD_GOOD, &[], reloads.last_succeeded.into());
    let loaded = operator.loaded();
    page.add(&LOADED_AT, &[], loaded.at.as_millisecond() as f64 / 1000.0);
    page.add(&CONFIGURATION, &[&loaded.sha256], 1.0);
    page.add(&READY, &[], desk.ready().is_ok().into());
    page.add(&BUILD, &[env!("CARGO_PKG_VERSION")], 1.0);
    Some(page.to_text())
}
