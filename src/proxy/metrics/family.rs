//! The names, kinds, labels and meanings of series.

/// Series of one name.
#[derive(Debug)]
pub struct Family {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// What its numbers do.
    pub kind: Kind,
    /// What the series differ in.
    pub labels: &'static [&'static str],
    /// What its numbers are, in a sentence.
    pub help: &'static str,
}

/// What numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are many, and are counted by size.
    Histogram,
}

/// Declares series, and a list of all of them.
macro_rules! families {
    ($all:ident: $($id:ident = $name:literal $kind:ident [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: $crate::proxy::metrics::family::Family =
                $crate::proxy::metrics::family::Family {
                    name: $name,
                    kind: $crate::proxy::metrics::family::Kind::$kind,
                    labels: &[$($label),*],
                    help: $help,
                };
        )*
        /// All of them.
        pub static $all: &[&$crate::proxy::metrics::family::Family] = &[$(&$id),*];
    };
}

pub(crate) use families;

families! { ALL:
    REQUESTS = "pingora_lab_requests_total" Counter ["route", "backend", "method", "status"]
        "Requests that have ended, each once however often it was tried, by the backend that it went to last.";
    DURATION = "pingora_lab_request_duration_seconds" Histogram ["route"]
        "From the end of a request's header to the end of its answer.";
    FAILURES = "pingora_lab_request_failures_total" Counter ["route", "reason"]
        "Requests that the load balancer answered with an error of its own, or whose answer broke off.";
    UNREAD = "pingora_lab_unread_requests_total" Counter ["reason"]
        "Requests that were refused before they could be read, and so are counted nowhere else.";
    IN_FLIGHT = "pingora_lab_requests_in_flight" Gauge []
        "Requests that have begun and not ended.";
    FIRST_BYTE = "pingora_lab_upstream_first_byte_seconds" Histogram ["pool", "backend"]
        "From the choice of a backend to the header of its answer.";
    CONNECTIONS = "pingora_lab_upstream_connections_total" Counter ["pool", "backend", "kind"]
        "Connections that requests were sent over: new, or kept from an earlier request and reused.";
    UPSTREAM_FAILURES = "pingora_lab_upstream_failures_total" Counter ["pool", "backend", "reason"]
        "Tries that failed at a backend, whether or not another followed.";
    RETRIES = "pingora_lab_retries_total" Counter ["pool", "backend", "cause"]
        "Requests that were sent again after a try at this backend.";
    EJECTIONS = "pingora_lab_ejections_total" Counter ["pool", "backend"]
        "How often circuit breakers of a backend's addresses have opened.";
    HEALTHY = "pingora_lab_backend_healthy" Gauge ["pool", "backend", "address"]
        "1 where an address has passed its last health checks, else 0.";
    BREAKER = "pingora_lab_backend_breaker_state" Gauge ["pool", "backend", "address", "state"]
        "1 for the state that an address's circuit breaker is in, 0 for the others.";
    BACKEND_IN_FLIGHT = "pingora_lab_backend_requests_in_flight" Gauge ["pool", "backend", "address"]
        "Requests that an address has now.";
    DRAINED = "pingora_lab_backend_drained" Gauge ["pool", "backend"]
        "1 where a backend was told to get no new requests, else 0.";
    UNRESOLVED = "pingora_lab_backend_unresolved" Gauge ["pool", "backend"]
        "1 where a backend's name did not resolve the last time and its last addresses are kept, else 0.";
    WEIGHT = "pingora_lab_backend_weight" Gauge ["pool", "backend"]
        "A backend's share of the requests, relative to the others', as configured.";
    QUEUE = "pingora_lab_pool_queue_length" Gauge ["pool"]
        "Requests that wait for a backend to have room.";
    ACCESS = "pingora_lab_access_decisions_total" Counter ["policy", "decision"]
        "Requests that an access list has let through or refused, by their clients' addresses.";
    RATE_LIMIT = "pingora_lab_rate_limit_decisions_total" Counter ["policy", "decision"]
        "Requests that a rate limit has let through or refused.";
    AUTH = "pingora_lab_auth_results_total" Counter ["policy", "result"]
        "Requests that were asked for credentials, by how that went.";
}
