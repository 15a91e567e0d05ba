//! Header rules as they stand in a file: read over the defaults, written back whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Direction, HeaderRules, HeaderTemplate, MoreRules};
use crate::config::Invalid;

/// The fields that frame a message, which no rule may touch (RFC 9112, section 6).
const FRAMING: [HeaderName; 5] = [
    http::header::CONTENT_LENGTH,
    http::header::TRANSFER_ENCODING,
    http::header::CONNECTION,
    http::header::UPGRADE,
    http::header::TE,
];

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

/// As they are written back: all of them, whichever were defaults.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<bool>,
    remove: Vec<&'a str>,
    set: toml::Table,
    add: toml::Table,
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

/// A field name that a rule of the direction may use.
#[derive(Deserialize)]
#[serde(try_from = "String", bound = "D: Direction")]
struct Name<D>(HeaderName, PhantomData<D>);

/// A table of fields, in the file's order.
struct Fields<D>(Vec<(HeaderName, HeaderTemplate)>, PhantomData<D>);

fn nothing<D>() -> Vec<Name<D>> {
    Vec::new()
}

fn yes() -> bool {
    true
}

// === impl HeaderRules ===

impl<D: Direction> HeaderRules<D> {
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

impl<'de, D: Direction> Deserialize<'de> for HeaderRules<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let written = Written::deserialize(deserializer)?;
        let base = if written.defaults { Self::default() } else { Self::new(&[], &[]) };
        Ok(base.overlaid(written))
    }
}

impl<D> Serialize for HeaderRules<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown::of(self, Some(false)).serialize(serializer)
    }
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

impl<'de, D: Direction> Deserialize<'de> for MoreRules<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        let WrittenMore { remove, set, add } = WrittenMore::deserialize(deserializer)?;
        let written = Written { defaults: false, remove, set, add };
        Ok(Self(Self::default().0.overlaid(written)))
    }
}

impl<D> Serialize for MoreRules<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown::of(&self.0, None).serialize(serializer)
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

// === impl Shown ===

impl<'a> Shown<'a> {
    fn of<D>(rules: &'a HeaderRules<D>, defaults: Option<bool>) -> Self {
        let table = |fields: &[(HeaderName, HeaderTemplate)]| -> toml::Table {
            fields
                .iter()
                .map(|(name, value)| (name.to_string(), toml::Value::String(value.to_string())))
                .collect()
        };
        Self {
            defaults,
            remove: rules.remove.iter().map(HeaderName::as_str).collect(),
            set: table(&rules.set),
            add: table(&rules.add),
        }
    }
}

// === impl Name ===

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

// === impl Fields ===

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
