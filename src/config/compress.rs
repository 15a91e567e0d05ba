//! Which answers are compressed, and how.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::written::written_as_string;
use super::{Invalid, Size};

/// Compresses answers that the backend sent plain, for clients that accept it. `true`
/// is this table with its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compress {
    /// The codings that may be used. A client gets the one that it likes best, and of
    /// those that it likes as much, the first of these.
    pub codings: Vec<Coding>,
    /// The types of answers that are compressed: `text/html`, `text/*`, or `+json` for
    /// all whose name ends so. Event streams only where `text/event-stream` is named.
    pub types: Vec<MediaRange>,
    /// An answer that is known to be shorter is left alone.
    pub min_size: Size,
    /// How hard gzip tries.
    pub gzip_level: GzipLevel,
    /// How hard brotli tries.
    pub brotli_level: BrotliLevel,
    /// How hard zstd tries.
    pub zstd_level: ZstdLevel,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Br,
    /// RFC 8878.
    Zstd,
}

/// A level of gzip, from 1 to 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64")]
#[schemars(with = "u8", extend("minimum" = 1, "maximum" = 9))]
pub struct GzipLevel(u8);

/// A level of brotli, from 0 to 11; those past 6 are too slow for answers that are
/// compressed each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64")]
#[schemars(with = "u8", extend("minimum" = 0, "maximum" = 11))]
pub struct BrotliLevel(u8);

/// A level of zstd, from 1 to 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i64")]
#[schemars(with = "u8", extend("minimum" = 1, "maximum" = 19))]
pub struct ZstdLevel(u8);

/// Media types: one, all of a kind, or all with a suffix.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MediaRange {
    /// This one, in lower case.
    One(String),
    /// All that begin with this, which ends in a slash.
    Kind(String),
    /// All that end in this, which begins with a plus.
    Suffix(String),
}

written_as_string!(MediaRange, "MediaRange", "text/html, text/* or +json", "text/html");

/// What stands for `compress` in a route.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described")]
pub(super) enum CompressOrSwitch {
    Table(Compress),
    Switch(bool),
}

const TYPES: [&str; 17] = [
    "text/html",
    "text/css",
    "text/plain",
    "text/javascript",
    "text/csv",
    "text/markdown",
    "text/xml",
    "application/json",
    "application/x-ndjson",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/yaml",
    "font/otf",
    "font/ttf",
    "+json",
    "+xml",
];

// === impl Compress ===

impl Default for Compress {
    fn default() -> Self {
        let range = |text: &str| MediaRange::try_from(text.to_owned()).expect("a default is valid");
        Self {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            types: TYPES.map(range).into(),
            min_size: Size::from_kib(1),
            gzip_level: GzipLevel(5),
            brotli_level: BrotliLevel(4),
            zstd_level: ZstdLevel(3),
        }
    }
}

/// Reads `true`, `false` or a table.
pub(super) fn switch_or_table<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Compress>, D::Error> {
    struct SwitchOrTable;

    impl<'de> Visitor<'de> for SwitchOrTable {
        type Value = Option<Compress>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true, false or a table, like { types = [\"text/html\"] }")
        }

        fn visit_bool<E>(self, on: bool) -> Result<Self::Value, E> {
            Ok(on.then(Compress::default))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Compress::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    deserializer.deserialize_any(SwitchOrTable)
}

// === impl levels ===

fn level(number: i64, least: u8, most: u8) -> Result<u8, Invalid> {
    u8::try_from(number).ok().filter(|level| (least..=most).contains(level)).ok_or_else(|| {
        Invalid(format!("{number} is no level: use a number from {least} to {most}"))
    })
}

macro_rules! levels {
    ($($name:ident: $least:literal to $most:literal),*) => {$(
        impl $name {
            /// The number.
            pub fn get(self) -> u8 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Invalid;

            fn try_from(number: i64) -> Result<Self, Invalid> {
                level(number, $least, $most).map(Self)
            }
        }
    )*};
}

levels!(GzipLevel: 1 to 9, BrotliLevel: 0 to 11, ZstdLevel: 1 to 19);

// === impl MediaRange ===

impl MediaRange {
    /// Whether it holds a type, which is in lower case and has no parameters.
    pub fn holds(&self, media_type: &str) -> bool {
        match self {
            Self::One(one) => media_type == one,
            Self::Kind(kind) => {
                media_type.starts_with(kind.as_str()) && media_type != "text/event-stream"
            }
            Self::Suffix(suffix) => media_type.ends_with(suffix.as_str()),
        }
    }
}

impl TryFrom<String> for MediaRange {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let name = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        let lower = text.to_ascii_lowercase();
        match lower.split_once('/') {
            None if lower.strip_prefix('+').is_some_and(name) => Ok(Self::Suffix(lower)),
            Some((kind, "*")) if name(kind) => Ok(Self::Kind(format!("{kind}/"))),
            Some((kind, sub)) if name(kind) && name(sub) => Ok(Self::One(lower)),
            _ => Err(Invalid(format!(
                "\"{text}\" is no media type: write text/html, text/* or +json, without parameters"
            ))),
        }
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) | Self::Suffix(text) => f.write_str(text),
            Self::Kind(kind) => write!(f, "{kind}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    fn route(text: &str) -> Result<Option<Compress>, String> {
        let route = toml::from_str::<Route>(text).map_err(|error| error.message().to_owned());
        route.map(|route| route.compress)
    }

    #[test]
    fn a_switch_or_a_table() {
        assert_eq!(route(""), Ok(None));
        assert_eq!(route("compress = false"), Ok(None));
        assert_eq!(route("compress = true"), Ok(Some(Compress::default())));
        let table = route("compress = { codings = ['gzip'], gzip_level = 9 }").unwrap().unwrap();
        assert_eq!((table.codings, table.gzip_level), (vec![Coding::Gzip], GzipLevel(9)));
        assert_eq!(table.types, Compress::default().types);
        for text in ["'yes'", "1", "{ gzip_level = 10 }", "{ type = [] }", "{ types = ['a'] }"] {
            assert!(route(&format!("compress = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_is_one_type_or_a_kind_or_a_suffix() {
        let holds = |range: &str, media_type: &str| {
            let range = MediaRange::try_from(range.to_owned()).unwrap();
            assert_eq!(MediaRange::try_from(range.to_string()).unwrap(), range);
            range.holds(media_type)
        };
        assert!(holds("Text/HTML", "text/html") && !holds("text/html", "text/htm"));
        assert!(holds("text/*", "text/css") && !holds("text/*", "texture/x"));
        assert!(!holds("text/*", "text/event-stream"));
        assert!(holds("text/event-stream", "text/event-stream"));
        assert!(holds("+json", "application/ld+json") && !holds("+json", "application/json"));
        for text in ["", "text", "/", "text/", "*/*", "text/html; charset=utf-8", "+", "a b/c"] {
            assert!(MediaRange::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
