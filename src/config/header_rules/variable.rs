//! What header rules can say of a request.

/// What a header rule can say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$request_id`: the client's `x-request-id` if it is valid, else a new UUID.
    RequestId,
    /// `$client_ip`: the client's address: the peer's, or what a trusted proxy names.
    ClientIp,
    /// `$backend`: the name of the backend that the request goes to.
    Backend,
    /// `$host`: the `Host` that the client sent.
    Host,
    /// `$user`: who the client has shown to be, by the route's auth policy.
    User,
    /// `$forwarded_for`: the peer's address, after the addresses that a trusted
    /// proxy names.
    ForwardedFor,
    /// `$forwarded_proto`: what a trusted proxy names, else the listener's scheme.
    ForwardedProto,
    /// `$forwarded_host`: what a trusted proxy names, else the client's `Host`.
    ForwardedHost,
    /// `$client_port`: the port of the peer.
    ClientPort,
    /// `$server_port`: the port that the peer has connected to.
    ServerPort,
    /// `$scheme`: `https` if the peer talks TLS, else `http`.
    Scheme,
    /// `$method`: the request's method.
    Method,
    /// `$path`: the path as the client wrote it, without the query.
    Path,
    /// `$query`: what comes after the `?`.
    Query,
    /// `$protocol`: the version of HTTP with the client.
    Protocol,
    /// `$route`: the route's name.
    Route,
    /// `$pool`: the name of the route's pool.
    Pool,
    /// `$upstream_address`: the address that the request goes to.
    UpstreamAddress,
    /// `$attempts`: how many addresses were asked so far.
    Attempts,
    /// `$trace_id`: the id of the trace that the request belongs to.
    TraceId,
    /// `$client_cert_verified`: `true` if the client has shown a certificate of the
    /// listener's `client_ca`, else `false`.
    ClientCertVerified,
    /// `$client_cert_subject`: the subject of that certificate.
    ClientCertSubject,
    /// `$client_cert_fingerprint`: the SHA-256 of that certificate.
    ClientCertFingerprint,
    /// `$time`: now, in UTC, to the millisecond (RFC 3339).
    Time,
}

// === impl Variable ===

impl Variable {
    pub(super) const ALL: [(&'static str, Self); 24] = [
        ("request_id", Self::RequestId),
        ("client_ip", Self::ClientIp),
        ("backend", Self::Backend),
        ("host", Self::Host),
        ("user", Self::User),
        ("forwarded_for", Self::ForwardedFor),
        ("forwarded_proto", Self::ForwardedProto),
        ("forwarded_host", Self::ForwardedHost),
        ("client_port", Self::ClientPort),
        ("server_port", Self::ServerPort),
        ("scheme", Self::Scheme),
        ("method", Self::Method),
        ("path", Self::Path),
        ("query", Self::Query),
        ("protocol", Self::Protocol),
        ("route", Self::Route),
        ("pool", Self::Pool),
        ("upstream_address", Self::UpstreamAddress),
        ("attempts", Self::Attempts),
        ("trace_id", Self::TraceId),
        ("client_cert_verified", Self::ClientCertVerified),
        ("client_cert_subject", Self::ClientCertSubject),
        ("client_cert_fingerprint", Self::ClientCertFingerprint),
        ("time", Self::Time),
    ];

    /// How it is written, without the dollar sign.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, other)| *other == self).map_or("", |(name, _)| name)
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, variable)| *variable)
    }
}
