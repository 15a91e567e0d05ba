//! Header rules: which fields are set and removed on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;
use super::validate::meant;
use super::written::written_as_string;

/// Which way a message goes; its rules' defaults and limits depend on it.
pub trait Direction {
    /// The rules that hold if nothing is written.
    fn defaults() -> HeaderRules<Self>
    where
        Self: Sized;

    /// Why no rule of this direction may touch a field.
    fn refusal(name: &HeaderName) -> Option<&'static str>;
}

/// What is sent to the backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {}

/// What is sent to the client, the proxy's own answers included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Response {}

/// Which fields are removed, which are then set, replacing any of the name, and
/// which are added to what is there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderRules<D> {
    /// Fields to remove, whatever their value.
    pub remove: Vec<HeaderName>,
    /// Fields to set, in order.
    pub set: Vec<(HeaderName, HeaderTemplate)>,
    /// Fields to add, in order, whatever is there of the name.
    pub add: Vec<(HeaderName, HeaderTemplate)>,
    direction: PhantomData<D>,
}

/// Rules that come on top of others, so that there are none by default.
#[derive(Clone, Debug, PartialEq)]
pub struct MoreRules<D>(pub HeaderRules<D>);

/// A field's value: text with variables, `$name` each; `$$` is a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderTemplate(Vec<Part>);

/// A piece of a [`HeaderTemplate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that is the same for every request.
    Literal(HeaderValue),
    /// What differs from request to request.
    Variable(Variable),
}

/// What a header rule can say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `$request_id`: the client's `x-request-id` if it is valid, else a new UUID.
    RequestId,
    /// `$client_ip`: the address of the peer that sent the request.
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

/// The fields that frame a message, which no rule may touch (RFC 9112, section 6).
const FRAMING: [HeaderName; 5] = [
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
    http::header::CONNECTION,
    http::header::UPGRADE,
    http::header::TE,
];

// === impl HeaderRules ===

/// As in the file, before it is laid over the defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "D: Direction")]
struct Written<D> {
    #[serde(default = "yes")]
    defaults: bool,
    #[serde(default = "nothing")]
    remove: Vec<Name<D>>,
    #[serde(default)]
    set: Fields<D>,
    #[serde(default)]
    add: Fields<D>,
}

/// As in the file, where there are no defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound = "D: Direction")]
struct WrittenMore<D> {
    #[serde(default = "nothing")]
    remove: Vec<Name<D>>,
    #[serde(default)]
    set: Fields<D>,
    #[serde(default)]
    add: Fields<D>,
}

/// Rules for header fields: what is removed goes first, then what is set, then what
/// is added.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only described")]
struct HeaderRulesSchema {
    /// Begins with the default rules; `false` begins with none.
    #[schemars(default = "yes")]
    defaults: bool,
    #[schemars(flatten)]
    more: MoreRulesSchema,
}

/// Rules for header fields, on top of those for all.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only described")]
struct MoreRulesSchema {
    /// Fields to remove, whatever their value.
    #[schemars(default)]
    remove: Vec<String>,
    /// Fields to set, with their values, replacing all of the name; variables are
    /// written `$name`.
    #[schemars(default)]
    set: BTreeMap<String, HeaderTemplate>,
    /// Fields to add, with their values, to those that are there of the name.
    #[schemars(default)]
    add: BTreeMap<String, HeaderTemplate>,
}

fn nothing<D>() -> Vec<Name<D>> {
    Vec::new()
}

fn yes() -> bool {
    true
}

impl<D: Direction> HeaderRules<D> {
    fn new(remove: &[&'static str], set: &[(&'static str, &str)]) -> Self {
        Self {
            remove: remove.iter().map(|name| HeaderName::from_static(name)).collect(),
            set: set
                .iter()
                .map(|(name, value)| {
                    let template = HeaderTemplate::parse(value).expect("a default is valid");
                    (HeaderName::from_static(name), template)
                })
                .collect(),
            add: Vec::new(),
            direction: PhantomData,
        }
    }

    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// What is written for a field replaces what was said of it before.
    fn overlaid(mut self, written: Written<D>) -> Self {
        for Name(name, _) in written.remove {
            self.set.retain(|(other, _)| *other != name);
            if !self.remove.contains(&name) {
                self.remove.push(name);
            }
        }
        for (name, template) in written.set.0 {
            self.remove.retain(|other| *other != name);
            self.set.retain(|(other, _)| *other != name);
            self.set.push((name, template));
        }
        self.add.extend(written.add.0);
        self
    }
}

impl<D> Serialize for HeaderRules<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<_> = self.remove.iter().map(HeaderName::as_str).collect();
        let mut rules = serializer.serialize_struct("HeaderRules", 4)?;
        rules.serialize_field("defaults", &false)?;
        rules.serialize_field("remove", &names)?;
        rules.serialize_field("set", &table(&self.set))?;
        rules.serialize_field("add", &table(&self.add))?;
        rules.end()
    }
}

/// Fields as a table, in their order.
fn table(fields: &[(HeaderName, HeaderTemplate)]) -> toml::Table {
    fields
        .iter()
        .map(|(name, template)| (name.to_string(), toml::Value::String(template.to_string())))
        .collect()
}

impl<D: Direction> JsonSchema for HeaderRules<D> {
    fn schema_name() -> Cow<'static, str> {
        "HeaderRules".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        HeaderRulesSchema::json_schema(generator)
    }
}

// === impl MoreRules ===

impl<D> Default for MoreRules<D> {
    fn default() -> Self {
        Self(HeaderRules {
            remove: Vec::new(),
            set: Vec::new(),
            add: Vec::new(),
            direction: PhantomData,
        })
    }
}

impl<'de, D: Direction> Deserialize<'de> for MoreRules<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let WrittenMore { remove, set, add } = WrittenMore::deserialize(deserializer)?;
        let written = Written { defaults: false, remove, set, add };
        Ok(Self(Self::default().0.overlaid(written)))
    }
}

impl<D> Serialize for MoreRules<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<_> = self.0.remove.iter().map(HeaderName::as_str).collect();
        let mut rules = serializer.serialize_struct("MoreRules", 3)?;
        rules.serialize_field("remove", &names)?;
        rules.serialize_field("set", &table(&self.0.set))?;
        rules.serialize_field("add", &table(&self.0.add))?;
        rules.end()
    }
}

impl<D: Direction> JsonSchema for MoreRules<D> {
    fn schema_name() -> Cow<'static, str> {
        "MoreHeaderRules".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        MoreRulesSchema::json_schema(generator)
    }
}

impl<D: Direction> Default for HeaderRules<D> {
    fn default() -> Self {
        D::defaults()
    }
}

impl<'de, D: Direction> Deserialize<'de> for HeaderRules<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let written = Written::deserialize(deserializer)?;
        let base = if written.defaults { Self::default() } else { Self::new(&[], &[]) };
        Ok(base.overlaid(written))
    }
}

impl Direction for Request {
    fn defaults() -> HeaderRules<Self> {
        HeaderRules::new(
            &[],
            &[
                ("x-proxy-added", "pingora-demo"),
                ("x-forwarded-by", "rust-pingora"),
                ("x-request-id", "$request_id"),
                ("x-forwarded-for", "$forwarded_for"),
                ("x-forwarded-proto", "$forwarded_proto"),
                ("x-forwarded-host", "$forwarded_host"),
            ],
        )
    }

    fn refusal(name: &HeaderName) -> Option<&'static str> {
        (*name == http::header::HOST).then_some("follows from the backend's name: set that instead")
    }
}

impl Direction for Response {
    fn defaults() -> HeaderRules<Self> {
        HeaderRules::new(
            &["server"],
            &[
                ("x-proxy", "pingora-demo"),
                ("x-load-balancer", "rust-implementation"),
                ("x-served-by", "$backend"),
            ],
        )
    }

    fn refusal(_: &HeaderName) -> Option<&'static str> {
        None
    }
}

/// A field name that a rule of the direction may use.
#[derive(Deserialize)]
#[serde(try_from = "String", bound = "D: Direction")]
struct Name<D>(HeaderName, PhantomData<D>);

impl<D: Direction> TryFrom<String> for Name<D> {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| Invalid(format!("\"{text}\" is no header field name")))?;
        let refusal = if FRAMING.contains(&name) {
            Some("frames the message and is the proxy's own: remove this rule")
        } else {
            D::refusal(&name)
        };
        match refusal {
            Some(why) => Err(Invalid(format!("\"{name}\" {why}"))),
            None => Ok(Self(name, PhantomData)),
        }
    }
}

/// A table of fields, in the file's order.
struct Fields<D>(Vec<(HeaderName, HeaderTemplate)>, PhantomData<D>);

impl<D> Default for Fields<D> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<'de, D: Direction> Deserialize<'de> for Fields<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        struct InOrder<D>(PhantomData<D>);

        impl<'de, D: Direction> Visitor<'de> for InOrder<D> {
            type Value = Fields<D>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table of header fields, like { x-name = \"value\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<D>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Name(name, PhantomData::<D>)) = map.next_key()? {
                    fields.0.push((name, map.next_value()?));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

// === impl HeaderTemplate ===

written_as_string!(
    HeaderTemplate,
    "HeaderTemplate",
    "Text with variables, each written $name; $$ is a dollar sign",
    "for $client_ip"
);

impl fmt::Display for HeaderTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            // It was text, whatever alphabet it is in.
            Part::Literal(text) => {
                f.write_str(&String::from_utf8_lossy(text.as_bytes()).replace('$', "$$"))
            }
            Part::Variable(variable) => write!(f, "${}", variable.name()),
        })
    }
}

impl HeaderTemplate {
    /// Text without variables, for a default.
    pub(super) fn literal(text: &'static str) -> Self {
        Self(vec![Part::Literal(HeaderValue::from_static(text))])
    }

    /// Reads text with variables.
    ///
    /// # Errors
    ///
    /// An unknown variable, or text that no header field can hold.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let end =
                after.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let variable = Variable::named(name).ok_or_else(|| {
                let known = Variable::ALL.map(|(name, _)| name);
                let hint = match meant(name, &known) {
                    Some(other) => format!("did you mean ${other}?"),
                    None => format!(
                        "use {}, or $$ for a dollar sign",
                        known.map(|name| format!("${name}")).join(", ")
                    ),
                };
                Invalid(format!("\"${name}\" is no variable: {hint}"))
            })?;
            if !literal.is_empty() {
                parts.push(Part::literal(&literal)?);
                literal.clear();
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        literal.push_str(rest);
        if parts.is_empty() || !literal.is_empty() {
            parts.push(Part::literal(&literal)?);
        }
        Ok(Self(parts))
    }

    /// The pieces, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl TryFrom<String> for HeaderTemplate {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

// === impl Part ===

impl Part {
    fn literal(text: &str) -> Result<Self, Invalid> {
        HeaderValue::from_str(text)
            .map(Self::Literal)
            .map_err(|_| Invalid(format!("{text:?} cannot stand in a header field")))
    }
}

// === impl Variable ===

impl Variable {
    const ALL: [(&'static str, Self); 24] = [
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

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, variable)| *variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &'static str) -> Part {
        Part::Literal(HeaderValue::from_static(text))
    }

    #[test]
    fn a_template_is_text_with_variables() {
        let parts = |text| HeaderTemplate::parse(text).unwrap().0;
        assert_eq!(parts("plain"), [literal("plain")]);
        assert_eq!(parts(""), [literal("")]);
        assert_eq!(parts("$backend"), [Part::Variable(Variable::Backend)]);
        assert_eq!(
            parts("for=$client_ip;cost=$$5"),
            [literal("for="), Part::Variable(Variable::ClientIp), literal(";cost=$5")]
        );
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        let message = HeaderTemplate::parse("$clientip").unwrap_err().to_string();
        assert_eq!(message, "\"$clientip\" is no variable: did you mean $client_ip?");
        for text in ["$", "$nobody", "a$ b", "line\nbreak", "$Backend"] {
            assert!(HeaderTemplate::parse(text).is_err(), "{text:?}");
        }
    }
}
