//! Which requests go where: the routes of a configuration, in the order in which
//! they are asked.
//!
//! Routes are sorted once, the most specific first, and kept by host; a request
//! looks its host up and takes the first route whose path, method and fields fit.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::route::Route;
use crate::config::{self, HostPattern};

/// All routes of a configuration.
pub struct Routes {
    exact: HashMap<Box<[u8]>, Box<[Entry]>>,
    /// By what the host ends in, the longest first.
    below: Box<[Below]>,
    any: Box<[Entry]>,
}

/// What hosts end in, and their routes.
type Below = (Box<[u8]>, Box<[Entry]>);

#[derive(Clone)]
struct Entry {
    fits: Arc<Fits>,
    route: Arc<Route>,
}

/// What a route asks of a request, but for its host.
struct Fits {
    path: Path,
    methods: Box<[Method]>,
    fields: Box<[(HeaderName, Option<HeaderValue>)]>,
}

enum Path {
    Any,
    Exact(Box<str>),
    /// Without a slash at its end.
    Prefix(Box<str>),
}

/// What routes go by.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The host, in lower case and without a port.
    pub host: Option<&'a [u8]>,
    /// The path, normalised and without the query.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The fields.
    pub headers: &'a HeaderMap,
}

// === impl Routes ===

impl Routes {
    /// The routes, in the configuration's order, with what each does.
    pub fn new(routes: impl IntoIterator<Item = (config::Route, Arc<Route>)>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().collect();
        // Stable: between equals, the file's order decides.
        routes.sort_by_key(|(written, _)| std::cmp::Reverse(precision(written)));
        let mut exact: HashMap<Box<[u8]>, Vec<Entry>> = HashMap::new();
        let mut below: HashMap<Box<[u8]>, Vec<Entry>> = HashMap::new();
        let mut any = Vec::new();
        for (written, route) in routes {
            let entry = Entry { fits: Arc::new(Fits::new(&written)), route };
            for host in &written.hosts {
                match host {
                    HostPattern::Exact(host) => exact.entry(host.as_bytes().into()),
                    HostPattern::Below(suffix) => below.entry(suffix.as_bytes().into()),
                }
                .or_default()
                .push(entry.clone());
            }
            if written.hosts.is_empty() {
                any.push(entry);
            }
        }
        let mut below: Vec<_> = below.into_iter().map(|(k, v)| (k, v.into())).collect();
        below.sort_by_key(|(suffix, _): &(Box<[u8]>, _)| std::cmp::Reverse(suffix.len()));
        Self {
            exact: exact.into_iter().map(|(host, entries)| (host, entries.into())).collect(),
            below: below.into(),
            any: any.into(),
        }
    }

    /// The most specific route that fits.
    pub fn find(&self, asked: Asked<'_>) -> Option<&Arc<Route>> {
        let by_host = asked.host.and_then(|host| {
            let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
            let below = self.below.iter().filter(|(suffix, _)| host.ends_with(suffix));
            exact
                .into_iter()
                .chain(below.map(|(_, entries)| entries))
                .find_map(|entries| first_fit(entries, asked))
        });
        by_host.or_else(|| first_fit(&self.any, asked))
    }
}

fn first_fit<'a>(entries: &'a [Entry], asked: Asked<'_>) -> Option<&'a Arc<Route>> {
    entries.iter().find(|entry| entry.fits.fits(asked)).map(|entry| &entry.route)
}

/// How much a route asks of a request, but for its host.
fn precision(route: &config::Route) -> (u8, usize, bool, usize) {
    let (kind, length) = match (&route.path, &route.prefix) {
        (Some(path), _) => (2, path.as_str().len()),
        (None, Some(prefix)) => (1, prefix.as_str().trim_end_matches('/').len()),
        (None, None) => (0, 0),
    };
    (kind, length, !route.methods.is_empty(), route.match_headers.0.len())
}

// === impl Fits ===

impl Fits {
    fn new(route: &config::Route) -> Self {
        let path = match (&route.path, &route.prefix) {
            (Some(path), _) => Path::Exact(path.as_str().into()),
            (None, Some(prefix)) => match prefix.as_str().trim_end_matches('/') {
                "" => Path::Any,
                prefix => Path::Prefix(prefix.into()),
            },
            (None, None) => Path::Any,
        };
        Self {
            path,
            methods: route.methods.iter().map(|method| method.0.clone()).collect(),
            fields: route.match_headers.0.clone().into(),
        }
    }

    fn fits(&self, asked: Asked<'_>) -> bool {
        let path = match &self.path {
            Path::Any => true,
            Path::Exact(path) => asked.path == &**path,
            Path::Prefix(prefix) => asked
                .path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        };
        path && (self.methods.is_empty() || self.methods.contains(asked.method))
            && self.fields.iter().all(|(name, value)| match value {
                Some(value) => asked.headers.get_all(name).iter().any(|sent| sent == value),
                None => asked.headers.contains_key(name),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Routes that answer with their own names.
    fn routes(text: &str) -> Routes {
        let config: config::Config = toml::from_str(text).unwrap();
        Routes::new(config.routes.iter().map(|written| {
            let route = Route::named(written.name.clone().unwrap_or_default());
            (written.clone(), Arc::new(route))
        }))
    }

    fn found<'a>(routes: &'a Routes, host: &str, path: &str) -> Option<&'a str> {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let host = (!host.is_empty()).then_some(host.as_bytes());
        let asked = Asked { host, path, method: &method, headers: &headers };
        routes.find(asked).map(|route| route.name())
    }

    #[test]
    fn a_prefix_ends_where_a_segment_does() {
        let routes = routes(
            "[[route]]\nname = 'api'\nprefix = '/api'\nanswer = {}\n\
             [[route]]\nname = 'slash'\nprefix = '/static/'\nanswer = {}\n",
        );
        for (path, name) in [
            ("/api", Some("api")),
            ("/api/", Some("api")),
            ("/api/x", Some("api")),
            ("/apiary", None),
            ("/API", None),
            ("/static", Some("slash")),
            ("/static/x", Some("slash")),
            ("/staticx", None),
            ("/", None),
        ] {
            assert_eq!(found(&routes, "", path), name, "{path}");
        }
    }

    #[test]
    fn the_most_specific_wins_whatever_the_order() {
        let mut parts = [
            "[[route]]\nname = 'default'\nanswer = {}\n",
            "[[route]]\nname = 'a'\nprefix = '/a'\nanswer = {}\n",
            "[[route]]\nname = 'ab'\nprefix = '/a/b'\nanswer = {}\n",
            "[[route]]\nname = 'exact'\npath = '/a/b'\nanswer = {}\n",
            "[[route]]\nname = 'host'\nhosts = ['x.test']\nanswer = {}\n",
            "[[route]]\nname = 'wild'\nhosts = ['*.test']\nanswer = {}\n",
            "[[route]]\nname = 'wilder'\nhosts = ['*.y.test']\nanswer = {}\n",
        ];
        for _ in 0..2 {
            let routes = routes(&parts.concat());
            for (host, path, name) in [
                ("", "/", "default"),
                ("", "/a/x", "a"),
                ("", "/a/b/c", "ab"),
                ("", "/a/b", "exact"),
                ("x.test", "/a/b", "host"),
                ("z.test", "/", "wild"),
                ("z.y.test", "/", "wilder"),
                ("y.test", "/", "wild"),
                ("test", "/a/x", "a"),
                ("other", "/", "default"),
            ] {
                assert_eq!(found(&routes, host, path), Some(name), "{host} {path}");
            }
            parts.reverse();
        }
    }

    #[test]
    fn a_route_of_the_host_that_does_not_fit_leaves_the_request_to_the_others() {
        let routes = routes(
            "[[route]]\nname = 'host'\nhosts = ['x.test']\npath = '/only'\nanswer = {}\n\
             [[route]]\nname = 'rest'\nanswer = {}\n",
        );
        assert_eq!(found(&routes, "x.test", "/only"), Some("host"));
        assert_eq!(found(&routes, "x.test", "/else"), Some("rest"));
    }

    #[test]
    fn methods_and_fields_must_fit_too() {
        let routes = routes(
            "[[route]]\nname = 'post'\nmethods = ['POST']\nanswer = {}\n\
             [[route]]\nname = 'two'\nmatch_headers = { x-v = '2' }\nanswer = {}\n\
             [[route]]\nname = 'both'\nmatch_headers = { x-v = '2', x-w = '*' }\nanswer = {}\n",
        );
        let find = |method: Method, fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let asked = Asked { host: None, path: "/", method: &method, headers: &headers };
            routes.find(asked).map(|route| route.name().to_owned())
        };
        assert_eq!(find(Method::GET, &[]), None);
        assert_eq!(find(Method::POST, &[]).as_deref(), Some("post"));
        assert_eq!(find(Method::GET, &[("x-v", "1"), ("x-v", "2")]).as_deref(), Some("two"));
        assert_eq!(find(Method::GET, &[("x-v", "2"), ("x-w", "")]).as_deref(), Some("both"));
        assert_eq!(find(Method::GET, &[("x-v", "3")]), None);
    }

    #[test]
    fn between_equals_the_first_of_the_file_wins() {
        let routes = routes(
            "[[route]]\nname = 'first'\nprefix = '/a'\nanswer = {}\n\
             [[route]]\nname = 'second'\nprefix = '/a/'\nanswer = {}\n",
        );
        assert_eq!(found(&routes, "", "/a/x"), Some("first"));
    }
}
