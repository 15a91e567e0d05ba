//! What is done with the requests of one route, prepared.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderValue, StatusCode};

use super::compress::Compression;
use super::headers::Rules;
use super::metrics::Metrics;
use super::metrics::traffic::RouteTraffic;
use super::policies::{Policies, Prepared};
use super::pool::Pool;
use crate::config::{self, Request, Response, Scheme};

/// What logs and metrics call the route of requests that no route fits.
const NO_ROUTE: &str = "-";

/// What is done with the requests of one route.
pub struct Route {
    name: Arc<str>,
    action: Action,
    rewrite: Option<Rewrite>,
    /// What it asks of a request first, if anything.
    pub policies: Option<Policies>,
    /// Of the whole configuration, then of this route.
    pub request_rules: Rules,
    /// Of the whole configuration, then of this route.
    pub response_rules: Rules,
    /// How answers are compressed, if they are.
    pub compression: Option<Compression>,
    total_limit: Duration,
    traffic: Option<RouteTraffic>,
    body_limit: u64,
}

/// What answers.
pub enum Action {
    /// A backend of the pool.
    Pool(Arc<Pool>),
    /// A redirect.
    Redirect(Redirect),
    /// Always the same answer.
    Fixed(Fixed),
    /// No route fits: 404.
    NotFound,
}

/// Where a client is sent instead.
pub struct Redirect {
    scheme: Option<Scheme>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Option<Box<str>>,
    /// The status code.
    pub status: StatusCode,
}

/// An answer that is always the same.
pub struct Fixed {
    /// The status code.
    pub status: StatusCode,
    /// The body's type, if there is a body.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub body: Bytes,
}

/// What takes the place of the beginning of a path.
struct Rewrite {
    /// How many bytes of the path are replaced.
    replaced: usize,
    /// Without a slash at its end.
    by: Box<str>,
}

// === impl Route ===

impl Route {
    /// Prepares a route, with the policies, rules and limits of the whole
    /// configuration.
    pub fn new(
        name: Arc<str>,
        written: &config::Route,
        pool: Option<Arc<Pool>>,
        prepared: &Prepared,
        config: &config::Config,
        metrics: &Metrics,
    ) -> Self {
        let total_limit = written
            .total_timeout
            .or_else(|| pool.as_ref().map(|pool| pool.timeouts().total))
            .unwrap_or(config.timeouts.total)
            .get();
        let backends = pool.iter().flat_map(|pool| pool.labels());
        let traffic = metrics.route(&name, backends);
        let action = match (pool, &written.redirect, &written.answer) {
            (Some(pool), ..) => Action::Pool(pool),
            (None, Some(redirect), _) => Action::Redirect(Redirect::new(redirect)),
            (None, None, Some(answer)) => Action::Fixed(Fixed::new(answer)),
            (None, None, None) => Action::NotFound,
        };
        Self {
            name,
            action,
            rewrite: Rewrite::new(written),
            policies: Policies::new(written, prepared),
            request_rules: rules(&config.headers.request, &written.headers.request),
            response_rules: rules(&config.headers.response, &written.headers.response),
            compression: written.compress.as_ref().map(Compression::new),
            total_limit,
            traffic,
            body_limit: written.body_size.unwrap_or(config.limits.body_size).get(),
        }
    }

    /// What happens to requests that no route fits.
    pub fn not_found(config: &config::Config, metrics: &Metrics) -> Self {
        let (request, response) = (config::MoreRules::default(), config::MoreRules::default());
        Self {
            name: NO_ROUTE.into(),
            action: Action::NotFound,
            rewrite: None,
            policies: None,
            request_rules: rules::<Request>(&config.headers.request, &request),
            response_rules: rules::<Response>(&config.headers.response, &response),
            compression: None,
            total_limit: config.timeouts.total.get(),
            traffic: metrics.route(NO_ROUTE, []),
            body_limit: config.limits.body_size.get(),
        }
    }

    #[cfg(test)]
    pub(super) fn named(name: String) -> Self {
        Self { name: name.into(), ..Self::not_found(&config::Config::default(), &Metrics::off()) }
    }

    /// What it is called in logs and metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is counted of its requests, if anything is.
    pub fn traffic(&self) -> Option<&RouteTraffic> {
        self.traffic.as_ref()
    }

    /// What answers.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The pool, if a pool answers.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        match &self.action {
            Action::Pool(pool) => Some(pool),
            _ => None,
        }
    }

    /// The time in which an answer must have begun, over all tries.
    pub fn total_limit(&self) -> Duration {
        self.total_limit
    }

    /// The largest body of a request, in bytes.
    pub fn body_limit(&self) -> u64 {
        self.body_limit
    }

    /// The path and query to send on, where they are not those that were asked
    /// for. `path` is what the route was found by.
    pub fn rewritten(&self, path: &str, query: Option<&str>) -> Option<String> {
        let rewrite = self.rewrite.as_ref()?;
        let rest = path.get(rewrite.replaced..).unwrap_or_default();
        let mut new = String::with_capacity(rewrite.by.len() + rest.len() + 16);
        new.push_str(&rewrite.by);
        // What is left of the path begins with a slash, or there is nothing.
        new.push_str(rest);
        if new.is_empty() {
            new.push('/');
        }
        if let Some(query) = query {
            new.push('?');
            new.push_str(query);
        }
        Some(new)
    }
}

fn rules<D>(all: &config::HeaderRules<D>, route: &config::MoreRules<D>) -> Rules {
    Rules::new([all, &route.0])
}

// === impl Rewrite ===

impl Rewrite {
    fn new(route: &config::Route) -> Option<Self> {
        let replaced = match (&route.path, &route.prefix) {
            (Some(path), _) => path.as_str().len(),
            (None, Some(prefix)) => prefix.as_str().trim_end_matches('/').len(),
            (None, None) => 0,
        };
        let by = match (&route.rewrite, route.strip_prefix) {
            // The whole path is replaced, and its end with it.
            (Some(by), _) if route.path.is_some() => by.as_str(),
            (Some(by), _) => by.as_str().trim_end_matches('/'),
            (None, true) => "",
            (None, false) => return None,
        };
        Some(Self { replaced, by: by.into() })
    }
}

// === impl Redirect ===

impl Redirect {
    fn new(redirect: &config::Redirect) -> Self {
        Self {
            scheme: redirect.scheme,
            host: redirect.host.as_ref().map(|host| host.as_str().into()),
            port: redirect.port,
            path: redirect.path.as_ref().map(|path| path.as_str().into()),
            status: redirect.status.0,
        }
    }

    /// To the same place by `https`, on this port, for good (308 keeps the method: RFC
    /// 9110, section 15.4.9).
    pub fn to_https(port: NonZeroU16) -> Self {
        Self {
            scheme: Some(Scheme::Https),
            host: None,
            port: Some(port.get()),
            path: None,
            status: StatusCode::PERMANENT_REDIRECT,
        }
    }

    /// The `Location` (RFC 9110, section 10.2.2): what was asked for, with what
    /// the redirect says in place of it. A path alone, where only the path
    /// changes; `None` if the client sent no host that a location needs.
    pub fn location(&self, asked: &Place<'_>) -> Option<HeaderValue> {
        let path = match &self.path {
            Some(path) => std::borrow::Cow::Owned(match asked.query {
                Some(query) => format!("{path}?{query}"),
                None => path.to_string(),
            }),
            None => std::borrow::Cow::Borrowed(asked.path_and_query),
        };
        if self.scheme.is_none() && self.host.is_none() && self.port.is_none() {
            return HeaderValue::from_str(&path).ok();
        }
        let scheme = self.scheme.unwrap_or(asked.scheme);
        let host = self.host.as_deref().or(asked.host)?;
        // The port stays with the host that the client named, unless the scheme
        // changes, whose port it was.
        let kept = asked.port.filter(|_| self.host.is_none() && scheme == asked.scheme);
        let (name, default) = match scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        let authority: Authority = match self.port.or(kept).filter(|port| *port != default) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
        .parse()
        .ok()?;
        let path: PathAndQuery = path.parse().ok()?;
        let uri = Uri::builder().scheme(name).authority(authority).path_and_query(path).build();
        HeaderValue::from_str(&uri.ok()?.to_string()).ok()
    }
}

/// What a client asked for.
pub struct Place<'a> {
    /// How it reached the proxy.
    pub scheme: Scheme,
    /// The host, without port.
    pub host: Option<&'a str>,
    /// The port of the host.
    pub port: Option<u16>,
    /// Path and query, as they would be sent on.
    pub path_and_query: &'a str,
    /// The query.
    pub query: Option<&'a str>,
}

// === impl Fixed ===

impl Fixed {
    fn new(answer: &config::FixedAnswer) -> Self {
        let content_type = match answer.content_type.parts() {
            [config::Part::Literal(value)] if !answer.body.is_empty() => Some(value.clone()),
            _ => None,
        };
        Self {
            status: answer.status.0,
            content_type,
            body: Bytes::copy_from_slice(answer.body.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Route {
        let config: config::Config = toml::from_str(&format!("[[route]]\n{text}\n")).unwrap();
        let (prepared, metrics) = (Prepared::default(), Metrics::off());
        Route::new("r".into(), &config.routes[0], None, &prepared, &config, &metrics)
    }

    #[test]
    fn the_part_that_a_prefix_fits_is_stripped_or_replaced() {
        for (text, path, query, sent) in [
            ("prefix = '/api'\nstrip_prefix = true", "/api/x", None, "/x"),
            ("prefix = '/api'\nstrip_prefix = true", "/api", Some("a=1"), "/?a=1"),
            ("prefix = '/api/'\nstrip_prefix = true", "/api/", None, "/"),
            ("prefix = '/api'\nrewrite = '/v2'", "/api/x", Some("q"), "/v2/x?q"),
            ("prefix = '/api'\nrewrite = '/v2/'", "/api", None, "/v2"),
            ("prefix = '/api'\nrewrite = '/'", "/api/x", None, "/x"),
            ("path = '/old'\nrewrite = '/new/'", "/old", None, "/new/"),
        ] {
            let route = route(text);
            assert_eq!(route.rewritten(path, query).as_deref(), Some(sent), "{text} {path}");
        }
        assert_eq!(route("prefix = '/api'").rewritten("/api/x", None), None);
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_change() {
        let asked = |scheme, port| Place {
            scheme,
            host: Some("a.test"),
            port,
            path_and_query: "/x?q=1",
            query: Some("q=1"),
        };
        let location = |text: &str, asked: Place<'_>| match route(text).action() {
            Action::Redirect(redirect) => redirect.location(&asked).unwrap(),
            _ => panic!("no redirect: {text}"),
        };
        for (text, scheme, port, to) in [
            ("redirect = { scheme = 'https' }", Scheme::Http, Some(8080), "https://a.test/x?q=1"),
            (
                "redirect = { scheme = 'https', port = 8443 }",
                Scheme::Http,
                None,
                "https://a.test:8443/x?q=1",
            ),
            ("redirect = { host = 'b.test' }", Scheme::Https, Some(444), "https://b.test/x?q=1"),
            ("redirect = { path = '/new' }", Scheme::Http, Some(81), "/new?q=1"),
            ("redirect = { port = 81 }", Scheme::Http, None, "http://a.test:81/x?q=1"),
        ] {
            assert_eq!(location(text, asked(scheme, port)), to, "{text}");
        }
    }
}
