//! Who may: policies by which clients say who they are.

mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::validate::{Misfit, at, first_two, misfit};
use super::{Count, FieldName, Secret, Size, Span};

pub use values::{CookieName, IdentityField, JwtAlgorithm, Leeway, Realm};

/// A policy that says who may. It has exactly one of `basic`, `jwt` and `api_key`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What clients are told that they need a login for; browsers show it. ASCII.
    pub realm: Realm,
    /// The users that may; everybody who is known may by default. Others are
    /// answered 403.
    pub allow_users: Vec<String>,
    /// The field by which the backend is told who the user is. Clients cannot send
    /// it: it is removed from every request of every route.
    pub user_header: IdentityField,
    /// Whether the backend gets the credential too: the password, token or key.
    pub forward_credential: bool,
    /// Passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// Signed tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuth>,
    /// Keys of programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyAuth>,
}

/// Users and passwords (RFC 7617), out of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The file of users, as `htpasswd -B` writes it: `user:hash` in each line, with
    /// hashes of bcrypt or argon2. It is read again when it changes.
    pub file: PathBuf,
    /// How many passwords are verified at the same time. Each takes a processor for
    /// as long as its hash says, on purpose.
    #[serde(default = "default_verifications")]
    pub verifications: Count,
    /// How long a request may wait for its password to be verified before it is
    /// answered 503.
    #[serde(default = "default_max_wait")]
    pub max_wait: Span,
    /// How many logins that were right are remembered, as keyed hashes, so that the
    /// next request of the same user is quick.
    #[serde(default = "default_cache_size")]
    pub cache_size: Count,
    /// How long a login that was right is remembered.
    #[serde(default = "default_cache_for")]
    pub cache_for: Span,
}

/// Signed tokens (JWT, RFC 7519), from `Authorization: Bearer`. The keys come from
/// exactly one of `secret`, `public_key` and `jwks`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtAuth {
    /// The algorithms that tokens may be signed with; what a token itself says only
    /// chooses among them.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The secret of HS256, HS384 or HS512: at least as long as the hash, 32, 48 or
    /// 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Whether `secret` is written in base64.
    #[serde(default)]
    pub secret_base64: bool,
    /// PEM file of the public key (`BEGIN PUBLIC KEY`), or of several. It is read
    /// again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PathBuf>,
    /// File of a JSON Web Key Set (RFC 7517). It is read again when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<PathBuf>,
    /// The issuers (`iss`) whose tokens are taken; any by default.
    #[serde(default)]
    pub issuer: Vec<String>,
    /// The audiences (`aud`), one of which a token must be for. Without any, tokens
    /// that name an audience are refused, since it is not this one.
    #[serde(default)]
    pub audience: Vec<String>,
    /// By how much clocks may differ where `exp` and `nbf` are compared; up to 10
    /// minutes.
    #[serde(default)]
    pub leeway: Leeway,
    /// Whether tokens must say when they expire (`exp`).
    #[serde(default = "yes")]
    pub require_exp: bool,
    /// Claims and the values that each may have; a claim that is a list must hold
    /// one of them. Tokens without are answered 403.
    #[serde(default)]
    pub required_claims: BTreeMap<String, Vec<String>>,
    /// The claim that names the user. Tokens without it are refused.
    #[serde(default = "JwtAuth::default_user_claim")]
    pub user_claim: String,
    /// Further claims that the backend is told, each with the field for it. Text,
    /// numbers and truth values are; lists and tables are not. Clients cannot send
    /// these fields.
    #[serde(default)]
    pub claim_headers: BTreeMap<String, IdentityField>,
    /// A field that may hold the token too, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<FieldName>,
    /// A cookie that may hold the token too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieName>,
    /// The size of a token; a larger one is refused unread.
    #[serde(default = "JwtAuth::default_token_size")]
    pub token_size: Size,
    /// How many signatures with a private key (all but HS256, HS384 and HS512) are
    /// verified at the same time. Each takes a processor for 50 to 1,500 microseconds.
    #[serde(default = "JwtAuth::default_verifications")]
    pub verifications: Count,
    /// How long a request may wait for its signature to be verified before it is
    /// answered 503.
    #[serde(default = "default_max_wait")]
    pub max_wait: Span,
    /// How many tokens that were right are remembered, as keyed hashes, so that
    /// their signatures are verified once.
    #[serde(default = "default_cache_size")]
    pub cache_size: Count,
    /// How long a token that was right is remembered, at most up to its `exp`.
    #[serde(default = "default_cache_for")]
    pub cache_for: Span,
}

/// Keys of programs, each with the name of who has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeyAuth {
    /// The field that holds the key.
    pub header: FieldName,
    /// The parameter of the query that may hold the key too. URLs are logged and
    /// kept in many places, so a key is better not in them; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The keys, by the names of those who have them; each at least 16 characters.
    pub keys: BTreeMap<String, Secret>,
    /// A file of further keys, hashed: `name:` and the SHA-256 in hexadecimal in
    /// each line. It is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// The shortest key of a program, in characters.
const SHORTEST_KEY: usize = 16;

fn yes() -> bool {
    true
}

fn default_verifications() -> Count {
    Count::new(2)
}

fn default_max_wait() -> Span {
    Span::from_secs(2)
}

fn default_cache_size() -> Count {
    Count::new(1000)
}

fn default_cache_for() -> Span {
    Span::from_secs(300)
}

// === impl Auth ===

impl Auth {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let jwt = self.jwt.as_ref();
        let files = [
            self.basic.as_ref().map(|basic| &basic.file),
            jwt.and_then(|jwt| jwt.public_key.as_ref()),
            jwt.and_then(|jwt| jwt.jwks.as_ref()),
            self.api_key.as_ref().and_then(|keys| keys.file.as_ref()),
        ];
        files.into_iter().flatten().map(PathBuf::as_path)
    }

    /// The fields that tell the backend of the user.
    pub fn identity_fields(&self) -> impl Iterator<Item = &HeaderName> {
        let claims = self.jwt.iter().flat_map(|jwt| jwt.claim_headers.values());
        std::iter::once(&self.user_header).chain(claims).map(|field| &field.0)
    }

    /// What the settings say together that cannot be meant.
    pub(super) fn misfit(&self) -> Option<Misfit> {
        let kinds = [
            ("basic", self.basic.is_some()),
            ("jwt", self.jwt.is_some()),
            ("api_key", self.api_key.is_some()),
        ];
        match first_two(kinds) {
            (None, _) => Some(misfit(
                at![],
                "nothing says how users show who they are: add basic, jwt or api_key",
            )),
            (Some(first), Some(second)) => {
                Some(misfit(at![second], format!("there are {first} and {second}: keep one")))
            }
            (Some(_), None) => {
                let jwt = self.jwt.as_ref().and_then(|jwt| jwt.misfit(&self.user_header));
                jwt.or_else(|| self.api_key.as_ref().and_then(ApiKeyAuth::misfit))
            }
        }
    }
}

// === impl JwtAuth ===

impl JwtAuth {
    fn default_verifications() -> Count {
        Count::new(4)
    }

    fn default_user_claim() -> String {
        "sub".to_owned()
    }

    fn default_token_size() -> Size {
        Size::from_kib(8)
    }

    fn misfit(&self, user_header: &IdentityField) -> Option<Misfit> {
        let wrong = |key: &str, message: &str| Some(misfit(at!["jwt", key], message));
        if self.algorithms.is_empty() {
            return wrong("algorithms", "no token could ever be right: name an algorithm");
        }
        let sources = [
            ("secret", self.secret.is_some()),
            ("public_key", self.public_key.is_some()),
            ("jwks", self.jwks.is_some()),
        ];
        match first_two(sources) {
            (None, _) => {
                return wrong(
                    "algorithms",
                    "there is no key to verify tokens with: add secret, public_key or jwks",
                );
            }
            (Some(first), Some(second)) => {
                return wrong(second, &format!("there are {first} and {second}: keep one"));
            }
            (Some("secret"), None) => {
                if let Some(other) = self.algorithms.iter().find(|a| !a.is_symmetric()) {
                    return wrong(
                        "algorithms",
                        &format!(
                            "{other:?} is verified with a public key, and there is a secret: give \
                             public_key or jwks, or use HS256, HS384 or HS512"
                        ),
                    );
                }
            }
            (Some("public_key"), None) => {
                if let Some(other) = self.algorithms.iter().find(|a| a.is_symmetric()) {
                    return wrong(
                        "algorithms",
                        &format!(
                            "{other:?} is verified with a secret, and there is a public key, which \
                             anyone may know: give secret or jwks, or use another algorithm"
                        ),
                    );
                }
            }
            (Some(_), None) => {}
        }
        if self.secret_base64 && self.secret.is_none() {
            return wrong(
                "secret_base64",
                "there is no secret that could be in base64: add secret",
            );
        }
        if self.required_claims.values().any(Vec::is_empty) {
            return wrong("required_claims", "a claim without values could never fit: name one");
        }
        let mut fields: Vec<_> = self.claim_headers.values().chain([user_header]).collect();
        fields.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
        if let Some([twice, _]) = fields.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong(
                "claim_headers",
                &format!("\"{twice}\" would be set twice: use another field for one of them"),
            );
        }
        None
    }
}

// === impl ApiKeyAuth ===

impl Default for ApiKeyAuth {
    fn default() -> Self {
        Self {
            header: FieldName(HeaderName::from_static("x-api-key")),
            query: None,
            keys: BTreeMap::new(),
            file: None,
        }
    }
}

impl ApiKeyAuth {
    fn misfit(&self) -> Option<Misfit> {
        if self.keys.is_empty() && self.file.is_none() {
            return Some(misfit(at!["api_key"], "there are no keys: add keys or file"));
        }
        let (owner, _) = self.keys.iter().find(|(_, key)| key.reveal().len() < SHORTEST_KEY)?;
        Some(misfit(
            at!["api_key", "keys", owner.as_str()],
            format!(
                "the key of \"{owner}\" could be guessed: give one of at least {SHORTEST_KEY} \
                 characters, as `openssl rand -hex 32` makes them"
            ),
        ))
    }
}
