//! The trace that a request belongs to, and what rules can say of a request.

use crate::support::{Balancer, Upstream, get};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_trace_is_passed_on_or_begun_and_is_in_the_log() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[format!("a={}", upstream.address)], &[]);
    let parent = format!("Traceparent: {PARENT}");
    let ask = |fields: &[&str]| {
        get(balancer.address, "/", fields);
        upstream.received().pop().unwrap()
    };
    let passed = ask(&["X-Request-Id: passed", &parent, "Tracestate: congo=t61"]);
    assert_eq!(passed.values("traceparent"), [PARENT]);
    assert_eq!(passed.values("tracestate"), ["congo=t61"]);
    assert_eq!(balancer.access("passed")["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");

    for (id, fields) in [
        ("none", &["Tracestate: congo=t61"][..]),
        ("invalid", &["Traceparent: 00-0-0-00", "Tracestate: congo=t61"]),
        ("two", &[parent.as_str(), parent.as_str()]),
    ] {
        let id_field = format!("X-Request-Id: {id}");
        let begun = ask(&[&[id_field.as_str()], fields].concat());
        let [parent] = begun.values("traceparent")[..] else { panic!("{begun:?}") };
        assert_eq!((parent.len(), &parent[..3], &parent[52..]), (55, "00-", "-00"), "{id}");
        assert!(begun.values("tracestate").is_empty(), "{id}");
        assert_eq!(balancer.access(id)["trace_id"], parent[3..35], "{id}");
    }
}

#[test]
fn none_is_begun_where_that_is_switched_off() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::configured(&format!(
        "[trace]\nbegin = false\n[[pool]]\n[[pool.backend]]\naddress = '{}'\n",
        upstream.address
    ));
    get(balancer.address, "/", &["X-Request-Id: one", "Traceparent: nonsense"]);
    assert_eq!(upstream.received()[0].values("traceparent"), ["nonsense"]);
    assert_eq!(balancer.access("one").get("trace_id"), None);
}

#[test]
fn rules_can_say_all_there_is_to_say_of_a_request() {
    let upstream = Upstream::named("a");
    let names = [
        "client_port",
        "server_port",
        "scheme",
        "method",
        "path",
        "query",
        "protocol",
        "route",
        "pool",
        "upstream_address",
        "attempts",
        "trace_id",
        "time",
    ];
    let rules: String = names.map(|name| format!("x-{name} = \"${name}\"\n")).concat();
    let rules = rules.replace('_', "-").replace("$client-port", "$client_port");
    let rules = rules.replace("$server-port", "$server_port").replace("$trace-id", "$trace_id");
    let rules = rules.replace("$upstream-address", "$upstream_address");
    let balancer = Balancer::configured(&format!(
        "[headers.request.set]\n{rules}[headers.response.set]\n{rules}\
         [[pool]]\nname = 'shop'\n[[pool.backend]]\naddress = '{}'\n\
         [[route]]\nname = 'all'\npool = 'shop'\n",
        upstream.address
    ));
    let parent = format!("Traceparent: {PARENT}");
    let answer = get(balancer.address, "/a%20b?c=$d", &[&parent]);
    let sent = upstream.received().pop().unwrap();
    let upstream_address = upstream.address.to_string();
    let port = balancer.address.port().to_string();
    for (name, expected) in [
        ("server-port", port.as_str()),
        ("scheme", "http"),
        ("method", "GET"),
        ("path", "/a%20b"),
        ("query", "c=$d"),
        ("protocol", "HTTP/1.1"),
        ("route", "all"),
        ("pool", "shop"),
        ("upstream-address", &upstream_address),
        ("attempts", "1"),
        ("trace-id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        let name = format!("x-{name}");
        assert_eq!(sent.values(&name), [expected], "{name}");
        assert_eq!(answer.header(&name), Some(expected), "{name}");
    }
    let time: jiff::Timestamp = answer.header("x-time").unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(time).abs();
    assert!(age < jiff::SignedDuration::from_secs(60), "{age:?}");
    assert!(sent.values("x-client-port")[0].parse::<u16>().is_ok());

    // What is not there is left out.
    let bare = get(balancer.address, "/", &[]);
    assert_eq!(bare.header("x-query"), None);
}
