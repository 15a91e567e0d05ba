use super::*;

fn order(url: &str) -> Order {
    Order {
        url: url.into(),
        count: None,
        duration: None,
        concurrency: 1,
        rate: None,
        method: None,
        headers: Vec::new(),
        data: None,
        host: None,
        http2: false,
        insecure: false,
        timeout: Duration::from_secs(1),
        direct: None,
        keep_alive: true,
    }
}

fn sent(order: Order) -> Vec<(String, String)> {
    let plan = Plan::new(order).expect("a valid order");
    plan.message.sent.into_iter().map(|header| (header.name, header.value)).collect()
}

fn refused(order: Order) -> PlanError {
    Plan::new(order).expect_err("an order that makes no sense")
}

#[test]
fn a_batch_without_a_limit_gets_one() {
    assert_eq!(Plan::new(order("a")).expect("valid").count, Some(DEFAULT_COUNT));
    let timed = Order { duration: Some(Duration::from_secs(1)), ..order("a") };
    assert_eq!(Plan::new(timed).expect("valid").count, None);
}

#[test]
fn urls_are_read_as_people_type_them() {
    for (typed, url, authority) in [
        ("127.0.0.1:6188", "http://127.0.0.1:6188/", "127.0.0.1:6188"),
        ("localhost:1/get?x=1#top", "http://localhost:1/get?x=1", "localhost:1"),
        ("http://[::1]:80/", "http://[::1]/", "[::1]:80"),
        ("https://a.test", "https://a.test/", "a.test:443"),
        ("http://a.test/后端", "http://a.test/%E5%90%8E%E7%AB%AF", "a.test:80"),
    ] {
        let plan = Plan::new(order(typed)).expect(typed);
        assert_eq!(plan.target.as_str(), url);
        assert_eq!(plan.message.endpoint.authority(), authority);
    }
    for typed in ["", "http://", "ftp://a/", "http://a:99999/", "http://a:0/", "http://a b/"] {
        assert!(matches!(refused(order(typed)), PlanError::Url { .. }), "{typed}");
    }
    assert_eq!(refused(order("http://me:secret@a/")), PlanError::Credentials);
}

#[test]
fn the_host_names_the_port_only_where_it_is_not_the_schemes_own() {
    for (url, host) in [("http://a:80/", "a"), ("https://a/", "a"), ("https://a:80/", "a:80")] {
        assert!(sent(order(url)).contains(&("host".into(), host.into())), "{url}");
    }
}

#[test]
fn a_header_replaces_the_probes_own_and_may_be_there_twice() {
    let headers = ["User-Agent: me", "X-Two: 1", "x-two: 2"].map(String::from).to_vec();
    let sent = sent(Order { headers, ..order("a") });
    let agents: Vec<_> = sent.iter().filter(|(name, _)| name == "user-agent").collect();
    assert_eq!(agents, [&("user-agent".to_owned(), "me".to_owned())]);
    assert_eq!(sent.iter().filter(|(name, _)| name == "x-two").count(), 2);
}

#[test]
fn a_body_makes_it_a_post_with_a_length() {
    let plan = Plan::new(Order { data: Some("text".into()), ..order("a") }).expect("valid");
    assert_eq!(plan.message.method, Method::POST);
    assert!(plan.message.sent.contains(&Header::new("content-length", "4")));
    let put = Order { method: Some("put".into()), ..order("a") };
    assert!(sent(put).contains(&("content-length".into(), "0".into())));
}

#[test]
fn in_http2_the_host_is_the_authority_and_no_header() {
    let host = Some("b.test".to_owned());
    let plan = Plan::new(Order { http2: true, host, ..order("a:81/x") }).expect("valid");
    assert_eq!(plan.message.uri, "http://b.test/x");
    assert!(plan.message.headers.get("host").is_none());
    assert!(plan.message.sent.contains(&Header::new("host", "b.test")));
    assert_eq!(plan.message.endpoint.authority(), "a:81");
}

#[test]
fn the_backend_is_asked_for_the_same_path_unless_it_names_another() {
    let direct = |url: &str| {
        let order = Order { direct: Some(url.into()), ..order("a/get?x=1") };
        Plan::new(order).expect("valid").direct.expect("a direct message").uri
    };
    assert_eq!(direct("http://b:81"), "/get?x=1");
    assert_eq!(direct("http://b:81/other"), "/other");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let header = |text: &str| Order { headers: vec![text.into()], ..order("a") };
    assert_eq!(refused(Order { count: Some(0), ..order("a") }), PlanError::Count);
    assert_eq!(refused(Order { concurrency: 0, ..order("a") }), PlanError::Concurrency(0));
    for rate in [0.0, -1.0, 1e-9, 1e9] {
        assert_eq!(refused(Order { rate: Some(rate), ..order("a") }), PlanError::Rate(rate));
    }
    assert!(matches!(
        refused(Order { rate: Some(f64::NAN), ..order("a") }),
        PlanError::Rate(rate) if rate.is_nan()
    ));
    for text in ["none", "a b: c", ": c", "x: a\nb"] {
        assert_eq!(refused(header(text)), PlanError::Header(text.into()));
    }
    assert_eq!(refused(header("Content-Length: 9")), PlanError::Framing("content-length".into()));
    assert_eq!(
        refused(Order { http2: true, ..header("Connection: close") }),
        PlanError::NotInHttp2("connection".into())
    );
    assert_eq!(refused(Order { host: Some("b".into()), ..header("Host: c") }), PlanError::TwoHosts);
    assert_eq!(refused(header("Host: a b")), PlanError::Host("a b".into()));
    let method = |text: &str| refused(Order { method: Some(text.into()), ..order("a") });
    assert_eq!(method("connect"), PlanError::Connect);
    assert_eq!(method("G T"), PlanError::Method("G T".into()));
    assert!(matches!(
        refused(Order { data: Some("@/nonexistent/file".into()), ..order("a") }),
        PlanError::Data { .. }
    ));
}
