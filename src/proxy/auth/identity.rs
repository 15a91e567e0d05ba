//! Who a client is, and how the backend is told.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;

use crate::config;
use crate::proxy::look_alike::{are_alike, remove_where};

/// Who a client is, as far as it has shown it.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    user: HeaderValue,
    /// What the backend is told.
    fields: Box<[(HeaderName, HeaderValue)]>,
    /// Whether the policy lets this user do anything.
    pub(super) permitted: bool,
}

/// The fields that tell backends of the user, of all policies. What clients send
/// under these names is removed on every route: a backend that believes the field
/// where a policy has set it cannot know where none has.
#[derive(Default)]
pub struct IdentityFields(Box<[HeaderName]>);

// === impl Identity ===

impl Identity {
    /// A user, told by this field and by further ones.
    pub(super) fn new(
        user: HeaderValue,
        field: &HeaderName,
        more: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        permitted: bool,
    ) -> Arc<Self> {
        let fields = std::iter::once((field.clone(), user.clone())).chain(more).collect();
        Arc::new(Self { user, fields, permitted })
    }

    /// The user's name.
    pub fn user(&self) -> &HeaderValue {
        &self.user
    }

    /// The user's name, for logs. What is not UTF-8 cannot be a name.
    pub fn name(&self) -> &str {
        std::str::from_utf8(self.user.as_bytes()).unwrap_or_default()
    }

    /// Tells whoever receives the request.
    ///
    /// # Errors
    ///
    /// The request has as many fields as there may be.
    pub(super) fn tell(&self, request: &mut RequestHeader) -> pingora::Result<()> {
        self.fields
            .iter()
            .try_for_each(|(name, value)| request.insert_header(name.clone(), value.clone()))
    }
}

/// A name or a claim as the value of a field, unless it could be read as another one:
/// whoever reads a field cuts off the spaces at its ends, and some stop at control
/// characters.
pub(super) fn field_value(text: &str) -> Option<HeaderValue> {
    let plain = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
    plain.then(|| HeaderValue::from_bytes(text.as_bytes()).ok()).flatten()
}

// === impl IdentityFields ===

impl IdentityFields {
    /// Those of all policies of a configuration.
    pub fn new(config: &config::Config) -> Self {
        let mut names: Vec<_> = Vec::new();
        for name in config.auth.values().flat_map(config::Auth::identity_fields) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Self(names.into())
    }

    /// Removes what a client sent under these names, or under names that a backend
    /// which turns `-` into `_`, as CGI does, cannot tell from them.
    pub fn remove_from(&self, request: &mut RequestHeader) {
        if self.0.is_empty() {
            return;
        }
        remove_where(request, |name| self.are_meant_by(name));
    }

    fn are_meant_by(&self, sent: &HeaderName) -> bool {
        self.0.iter().any(|name| are_alike(name.as_str().as_bytes(), sent.as_str().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_of_their_identity_is_removed_however_it_is_written() {
        let config: config::Config = toml::from_str(
            "[auth.a]\n[auth.b]\nuser_header = 'remote_user'\n\
             [auth.b.jwt]\nalgorithms = []\nclaim_headers = { email = 'x-auth-email' }\n",
        )
        .unwrap();
        let fields = IdentityFields::new(&config);
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for name in [
            "X-Auth-User",
            "x_auth-user",
            "X_AUTH_USER",
            "remote-user",
            "Remote_User",
            "x-auth-email",
            "x-auth-users",
            "x-auth",
            "accept",
        ] {
            request.append_header(name.to_owned(), "root").unwrap();
        }
        request.append_header("x-auth-user", "again").unwrap();
        fields.remove_from(&mut request);
        let mut left: Vec<_> = request.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-auth", "x-auth-users"]);
    }

    #[test]
    fn no_name_can_be_read_as_another() {
        for text in ["ann", "ann smith", "münchen", "a:b", "用户"] {
            assert_eq!(field_value(text).unwrap().as_bytes(), text.as_bytes(), "{text}");
        }
        for text in
            ["", " ann", "ann ", "ann\t", "ann\nx: y", "ann\0", "a\tb", "a\u{7f}", "\u{a0}a"]
        {
            assert_eq!(field_value(text), None, "{text:?}");
        }
    }
}
