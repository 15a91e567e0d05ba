//! Header rules, prepared for the path of a request.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::connection::Peer;
use super::context::RequestContext;
use super::forwarded::Forwarded;
use super::variables;
use crate::config::{HeaderRules, HeaderTemplate, Part, Variable};

/// The fields to remove, to set and to add in one direction.
pub struct Rules {
    remove: Box<[HeaderName]>,
    /// A name is held as the bytes that Pingora writes; it copies a reference.
    set: Box<[(Bytes, HeaderTemplate)]>,
    add: Box<[(Bytes, HeaderTemplate)]>,
}

/// What the rules can say about a request.
pub struct Facts<'a> {
    /// The request's id.
    pub request_id: &'a HeaderValue,
    /// The peer; `None` where it has no address (a Unix socket).
    pub peer: Option<&'a Peer>,
    /// The client's address: the peer's, or what a trusted proxy says.
    pub client: Option<IpAddr>,
    /// The backend's name, once there is a backend.
    pub backend: Option<&'a HeaderValue>,
    /// The client's `Host`, if it is not the one that the peer sent.
    pub host: Option<&'a HeaderValue>,
    /// Whether the peer's word about the client is believed.
    pub trusted: bool,
    /// Whether the peer talks TLS.
    pub secure: bool,
    /// The fields that the peer sent.
    pub sent: &'a HeaderMap,
    /// Where the rest is found, if it is asked for.
    pub session: &'a Session,
    /// The same.
    pub context: &'a RequestContext,
}

/// A message whose fields rules can change.
pub trait Fields {
    /// Removes all fields of the name.
    fn remove(&mut self, name: &HeaderName);
    /// Sets a field, replacing all of the name.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    fn set(&mut self, name: Bytes, value: HeaderValue) -> Result<()>;
    /// Adds a field to those of the name.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    fn add(&mut self, name: Bytes, value: HeaderValue) -> Result<()>;
}

impl Fields for RequestHeader {
    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }

    fn set(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(|_| ())
    }
}

impl Fields for ResponseHeader {
    fn remove(&mut self, name: &HeaderName) {
        self.remove_header(name);
    }

    fn set(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
        self.insert_header(name, value)
    }

    fn add(&mut self, name: Bytes, value: HeaderValue) -> Result<()> {
        self.append_header(name, value).map(|_| ())
    }
}

// === impl Rules ===

impl Rules {
    /// Prepares the configured rules. Later ones come on top of earlier ones: what
    /// they remove or set, earlier ones need not set first.
    pub fn new<'a, D: 'a>(layers: impl IntoIterator<Item = &'a HeaderRules<D>>) -> Self {
        type Fields = Vec<(HeaderName, HeaderTemplate)>;
        let (mut remove, mut set, mut add) =
            (Vec::<HeaderName>::new(), Fields::new(), Fields::new());
        for layer in layers {
            let replaced = layer.remove.iter().chain(layer.set.iter().map(|(name, _)| name));
            for name in replaced {
                set.retain(|(other, _)| other != name);
                add.retain(|(other, _)| other != name);
            }
            for name in &layer.remove {
                if !remove.contains(name) {
                    remove.push(name.clone());
                }
            }
            set.extend(layer.set.iter().cloned());
            add.extend(layer.add.iter().cloned());
        }
        let prepared = |fields: Fields| -> Box<[_]> {
            let name = |name: HeaderName| Bytes::copy_from_slice(name.as_str().as_bytes());
            fields.into_iter().map(|(field, template)| (name(field), template)).collect()
        };
        Self { remove: remove.into(), set: prepared(set), add: prepared(add) }
    }

    /// Removes what is to be removed, then sets what is to be set, then adds what
    /// is to be added. A field whose value names something that is not known (the backend, in an answer that
    /// no backend gave) is not set.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    pub fn apply(&self, message: &mut impl Fields, facts: &Facts<'_>) -> Result<()> {
        for name in &self.remove {
            message.remove(name);
        }
        for (name, template) in &self.set {
            if let Some(value) = facts.fill(template) {
                message.set(name.clone(), value)?;
            }
        }
        for (name, template) in &self.add {
            if let Some(value) = facts.fill(template) {
                message.add(name.clone(), value)?;
            }
        }
        Ok(())
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    /// What is believed of the path that the request came.
    fn forwarded(&self) -> Forwarded<'a> {
        Forwarded::of(self.sent, self.trusted, self.secure)
    }

    fn host(&self) -> Option<&'a HeaderValue> {
        self.host.or_else(|| self.sent.get(HOST))
    }

    fn fill(&self, template: &HeaderTemplate) -> Option<HeaderValue> {
        match template.parts() {
            [Part::Literal(value)] => Some(value.clone()),
            [Part::Variable(variable)] => self.value(*variable),
            parts => {
                let mut text = Vec::with_capacity(64);
                for part in parts {
                    match part {
                        Part::Literal(value) => text.extend_from_slice(value.as_bytes()),
                        Part::Variable(variable) => {
                            text.extend_from_slice(self.value(*variable)?.as_bytes());
                        }
                    }
                }
                HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
            }
        }
    }

    fn value(&self, variable: Variable) -> Option<HeaderValue> {
        match variable {
            Variable::RequestId => Some(self.request_id.clone()),
            Variable::ClientIp => match (self.client, self.peer) {
                (Some(client), Some(peer)) if client == peer.ip => Some(peer.value.clone()),
                (client, _) => client.map(ip_value),
            },
            Variable::Backend => self.backend.cloned(),
            Variable::Host => self.host().cloned(),
            Variable::ForwardedFor => self.forwarded().for_value(self.peer),
            Variable::ForwardedProto => Some(self.forwarded().proto()),
            Variable::ForwardedHost => self.forwarded().host(self.host()),
            other => variables::value(other, self.session, self.context),
        }
    }
}

/// An address as a field's value.
pub(super) fn ip_value(ip: IpAddr) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(ip.to_string())).expect("an IP address is ASCII")
}
