//! What must not be shown: written in place, or taken from a file or from the
//! environment.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

use super::Invalid;

/// A secret. It is written as a string, as `{ file = "path" }` or as
/// `{ env = "NAME" }`, is read when the configuration is, and is never shown: its
/// `Debug` and its written form hide it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Secret(String);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a secret is a string, { file = \"path\" } or { env = \"NAME\" }")]
enum Written {
    Here(String),
    File(FromFile),
    Env(FromEnv),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromEnv {
    env: String,
}

/// What stands where a secret is.
const MASK: &str = "***";

impl Secret {
    /// The secret itself; whoever takes it sees to it that nothing shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Written> for Secret {
    type Error = Invalid;

    fn try_from(written: Written) -> Result<Self, Invalid> {
        let (value, whence) = match written {
            Written::Here(value) => (value, "the secret".to_owned()),
            Written::File(FromFile { file }) => {
                let whence = format!("the secret's file {}", file.display());
                let value = std::fs::read_to_string(&file)
                    .map_err(|cause| Invalid(format!("cannot read {whence}: {cause}")))?;
                // Editors end a file with a line break; a secret has none.
                (value.trim_end_matches(['\r', '\n']).to_owned(), whence)
            }
            Written::Env(FromEnv { env }) => {
                let value = std::env::var(&env).map_err(|_| {
                    Invalid(format!("the environment has no variable {env}, which holds a secret"))
                })?;
                (value, format!("the secret's variable {env}"))
            }
        };
        if value.is_empty() {
            return Err(Invalid(format!("{whence} is empty")));
        }
        Ok(Self(value))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let from = |key: &str| {
            json_schema!({
                "type": "object",
                "properties": { (key): { "type": "string" } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A secret: a string, or where to read it, from a file or the environment",
            "oneOf": [{ "type": "string", "minLength": 1 }, from("file"), from("env")],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Holder {
        secret: Secret,
    }

    fn read(text: &str) -> Result<Holder, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_secret_comes_from_its_place_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from the file\r\n").unwrap();
        for (text, secret) in [
            ("secret = 'here'".to_owned(), "here"),
            (format!("secret = {{ file = '{}' }}", file.display()), "from the file"),
            ("secret = { env = 'CARGO_PKG_NAME' }".to_owned(), "pingora-lab"),
        ] {
            let holder = read(&text).unwrap();
            assert_eq!(holder.secret.reveal(), secret);
            assert!(!format!("{holder:?}").contains(secret));
            assert_eq!(toml::to_string(&holder).unwrap(), "secret = \"***\"\n");
        }
    }

    #[test]
    fn a_secret_that_is_not_there_says_where_it_was_looked_for() {
        for (text, said) in [
            ("secret = ''", "the secret is empty"),
            ("secret = { file = '/nowhere/token' }", "/nowhere/token"),
            ("secret = { env = 'NO_SUCH_VARIABLE_HERE' }", "NO_SUCH_VARIABLE_HERE"),
            ("secret = { fle = 'x' }", "a secret is a string"),
            ("secret = 5", "a secret is a string"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
