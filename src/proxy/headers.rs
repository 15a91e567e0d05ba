//! Header rules, prepared for the path of a request.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::connection::Peer;
use super::context::RequestContext;
use super::fields;
use super::forwarded::Forwarded;
use super::look_alike::{are_alike, remove_where};
use super::variables;
use crate::config::{HeaderRules, HeaderTemplate, Part, Variable};

/// The fields to remove, to set and to add in one direction.
pub struct Rules {
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderTemplate)]>,
    add: Box<[(HeaderName, HeaderTemplate)]>,
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
        Self { remove: remove.into(), set: set.into(), add: add.into() }
    }

    /// Removes what is to be removed, then sets what is to be set, then adds what
    /// is to be added. A field whose value names something that is not known (the backend,
    /// in an answer that no backend gave) is not there afterwards, whoever sent one: its
    /// reader takes it for ours.
    ///
    /// # Errors
    ///
    /// There are too many fields.
    pub fn apply(&self, fields: &mut HeaderMap, facts: &Facts<'_>) -> Result<()> {
        for name in &self.remove {
            fields.remove(name);
        }
        for (name, template) in &self.set {
            match facts.fill(template) {
                Some(value) => fields::set(fields, name.clone(), value)?,
                None => drop(fields.remove(name)),
            }
        }
        for (name, template) in &self.add {
            if let Some(value) = facts.fill(template) {
                fields::add(fields, name.clone(), value)?;
            }
        }
        Ok(())
    }
}

impl Rules {
    /// Removes the fields of a client that a backend which turns `-` into `_`, as CGI
    /// does, could take for those that the rules set, add or remove.
    pub fn remove_look_alikes(&self, request: &mut RequestHeader) {
        remove_where(request, |name| {
            name.as_str().contains('_') && self.is_meant_by(name.as_str().as_bytes())
        });
    }

    fn is_meant_by(&self, name: &[u8]) -> bool {
        let meant = |own: &[u8]| own != name && are_alike(own, name);
        let set = self.set.iter().chain(&self.add).map(|(own, _)| own);
        set.chain(&self.remove).any(|own| meant(own.as_str().as_bytes()))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use pingora::http::ResponseHeader;

    use super::super::fields::Message;
    use super::*;
    use crate::config::{Direction, HeaderRules, Request, Response};
    use crate::proxy::InFlight;

    /// Fields and their values as somebody may write them down.
    fn written() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop_oneof![
            "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}",
            "\\PC{0,6}",
            Just("x-a\r\nx-b".to_owned()),
            Just("content-length".to_owned()),
        ];
        let value = prop_oneof![
            "(\\$(request_id|client_ip|backend|host|forwarded_(for|proto|host)|\\$)|[ -~]){0,12}",
            any::<String>(),
            Just("a\r\nx-injected: b".to_owned()),
            Just("$host\0".to_owned()),
        ];
        prop::collection::vec((name, value), 0..4)
    }

    /// The rules, if they may be written so.
    fn rules<D: Direction>(
        set: Vec<(String, String)>,
        add: Vec<(String, String)>,
        remove: Vec<String>,
    ) -> Option<Rules> {
        let table = |fields: Vec<(String, String)>| -> toml::Table {
            fields.into_iter().map(|(name, value)| (name, value.into())).collect()
        };
        let mut rules = toml::Table::new();
        rules.insert("set".to_owned(), table(set).into());
        rules.insert("add".to_owned(), table(add).into());
        rules.insert("remove".to_owned(), remove.into());
        let rules: HeaderRules<D> = rules.try_into().ok()?;
        Some(Rules::new([&rules]))
    }

    /// A request that has been read.
    fn session() -> Session {
        let request = std::io::Cursor::new(b"GET /p?q HTTP/1.1\r\nHost: x\r\n\r\n".to_vec());
        let mut session = Session::new_h1(Box::new(request));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(session.read_request()).unwrap());
        session
    }

    /// Every byte that a header's parser lets into a value.
    fn value() -> impl Strategy<Value = HeaderValue> {
        let byte = prop_oneof![b' '..=b'~', 0x80..=0xffu8, Just(b'\t')];
        prop::collection::vec(byte, 0..20)
            .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
    }

    /// Whether a header on the wire has as many fields as it should, and each is one.
    fn is_well_formed(wire: &[u8], fields: usize) -> bool {
        let mut room = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(wire, &mut room) {
            Ok(httparse::Status::Complete((length, headers))) => {
                length == wire.len() && headers.len() == fields
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn no_rule_makes_a_malformed_field_of_whatever_a_client_sends(
            set in written(),
            add in written(),
            remove in prop::collection::vec("[a-z-]{1,10}|\\PC{0,5}", 0..3),
            sent in prop::collection::vec(value(), 6),
            trusted in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            let claims = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-own"];
            for (name, value) in claims.into_iter().zip(&sent) {
                headers.insert(name, value.clone());
            }
            let (session, context) = (session(), RequestContext::new(&InFlight::default()));
            let peer = std::net::IpAddr::from([192, 0, 2, 1]).into();
            let facts = Facts {
                request_id: &sent[4],
                peer: Some(&peer),
                client: None,
                backend: Some(&sent[5]),
                host: Some(&sent[0]),
                trusted,
                secure: false,
                sent: &headers,
                session: &session,
                context: &context,
            };
            if let Some(rules) = rules::<Request>(set.clone(), add.clone(), remove.clone()) {
                let mut request = RequestHeader::build("GET", b"/", None).unwrap();
                request.append_header("x-own", sent[3].clone()).unwrap();
                request.change(|fields| rules.apply(fields, &facts)).unwrap();
                let mut wire = bytes::BytesMut::new();
                request.header_to_h1_wire(&mut wire);
                wire.extend_from_slice(b"\r\n");
                prop_assert!(is_well_formed(&wire, request.headers.len()), "{}", wire.escape_ascii());
                prop_assert_eq!(request.headers.get("x-injected"), None);
            }
            if let Some(rules) = rules::<Response>(set, add, remove) {
                let mut answer = ResponseHeader::build(200, None).unwrap();
                answer.append_header("content-length", 5).unwrap();
                answer.change(|fields| rules.apply(fields, &facts)).unwrap();
                let mut wire = bytes::BytesMut::new();
                answer.header_to_h1_wire(&mut wire);
                wire.extend_from_slice(b"\r\n");
                prop_assert!(is_well_formed(&wire, answer.headers.len()), "{}", wire.escape_ascii());
                // What frames the message is as it was.
                prop_assert_eq!(answer.headers.get_all("content-length").iter().count(), 1);
                prop_assert_eq!(answer.headers.get("transfer-encoding"), None);
            }
        }
    }
}
