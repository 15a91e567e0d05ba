//! Which pages of other origins may read answers.

use std::io::Write;

use crate::support::{Answer, Balancer, Client, Upstream};

/// A backend with a word of its own on CORS, behind a policy.
fn guarded() -> (Upstream, Balancer) {
    let upstream = Upstream::scripted(|_, stream| {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nVary: Accept\r\n\
                      Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Origin: x\r\n\
                      Access-Control-Max-Age: 9\r\n\r\napp";
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let dead = Upstream::dead();
    let balancer = Balancer::configured(&format!(
        "[cors.pages]
        origins = ['https://a.test', 'https://*.b.test']
        methods = ['PUT']
        headers = ['x-one']
        expose = ['etag']
        credentials = true
        [cors.all]
        origins = ['*']
        [access.nobody]
        deny = ['0.0.0.0/0']
        [rate_limit.one]
        requests = 1
        per = '1h'
        [[pool]]\n[[pool.backend]]\nname = 'app'\naddress = '{}'
        [[pool]]\nname = 'dead'\n[[pool.backend]]\naddress = '{dead}'
        [[route]]\npool = 'default'\ncors = 'pages'
        [[route]]\nprefix = '/all'\npool = 'default'\ncors = 'all'
        [[route]]\nprefix = '/none'\npool = 'default'
        [[route]]\nprefix = '/dead'\npool = 'dead'\ncors = 'pages'
        [[route]]\nprefix = '/closed'\npool = 'default'\ncors = 'pages'\naccess = ['nobody']
        [[route]]\nprefix = '/one'\npool = 'default'\ncors = 'pages'\nrate_limit = ['one']
        [[route]]\nprefix = '/fixed'\nanswer = {{ body = 'x' }}\ncors = 'pages'\n",
        upstream.address
    ));
    (upstream, balancer)
}

const ORIGIN: &str = "Origin: https://a.test";
const ASKS: &str = "Access-Control-Request-Method: PUT";

fn ask(client: &mut Client, method: &str, path: &str, fields: &[&str]) -> Answer {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
    client.answer().expect("an answer")
}

/// The one origin that an answer names.
fn named(answer: &Answer) -> Option<&str> {
    assert!(answer.count("access-control-allow-origin") <= 1, "{answer:?}");
    answer.header("access-control-allow-origin")
}

#[test]
fn a_preflight_is_answered_and_reaches_no_backend() {
    let (upstream, balancer) = guarded();
    let mut client = Client::connect(balancer.address);
    for path in ["/x", "/fixed", "/dead", "/one", "/one", "/one"] {
        let answer = ask(&mut client, "OPTIONS", path, &[ORIGIN, ASKS, "X-Request-Id: pre"]);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        assert_eq!(named(&answer), Some("https://a.test"), "{path}");
        for (name, value) in [
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-one"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "300"),
            ("vary", "Origin"),
            ("x-proxy", "pingora-demo"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
    }
    let stranger = ask(&mut client, "OPTIONS", "/x", &["Origin: https://evil.test", ASKS]);
    assert_eq!((stranger.status, named(&stranger)), (204, None));
    assert_eq!(stranger.header("access-control-allow-methods"), None);
    let closed = ask(&mut client, "OPTIONS", "/closed", &[ORIGIN, ASKS]);
    assert_eq!(closed.status, 403);
    assert_eq!(upstream.received().len(), 0);
    assert_eq!(balancer.access("pre")["status"], 204);
    // None of these is a preflight.
    for (method, fields) in
        [("OPTIONS", &[ORIGIN][..]), ("OPTIONS", &[ASKS]), ("PUT", &[ORIGIN, ASKS])]
    {
        assert_eq!(ask(&mut client, method, "/x", fields).text(), "app", "{method} {fields:?}");
    }
    assert_eq!(ask(&mut client, "OPTIONS", "/none", &[ORIGIN, ASKS]).text(), "app");
    assert_eq!(upstream.received().len(), 4);
}

#[test]
fn an_answer_names_the_origin_once_and_only_if_it_is_allowed() {
    let (_upstream, balancer) = guarded();
    let mut client = Client::connect(balancer.address);
    let answer = client.get("/x", &[ORIGIN]);
    assert_eq!((answer.text().as_str(), named(&answer)), ("app", Some("https://a.test")));
    assert_eq!(answer.header("access-control-expose-headers"), Some("etag"));
    assert_eq!(answer.header("access-control-max-age"), None);
    let vary = |answer: &Answer| -> Vec<String> {
        let all = answer.headers.iter().filter(|(name, _)| name == "vary");
        all.map(|(_, value)| value.clone()).collect()
    };
    assert_eq!(vary(&answer), ["Accept", "Origin"]);
    assert_eq!(named(&client.get("/x", &["Origin: https://x.b.test"])), Some("https://x.b.test"));
    for fields in [&["Origin: https://evil.test"][..], &["Origin: null"], &[ORIGIN, ORIGIN], &[]] {
        let answer = client.get("/x", fields);
        assert_eq!((answer.status, named(&answer)), (200, None), "{fields:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(vary(&answer), ["Accept", "Origin"], "{fields:?}");
    }
    let all = client.get("/all", &["Origin: https://evil.test"]);
    assert_eq!((named(&all), vary(&all)), (Some("*"), vec!["Accept".to_owned()]));
    // Without a policy it is the backend's word.
    assert_eq!(client.get("/none", &[ORIGIN]).count("access-control-allow-origin"), 2);
}

#[test]
fn scripts_can_read_why_the_proxy_refused() {
    let (_upstream, balancer) = guarded();
    let mut client = Client::connect(balancer.address);
    assert_eq!(client.get("/one", &[ORIGIN]).status, 200);
    for (path, status) in [("/one", 429), ("/closed", 403), ("/fixed", 200), ("/dead", 503)] {
        let answer = client.get(path, &[ORIGIN]);
        assert_eq!((answer.status, named(&answer)), (status, Some("https://a.test")), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{path}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{path}");
    }
}

#[test]
fn a_preflight_needs_no_credentials_and_nothing_else_goes_without() {
    let upstream = Upstream::named("app");
    let balancer = Balancer::configured(&format!(
        "[cors.pages]
        origins = ['https://a.test']
        methods = ['PUT']
        headers = ['authorization', 'x-api-key']
        credentials = true
        [auth.who.api_key]
        keys = {{ build = 'a key of build, long' }}
        [[pool]]\n[[pool.backend]]\nname = 'app'\naddress = '{}'
        [[route]]\npool = 'default'\ncors = 'pages'\nauth = 'who'
        [[route]]\nprefix = '/bare'\npool = 'default'\nauth = 'who'\n",
        upstream.address
    ));
    let mut client = Client::connect(balancer.address);
    let headers = "Access-Control-Request-Headers: x-api-key";
    for fields in [&[ORIGIN, ASKS][..], &[ORIGIN, ASKS, headers, "X-Api-Key: wrong"]] {
        let answer = ask(&mut client, "OPTIONS", "/x", fields);
        assert_eq!((answer.status, named(&answer)), (204, Some("https://a.test")), "{fields:?}");
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, Some("authorization, x-api-key"));
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let stranger = ask(&mut client, "OPTIONS", "/x", &["Origin: https://evil.test", ASKS]);
    assert_eq!((stranger.status, named(&stranger)), (204, None));
    // None of these is a preflight, or its route knows none.
    for (method, path, fields) in [
        ("OPTIONS", "/x", &[ORIGIN][..]),
        ("OPTIONS", "/x", &[ASKS]),
        ("GET", "/x", &[ORIGIN, ASKS]),
        ("PUT", "/x", &[ORIGIN, ASKS]),
        ("PUT", "/x", &[ORIGIN, "X-Api-Key: wrong"]),
        ("OPTIONS", "/bare", &[ORIGIN, ASKS]),
    ] {
        let answer = ask(&mut client, method, path, fields);
        assert_eq!(answer.status, 401, "{method} {path} {fields:?}");
        assert!(answer.header("www-authenticate").is_some());
        // A script can read why, where its page may read anything.
        let told = path == "/x" && fields.contains(&ORIGIN);
        assert_eq!(named(&answer), told.then_some("https://a.test"), "{method} {path} {fields:?}");
    }
    assert_eq!(upstream.received().len(), 0);
    let key = "X-Api-Key: a key of build, long";
    let answer = ask(&mut client, "PUT", "/x", &[ORIGIN, key]);
    assert_eq!((answer.text().as_str(), named(&answer)), ("app", Some("https://a.test")));
    assert_eq!(upstream.received().len(), 1);
}
