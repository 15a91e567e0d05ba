//! What a TLS client says first.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// What a client asks for in its first message.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The name of the server (SNI; RFC 6066, section 3), if the client says it.
    pub name: Option<String>,
    /// The versions of TLS that it speaks.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// The protocols that it offers to speak inside (ALPN; RFC 7301), the one that it
    /// likes best first; none if it does not say.
    pub protocols: Vec<&'static str>,
}

// === impl Hello ===

impl Hello {
    /// Asks for this name, with TLS 1.2 or 1.3, and offers nothing: so HTTP/1.1 is spoken.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::to_nobody() }
    }

    /// The same without saying a name.
    pub fn to_nobody() -> Self {
        Self { name: None, versions: vec![&TLS12, &TLS13], protocols: Vec::new() }
    }

    /// The same with this version alone.
    #[must_use]
    pub fn only(self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self }
    }

    /// The same with these protocols inside.
    #[must_use]
    pub fn offering(self, protocols: &[&'static str]) -> Self {
        Self { protocols: protocols.to_vec(), ..self }
    }
}
