//! Which requests go where, and what the backend receives.

use crate::support::{Balancer, Upstream, ask, get};

/// A pool with one backend that answers with the request line that it received.
fn mirror(name: &str) -> (Upstream, String) {
    let upstream = Upstream::scripted(move |received, stream| {
        use std::io::Write;
        let body = received.line.clone();
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").is_ok()
    });
    let pool = format!(
        "[[pool]]\nname = '{name}'\n[[pool.backend]]\nname = '{name}.backend'\naddress = '{}'\n",
        upstream.address
    );
    (upstream, pool)
}

/// Which backend answered, and the target that it received.
fn reached(balancer: &Balancer, path: &str, fields: &[&str]) -> (String, String) {
    let answer = get(balancer.address, path, fields);
    assert_eq!(answer.status, 200, "{path} {fields:?}: {}", answer.text());
    let line = answer.text();
    let target = line.split(' ').nth(1).unwrap().to_owned();
    (answer.header("x-served-by").unwrap().replace(".backend", ""), target)
}

#[test]
fn requests_go_by_host_path_method_and_field() {
    let pools = ["web", "api", "shop", "post", "beta"].map(mirror);
    let text: String = pools.iter().map(|(_, pool)| pool.as_str()).collect();
    let balancer = Balancer::configured(&format!(
        "{text}
        [[route]]\npool = 'web'
        [[route]]\nprefix = '/api'\npool = 'api'
        [[route]]\nhosts = ['*.shop.test']\npool = 'shop'
        [[route]]\nprefix = '/api'\nmethods = ['POST']\npool = 'post'
        [[route]]\nmatch_headers = {{ x-beta = 'yes' }}\npool = 'beta'\n"
    ));
    for (path, fields, pool) in [
        ("/", &[][..], "web"),
        ("/api", &[], "api"),
        ("/api/x?q=/..", &[], "api"),
        ("/apiary", &[], "web"),
        ("/api", &["Host: a.SHOP.test:8080"], "shop"),
        ("/", &["Host: shop.test"], "web"),
        ("/", &["X-Beta: yes"], "beta"),
        ("/", &["X-Beta: no"], "web"),
    ] {
        assert_eq!(reached(&balancer, path, fields), (pool.to_owned(), path.to_owned()), "{path}");
    }
    let post = "POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(ask(balancer.address, post).header("x-served-by"), Some("post.backend"));
}

#[test]
fn no_spelling_of_a_path_slips_past_a_route_and_the_backend_gets_what_was_matched() {
    let (public, admin) = (mirror("public"), mirror("admin"));
    let balancer = Balancer::configured(&format!(
        "{}{}
        [[route]]\npool = 'public'
        [[route]]\nprefix = '/admin'\npool = 'admin'\n",
        public.1, admin.1
    ));
    for (path, sent) in [
        ("/admin", "/admin"),
        ("/static/../admin", "/admin"),
        ("/%61dmin/x", "/admin/x"),
        ("//admin", "/admin"),
        ("/./admin?a=%61", "/admin?a=%61"),
        ("/%2e%2e/admin/", "/admin/"),
    ] {
        assert_eq!(reached(&balancer, path, &[]), ("admin".to_owned(), sent.to_owned()), "{path}");
    }
    // What has one reading is left as it was written.
    for path in ["/a%2Fb", "/a;v=1?x=%zz", "/~a/%C3%A4"] {
        assert_eq!(reached(&balancer, path, &[]), ("public".to_owned(), path.to_owned()));
    }
    let absolute = "GET http://a.test/x/../admin HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(ask(balancer.address, absolute).text(), "GET /admin HTTP/1.1");
    let before = public.0.received().len() + admin.0.received().len();
    for path in ["/static/..%2fadmin", "/static/..;/admin", "/%00", "/%zz", "/x/..\\admin"] {
        let answer = get(balancer.address, path, &[]);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["error"]["reason"], "ambiguous_path", "{path}");
    }
    assert_eq!(public.0.received().len() + admin.0.received().len(), before);
}

#[test]
fn prefixes_are_stripped_and_rewritten() {
    let (_upstream, pool) = mirror("app");
    let balancer = Balancer::configured(&format!(
        "{pool}
        [[route]]\nprefix = '/api'\nstrip_prefix = true\npool = 'app'
        [[route]]\nprefix = '/old'\nrewrite = '/new'\npool = 'app'
        [[route]]\npath = '/one'\nrewrite = '/two'\npool = 'app'\n"
    ));
    for (path, sent) in [
        ("/api/x?q=1", "/x?q=1"),
        ("/api", "/"),
        ("/api//x", "/x"),
        ("/old/a", "/new/a"),
        ("/old", "/new"),
        ("/one?x", "/two?x"),
    ] {
        assert_eq!(reached(&balancer, path, &[]).1, sent, "{path}");
    }
}

#[test]
fn routes_redirect_and_answer_by_themselves_over_kept_connections() {
    let (upstream, pool) = mirror("app");
    let balancer = Balancer::configured(&format!(
        "{pool}
        [[route]]\nprefix = '/app'\npool = 'app'
        [[route]]\nprefix = '/docs'\nrewrite = '/manual'\nredirect = {{ host = 'docs.test', scheme = 'https', status = 301 }}
        [[route]]\npath = '/robots.txt'\nanswer = {{ body = 'User-agent: *', content_type = 'text/plain' }}
        [route.headers.response]\nset = {{ cache-control = 'max-age=60' }}
        [[route]]\npath = '/gone'\nanswer = {{ status = 410 }}\n"
    ));
    let mut client = crate::support::Client::connect(balancer.address);
    let mut ask = |path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test:81\r\n\r\n"));
        client.answer().expect("the connection is kept")
    };
    let redirect = ask("/docs/a/../b?q=1");
    assert_eq!(redirect.status, 301);
    assert_eq!(redirect.header("location"), Some("https://docs.test/manual/b?q=1"));
    let robots = ask("/robots.txt");
    assert_eq!((robots.status, robots.text().as_str()), (200, "User-agent: *"));
    assert_eq!(robots.header("content-type"), Some("text/plain"));
    assert_eq!(robots.header("cache-control"), Some("max-age=60"));
    assert_eq!(robots.header("x-proxy"), Some("pingora-demo"), "rules for all hold too");
    assert_eq!(ask("/gone").status, 410);
    let none = ask("/elsewhere");
    assert_eq!((none.status, none.json()["error"]["reason"].as_str()), (404, Some("no_route")));
    assert_eq!(upstream.received().len(), 0);
    assert_eq!(ask("/app").status, 200);
}

#[test]
fn a_route_changes_fields_on_top_of_the_rules_for_all() {
    let (upstream, pool) = mirror("app");
    let balancer = Balancer::configured(&format!(
        "{pool}
        [[route]]\npool = 'app'
        [route.headers.request]\nremove = ['x-proxy-added']\nset = {{ x-route = 'for $client_ip' }}\nadd = {{ via = '1.1 lab' }}
        [route.headers.response]\nremove = ['x-proxy']\n"
    ));
    let answer = get(balancer.address, "/", &["Via: 1.1 first"]);
    assert_eq!(answer.header("x-proxy"), None);
    assert_eq!(answer.header("x-load-balancer"), Some("rust-implementation"));
    let received = &upstream.received()[0];
    assert_eq!(received.values("x-proxy-added"), Vec::<&str>::new());
    assert_eq!(received.values("x-route"), ["for 127.0.0.1"]);
    assert_eq!(received.values("via"), ["1.1 first", "1.1 lab"]);
    assert_eq!(received.values("x-forwarded-by"), ["rust-pingora"]);
}
