use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

fn sent() -> Vec<Header> {
    list(&[
        ("host", "a:1"),
        ("user-agent", "probe"),
        ("x-lab-observe", "1"),
        ("x", "1"),
        ("x", "2"),
    ])
}

fn list(headers: &[(&str, &str)]) -> Vec<Header> {
    headers.iter().map(|(name, value)| Header::new(name, *value)).collect()
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::try_from(*name).expect("a name"),
            HeaderValue::from_str(value).expect("a value"),
        );
    }
    map
}

fn encode(headers: &[(&str, &str)]) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(headers).expect("pairs are JSON"))
}

fn ask_request(headers: &[(&str, &str)], body: &str, baseline: Option<&Baseline>) -> Finding {
    let headers = map(headers);
    let answer = Answer { status: 200, headers: &headers, body: Some(body.as_bytes()) };
    request(&sent(), &answer, baseline)
}

fn ask_response(headers: &[(&str, &str)], baseline: Option<&Baseline>) -> Finding {
    let headers = map(headers);
    response(&Answer { status: 200, headers: &headers, body: None }, baseline)
}

#[test]
fn a_lab_report_is_believed() {
    let report = encode(&[
        ("x-lab-observe", "1"),
        ("x", "1"),
        ("x", "2"),
        ("host", "b"),
        ("user-agent", "probe"),
        ("via", "p"),
    ]);
    let (difference, witness) =
        ask_request(&[("x-lab-observed-request", &report)], "", None).expect("a report");
    assert_eq!(witness, Witness::Lab);
    assert_eq!(difference.added, list(&[("via", "p")]));
    assert_eq!(difference.changed.len(), 1);
    assert_eq!(difference.changed[0].to, "b");
}

#[test]
fn a_report_that_is_too_long_broken_or_there_twice_is_unknown() {
    let asked = |headers: &[(&str, &str)]| ask_request(headers, "", None).expect_err("no report");
    assert_eq!(asked(&[]), Unknown::NoWitness);
    assert_eq!(asked(&[("x-lab-observed-omitted", "response, request")]), Unknown::TooLong);
    assert_eq!(asked(&[("x-lab-observed-omitted", "response")]), Unknown::NoWitness);
    assert_eq!(asked(&[("x-lab-observed-request", "%%%")]), Unknown::Unreadable);
    let no_pairs = URL_SAFE_NO_PAD.encode("{}");
    assert_eq!(asked(&[("x-lab-observed-request", &no_pairs)]), Unknown::Unreadable);
    let good = encode(&[]);
    let twice = [("x-lab-observed-request", good.as_str()), ("x-lab-observed-request", &good)];
    assert_eq!(asked(&twice), Unknown::Unreadable);
}

#[test]
fn an_echo_shows_additions_but_never_removals() {
    let body = r#"{"headers": {"Host": "b", "X": "1,2", "User-Agent": "probe", "Via": "p"}}"#;
    let (difference, witness) = ask_request(&[], body, None).expect("an echo");
    assert_eq!(witness, Witness::Echo);
    assert_eq!(difference.added, list(&[("via", "p")]));
    assert_eq!(difference.changed.len(), 1, "{difference:?}");
    assert_eq!(difference.removed, []);
}

#[test]
fn a_list_of_values_is_an_echo_too() {
    let body = r#"{"headers": {"X-Lab-Observe": ["1"], "X": ["1", "2"]}}"#;
    let (difference, _) = ask_request(&[], body, None).expect("an echo");
    assert_eq!(difference, Difference::default());
}

#[test]
fn a_body_that_does_not_prove_itself_is_no_echo() {
    for body in [
        "",
        "[]",
        "<html>",
        r#"{"headers": []}"#,
        r#"{"headers": {"Host": "a:1", "X": "1,2"}}"#,
        r#"{"headers": {"User-Agent": "someone else"}}"#,
        r#"{"headers": {"User-Agent": "probe", "X": 1}}"#,
    ] {
        assert_eq!(ask_request(&[], body, None), Err(Unknown::NoWitness), "{body}");
    }
}

#[test]
fn the_backends_own_word_comes_before_the_proxys() {
    let both = map(&[("x-served-by", "p"), ("x-lab-backend", "lab")]);
    let found = backend(&both).expect("two names");
    assert_eq!((found.name.as_str(), found.source), ("lab", BackendSource::Lab));
    let claim = backend(&map(&[("x-served-by", "p")])).expect("one name");
    assert_eq!((claim.name.as_str(), claim.source), ("p", BackendSource::XServedBy));
    assert_eq!(backend(&map(&[])), None);
    assert_eq!(backend(&map(&[("x-lab-backend", "a"), ("x-lab-backend", "b")])), None);
}

#[test]
fn a_direct_fetch_shows_what_the_proxy_did_to_the_response() {
    let first = map(&[("server", "s"), ("date", "1"), ("x-id", "1"), ("etag", "e"), ("age", "1")]);
    let second = map(&[("server", "s"), ("date", "1"), ("x-id", "2"), ("etag", "e")]);
    let answer = |headers| Answer { status: 200, headers, body: None };
    let baseline = Baseline::new(&sent(), &answer(&first), &answer(&second));

    let got = [("date", "2"), ("x-id", "3"), ("etag", "f"), ("x-proxy", "p")];
    let (difference, witness) = ask_response(&got, Some(&baseline)).expect("a baseline");
    assert_eq!(witness, Witness::Direct);
    assert_eq!(difference.added, list(&[("x-proxy", "p")]));
    assert_eq!(difference.removed, list(&[("server", "s")]));
    assert_eq!(difference.changed.len(), 1, "{difference:?}");
    assert_eq!(difference.changed[0].name, "etag");
}

#[test]
fn a_direct_fetch_with_another_status_proves_nothing() {
    let headers = map(&[]);
    let answer = Answer { status: 404, headers: &headers, body: None };
    let baseline = Baseline::new(&sent(), &answer, &answer);
    assert_eq!(ask_response(&[], Some(&baseline)), Err(Unknown::OtherStatus));
}

#[test]
fn what_a_backends_own_front_adds_is_not_the_proxys_doing() {
    let headers = map(&[]);
    let body = br#"{"headers": {"User-Agent": "probe", "X-Amzn-Trace-Id": "1"}}"#;
    let answer = Answer { status: 200, headers: &headers, body: Some(body) };
    let baseline = Baseline::new(&sent(), &answer, &answer);
    let body = r#"{"headers": {"User-Agent": "probe", "X-Amzn-Trace-Id": "2", "Via": "p"}}"#;
    let (difference, _) = ask_request(&[], body, Some(&baseline)).expect("an echo");
    assert_eq!(difference.added, list(&[("via", "p")]));
}
