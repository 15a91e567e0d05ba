//! Who may: whether a client has shown who it is, and whether that user may.
//!
//! | file | what it knows |
//! | --- | --- |
//! | [`basic`] | users and passwords (RFC 7617) |
//! | [`htpasswd`] | the files that they are in |
//! | [`jwt`] | signed tokens (RFC 7519) |
//! | [`keys`] | the keys that their signatures are verified with |
//! | [`api_key`] | keys of programs |
//! | [`credential`] | where in a request a credential stands |
//! | [`identity`] | who a client is, and how the backend is told |
//! | [`denial`] | why a client may not |
//! | [`cache`] | what was found right a moment ago |
//! | [`workshop`] | where what takes long is verified |
//!
//! A policy is prepared whole when the configuration is read, its files with it. One
//! that has not changed, nor its files, is taken over by the next configuration with
//! what it remembers; one that has changed begins with nothing, so that whoever is no
//! longer in the file is not remembered either.

pub mod api_key;
pub mod basic;
pub mod cache;
pub mod credential;
pub mod denial;
pub mod htpasswd;
pub mod identity;
pub mod jwt;
pub mod keys;
pub mod workshop;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use jsonwebtoken::Algorithm;
use pingora::http::RequestHeader;
use pingora_proxy::Session;
use tracing::warn;

use super::answer::Reason;
use super::context::RequestContext;
use super::metrics::Metrics;
use super::metrics::policy::AuthResults;
use crate::config::{self, Config, Misfit, PolicyName, Step};

use api_key::{ApiKeys, HashedKeys};
use basic::Basic;
use credential::{remove_authorization, without_parameter};
use denial::Denial;
use htpasswd::{BadLine, Users};
use jwt::Jwt;
use keys::Keys;

pub use identity::{Identity, IdentityFields};

/// The policies of a configuration, by name.
#[derive(Default)]
pub struct Guards(BTreeMap<PolicyName, Arc<Guard>>);

/// One policy: how clients show who they are, and who of them may.
pub struct Guard {
    kind: Kind,
    /// What a client is told that said nothing of itself.
    challenge: HeaderValue,
    /// What one is told that said something wrong.
    challenge_wrong: HeaderValue,
    /// What one is told that may not.
    challenge_forbidden: Option<HeaderValue>,
    forward: bool,
    /// What is left out of its files, and why.
    notes: Vec<String>,
    source: Source,
    results: Option<Arc<AuthResults>>,
}

enum Kind {
    Basic(Basic),
    Jwt(Arc<Jwt>),
    ApiKey(ApiKeys),
}

/// What a policy was prepared from.
#[derive(PartialEq)]
struct Source {
    written: config::Auth,
    file: Option<Vec<u8>>,
}

/// The largest file of users or keys.
const LARGEST: u64 = 16 * 1024 * 1024;

// === impl Guards ===

impl Guards {
    /// Reads the files that the policies name and prepares them. Those that have not
    /// changed since `earlier` are taken over.
    ///
    /// # Errors
    ///
    /// What is wrong with the first file that cannot be used, and where it is named.
    pub fn load(
        config: &Config,
        earlier: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, Misfit> {
        let guards = config.auth.iter().map(|(name, written)| {
            let source = Source::read(name.as_str(), written)?;
            let known = earlier.and_then(|earlier| earlier.0.get(name));
            let guard = match known {
                Some(known) if known.source == source => Arc::clone(known),
                _ => {
                    let results = metrics.auth(name.as_str());
                    Arc::new(Guard { results, ..Guard::prepare(name.as_str(), source)? })
                }
            };
            Ok((name.clone(), guard))
        });
        guards.collect::<Result<_, _>>().map(Self)
    }

    /// Says in the log what was left out of the files of policies that `earlier` did
    /// not have.
    pub fn report(&self, earlier: Option<&Self>) {
        for (name, guard) in &self.0 {
            let known = earlier.and_then(|earlier| earlier.0.get(name));
            if !known.is_some_and(|known| Arc::ptr_eq(known, guard)) {
                for note in &guard.notes {
                    warn!(target: "auth", policy = name.as_str(), "{note}");
                }
            }
        }
    }

    /// The policy of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<Guard>> {
        self.0.get(name)
    }
}

// === impl Source ===

impl Source {
    fn read(name: &str, written: &config::Auth) -> Result<Self, Misfit> {
        let file = written
            .files()
            .next()
            .map(|path| read(path).map_err(|message| misfit(name, &file_key(written), message)));
        Ok(Self { written: written.clone(), file: file.transpose()? })
    }

    /// The file's content; a validated policy has one wherever it is asked for.
    fn content(&self) -> &[u8] {
        self.file.as_deref().unwrap_or_default()
    }

    /// What is wrong with the file, for people.
    fn wrong(&self, name: &str, line: Option<usize>, message: &str) -> Misfit {
        let path = self.written.files().next().map(|path| path.display().to_string());
        let place = match (path, line) {
            (Some(path), Some(line @ 1..)) => format!("{path}:{line}: "),
            (Some(path), _) => format!("{path}: "),
            (None, _) => String::new(),
        };
        misfit(name, &file_key(&self.written), format!("{place}{message}"))
    }

    fn bad_line(&self, name: &str, bad: &BadLine) -> Misfit {
        self.wrong(name, Some(bad.line), &bad.message)
    }
}

/// The key under which the file is named, or what stands in place of one.
fn file_key(written: &config::Auth) -> [&'static str; 2] {
    match (&written.basic, &written.jwt) {
        (Some(_), _) => ["basic", "file"],
        (None, Some(jwt)) if jwt.secret.is_some() => ["jwt", "secret"],
        (None, Some(jwt)) if jwt.public_key.is_some() => ["jwt", "public_key"],
        (None, Some(_)) => ["jwt", "jwks"],
        (None, None) => ["api_key", "file"],
    }
}

fn misfit(name: &str, key: &[&str], message: String) -> Misfit {
    let at = ["auth", name].iter().chain(key).map(|step| Step::from(*step)).collect();
    Misfit { message, at }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |cause: std::io::Error| format!("cannot read {}: {cause}", path.display());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(format!("{} has {size} bytes, and up to {LARGEST} are read", path.display()));
    }
    std::fs::read(path).map_err(unreadable)
}

// === impl Guard ===

impl Guard {
    fn prepare(name: &str, source: Source) -> Result<Self, Misfit> {
        let auth = &source.written;
        let field = &auth.user_header.0;
        let permits =
            |user: &str| auth.allow_users.is_empty() || auth.allow_users.iter().any(|u| u == user);
        let mut notes = Vec::new();
        let kind = if let Some(basic) = &auth.basic {
            let users = Users::parse(source.content()).map_err(|b| source.bad_line(name, &b))?;
            Kind::Basic(Basic::new(basic, &users, field, permits))
        } else if let Some(jwt) = &auth.jwt {
            let keys = keys(jwt, &source, name, &mut notes)?;
            Kind::Jwt(Arc::new(Jwt::new(jwt, auth, keys)))
        } else {
            let config = auth.api_key.clone().unwrap_or_default();
            let file = match &source.file {
                Some(file) => Some(HashedKeys::parse(file).map_err(|b| source.bad_line(name, &b))?),
                None => None,
            };
            let keys = ApiKeys::new(&config, file.as_ref(), field, permits)
                .map_err(|message| misfit(name, &["api_key"], message))?;
            Kind::ApiKey(keys)
        };
        let realm = auth.realm.as_str();
        let (plain, wrong, forbidden) = match kind {
            // RFC 7617, section 2.1.
            Kind::Basic(_) => (format!("Basic realm=\"{realm}\", charset=\"UTF-8\""), "", None),
            // RFC 6750, section 3: no error where there was no token.
            Kind::Jwt(_) => (
                format!("Bearer realm=\"{realm}\""),
                ", error=\"invalid_token\"",
                Some(", error=\"insufficient_scope\""),
            ),
            // No scheme is registered for these; RFC 9110, section 15.5.2 asks for one.
            Kind::ApiKey(_) => (format!("ApiKey realm=\"{realm}\""), "", None),
        };
        // A realm is such that it can stand in a field.
        let value = |text: String| {
            HeaderValue::try_from(text).map_err(|_| {
                misfit(name, &["realm"], "the realm cannot be told to clients".to_owned())
            })
        };
        Ok(Self {
            challenge_wrong: value(format!("{plain}{wrong}"))?,
            challenge_forbidden: match forbidden {
                Some(forbidden) => Some(value(format!("{plain}{forbidden}"))?),
                None => None,
            },
            challenge: value(plain)?,
            forward: auth.forward_credential,
            notes,
            kind,
            source,
            results: None,
        })
    }

    /// Whether the client of a request has shown who it is, and may. If so, the
    /// context knows who, and the request tells whoever receives it.
    ///
    /// # Errors
    ///
    /// Why not; the context has what the client is told.
    pub async fn admit(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<(), Reason> {
        let request = session.req_header();
        let identified = match &self.kind {
            Kind::Basic(basic) => basic.identify(&request.headers).await,
            Kind::Jwt(jwt) => jwt.identify(&request.headers).await,
            Kind::ApiKey(keys) => keys.identify(request),
        };
        let identity = match identified {
            Ok(identity) => identity,
            Err(denial) => return Err(self.deny(denial, context)),
        };
        let permitted = identity.permitted;
        let told = identity.tell(session.req_header_mut());
        context.identity = Some(identity);
        if !permitted {
            return Err(self.deny(Denial::NotPermitted, context));
        }
        if told.is_err() {
            return Err(Reason::HeaderTooLarge);
        }
        if let Kind::ApiKey(keys) = &self.kind
            && let Some(name) = keys.query()
            && !self.forward
        {
            let uri = &session.req_header().uri;
            let asked = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
            let concealed = context
                .path
                .as_deref()
                .or(asked)
                .and_then(|path_and_query| without_parameter(path_and_query, name));
            if concealed.is_some() {
                context.path = concealed;
            }
        }
        if let Some(results) = &self.results {
            results.accepted();
        }
        Ok(())
    }

    fn deny(&self, denial: Denial, context: &mut RequestContext) -> Reason {
        if let Some(results) = &self.results {
            results.denied(denial);
        }
        context.denial = Some(denial);
        let fields = &mut context.answer_fields;
        match denial {
            Denial::NoCredential => fields.push((WWW_AUTHENTICATE, self.challenge.clone())),
            Denial::Busy => fields.push((RETRY_AFTER, HeaderValue::from_static("1"))),
            Denial::NotPermitted => {
                fields.extend(self.challenge_forbidden.clone().map(|c| (WWW_AUTHENTICATE, c)));
            }
            _ => fields.push((WWW_AUTHENTICATE, self.challenge_wrong.clone())),
        }
        denial.reason()
    }

    /// Takes the credential out of what a backend receives, unless it is to have it.
    ///
    /// # Errors
    ///
    /// None that is known of.
    pub fn conceal(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        if self.forward {
            return Ok(());
        }
        match &self.kind {
            Kind::Basic(_) => remove_authorization(request, "Basic"),
            Kind::Jwt(jwt) => jwt.conceal(request)?,
            Kind::ApiKey(keys) => {
                request.remove_header::<HeaderName>(keys.header());
            }
        }
        Ok(())
    }
}

/// The keys of tokens, with a note on each that is left out.
fn keys(
    jwt: &config::JwtAuth,
    source: &Source,
    name: &str,
    notes: &mut Vec<String>,
) -> Result<Keys, Misfit> {
    let algorithms: Vec<_> = jwt.algorithms.iter().copied().map(Algorithm::from).collect();
    let keys = if let Some(secret) = &jwt.secret {
        Keys::from_secret(secret.reveal(), jwt.secret_base64, &algorithms)
    } else if jwt.public_key.is_some() {
        Keys::from_pem(source.content(), &algorithms)
    } else {
        Keys::from_jwks(source.content(), &algorithms).map(|(keys, left_out)| {
            notes.extend(left_out);
            keys
        })
    };
    keys.map_err(|message| source.wrong(name, None, &message))
}
