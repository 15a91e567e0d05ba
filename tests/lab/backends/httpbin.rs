//! The stand-in for httpbin.org, where no real one is needed to know what is
//! right.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{Duration, Instant};

use flate2::read::{GzDecoder, ZlibDecoder};
use pingora_lab::backends::Site;
use serde_json::{Value, json};

use super::Lab;
use super::exchange::{Answer, Request};

fn ask(lab: &Lab, request: &Request) -> Answer {
    lab.fetch(Site::Httpbin, request)
}

fn get(lab: &Lab, target: &str) -> Answer {
    lab.get(Site::Httpbin, target)
}

#[test]
fn a_request_is_echoed() {
    let lab = Lab::start();
    let host = lab.address(Site::Httpbin).to_string();
    let request = Request::get("/get?a=1&b=&a=2&c=%E4%B8%AD").header("x-b3-id", "7");
    let answer = ask(&lab, &request);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "args": { "a": ["1", "2"], "b": "", "c": "中" },
        "headers": { "Connection": "close", "Host": host, "X-B3-Id": "7" },
        "origin": "127.0.0.1",
        "url": format!("http://{host}/get?a=1&b=&a=2&c=中"),
    });
    assert_eq!(answer.json(), expected);
}

#[test]
fn a_body_is_echoed_by_its_type() {
    let lab = Lab::start();
    let post = |media_type: &str, body: &[u8]| {
        let request = Request::new("POST", "/post").body(media_type, body);
        let echo = ask(&lab, &request).json();
        ["data", "form", "files", "json"].map(|field| echo[field].clone())
    };
    let none = json!({});
    let form = "application/x-www-form-urlencoded";
    let expected = [json!(""), json!({ "a": ["1", "3"], "b": "x y" }), none.clone(), Value::Null];
    assert_eq!(post(form, b"a=1&b=x+y&a=3"), expected);
    let text = "{\"a\": [1, null]}";
    let expected = [json!(text), none.clone(), none.clone(), json!({ "a": [1, null] })];
    assert_eq!(post("application/json", text.as_bytes()), expected);
    let url = "data:application/octet-stream;base64,AP8=";
    let expected = [json!(url), none.clone(), none.clone(), Value::Null];
    assert_eq!(post("image/png", b"\x00\xff"), expected);

    let parts = b"--cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --cut\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.png\"\r\n\
        Content-Type: image/png\r\n\r\n\x00\xff\r\n--cut--\r\n";
    let expected =
        [json!(""), json!({ "a": "1" }), json!({ "f": "data:image/png;base64,AP8=" }), Value::Null];
    assert_eq!(post("multipart/form-data; boundary=cut", parts), expected);
    // Without a boundary nothing can be found in it.
    let expected = [json!(""), none.clone(), none, Value::Null];
    assert_eq!(post("multipart/form-data", parts), expected);
}

#[test]
fn a_large_part_of_a_form_is_whole() {
    let lab = Lab::start();
    let size = 5 * 1024 * 1024;
    let head = "--cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";
    let body = [head.as_bytes(), &vec![b'a'; size], b"\r\n--cut--\r\n"].concat();
    let request = Request::new("PUT", "/put").body("multipart/form-data; boundary=cut", body);
    assert_eq!(ask(&lab, &request).json()["form"]["a"].as_str().map(str::len), Some(size));
}

#[test]
fn who_asked_and_with_which_scheme_is_what_the_proxy_says() {
    let lab = Lab::start();
    let request = Request::get("/get")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("X-Forwarded-For", "198.51.100.7")
        .header("X-Forwarded-Proto", "https")
        .header("X-Request-Id", "1");
    let echo = ask(&lab, &request).json();
    assert_eq!(echo["origin"], "192.0.2.1,198.51.100.7");
    assert!(echo["url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(echo["headers"].get("X-Request-Id"), None, "hidden unless asked for");
    let request = Request { target: "/headers?show_env=1".to_owned(), ..request };
    let headers = &ask(&lab, &request).json()["headers"];
    assert_eq!(headers["X-Request-Id"], "1");
    assert_eq!(headers["X-Forwarded-Proto"], "https");
}

#[test]
fn a_status_comes_as_often_as_its_weight() {
    let lab = Lab::start();
    for code in [200, 201, 299, 404, 418, 500, 503, 599, 999] {
        assert_eq!(get(&lab, &format!("/status/{code}")).status, code);
    }
    for codes in ["abc", "99", "1000", "100", "101", "200,", "200:x,500", "200:0,404:0"] {
        assert_eq!(get(&lab, &format!("/status/{codes}")).status, 400, "{codes}");
    }
    for _ in 0..20 {
        assert_eq!(get(&lab, "/status/200:0,503:1").status, 503);
    }
    // That 64 fair choices are all the same has a chance of 1 in 2^63.
    let seen: BTreeSet<_> = (0..64).map(|_| get(&lab, "/status/200,503").status).collect();
    assert_eq!(seen, BTreeSet::from([200, 503]));
}

#[test]
fn time_is_taken_as_asked() {
    let lab = Lab::start();
    let timed = |target: &str| {
        let start = Instant::now();
        let answer = get(&lab, target);
        (answer, start.elapsed())
    };
    let (answer, took) = timed("/delay/0.2");
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert_eq!(answer.json().get("json"), None);
    let (answer, took) = timed("/drip?numbytes=5&duration=0.25&delay=0.1&code=201");
    // The last of five pieces comes after four pauses of 50 ms.
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!((answer.status, answer.text()), (201, "*****"));
    let (answer, took) = timed("/range/20?duration=0.2&chunk_size=5");
    assert!(took >= Duration::from_millis(150), "{took:?}");
    assert_eq!(answer.text(), "abcdefghijklmnopqrst");
    for target in ["/delay/x", "/delay/-1", "/delay/nan", "/drip?duration=x", "/drip?numbytes=0"] {
        assert_eq!(get(&lab, target).status, 400, "{target}");
    }
}

#[test]
fn a_drip_of_many_bytes_has_them_all() {
    let lab = Lab::start();
    let answer = get(&lab, "/drip?numbytes=100003&duration=0.05");
    assert_eq!(answer.body.len(), 100_003);
    assert!(answer.body.iter().all(|byte| *byte == b'*'));
}

#[test]
fn lines_are_streamed_in_order() {
    let lab = Lab::start();
    let answer = get(&lab, "/stream/1000?a=1");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 100, "the limit");
    for (number, line) in lines.iter().enumerate() {
        assert_eq!((&line["id"], &line["args"]), (&json!(number), &json!({ "a": "1" })));
    }
}

#[test]
fn bytes_are_as_many_as_asked_and_the_seed_decides_them() {
    let lab = Lab::start();
    assert_eq!(get(&lab, "/bytes/1000000").body.len(), 100 * 1024, "the limit");
    assert_eq!(get(&lab, "/bytes/99999999999999999999999").body.len(), 100 * 1024);
    let seeded = get(&lab, "/bytes/100?seed=1").body;
    assert_eq!(get(&lab, "/stream-bytes/100?seed=1&chunk_size=7").body, seeded);
    assert_ne!(get(&lab, "/bytes/100?seed=2").body, seeded);
    assert_ne!(get(&lab, "/bytes/100").body, get(&lab, "/bytes/100").body);
    for target in ["/bytes/-1", "/bytes/x", "/stream/1.5", "/redirect/x"] {
        assert_eq!(get(&lab, target).status, 404, "{target}");
    }
    assert_eq!(get(&lab, "/bytes/5?seed=x").status, 400);
}

#[test]
fn encoded_bodies_decode_to_json() {
    let lab = Lab::start();
    let gzipped = get(&lab, "/gzip");
    let mut text = String::new();
    GzDecoder::new(gzipped.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["gzipped"], true);
    assert_eq!(gzipped.header("content-encoding"), Some("gzip"));
    let deflated = get(&lab, "/deflate");
    let mut text = String::new();
    ZlibDecoder::new(deflated.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["deflated"], true);
    assert_eq!(deflated.header("content-encoding"), Some("deflate"));
}

#[test]
fn each_uuid_is_another() {
    let lab = Lab::start();
    let uuid = || get(&lab, "/uuid").json()["uuid"].as_str().unwrap().to_owned();
    let first = uuid();
    assert_eq!(uuid::Uuid::parse_str(&first).unwrap().get_version_num(), 4);
    assert_ne!(first, uuid());
}

#[test]
fn cookies_that_are_set_come_back() {
    let lab = Lab::start();
    let set = get(&lab, "/cookies/set?a=1&b=x%3B%22y&a=2");
    assert_eq!((set.status, set.header("location")), (302, Some("/cookies")));
    let pairs: Vec<_> =
        set.all("set-cookie").map(|cookie| cookie.strip_suffix("; Path=/").unwrap()).collect();
    let shown = ask(&lab, &Request::get("/cookies").header("Cookie", &pairs.join("; ")));
    assert_eq!(shown.json(), json!({ "cookies": { "a": "1", "b": "x;\"y" } }));
    assert_eq!(get(&lab, "/cookies/set?a%3Bb=1").status, 400);
    assert_eq!(get(&lab, "/cookies/set?=1").status, 400);
    let deleted = get(&lab, "/cookies/delete?a");
    assert!(deleted.header("set-cookie").unwrap().starts_with("a=; Expires=Thu, 01 Jan 1970"));
}

#[test]
fn redirects_count_down_to_get() {
    let lab = Lab::start();
    let mut target = "/redirect/3".to_owned();
    let mut steps = Vec::new();
    loop {
        let answer = get(&lab, &target);
        let Some(next) = answer.header("location") else { break };
        target = next.to_owned();
        steps.push(answer.status);
    }
    assert_eq!((target.as_str(), steps.as_slice()), ("/get", [302, 302, 302].as_slice()));
    let host = lab.address(Site::Httpbin);
    let absolute = get(&lab, "/redirect/2?absolute=true");
    let expected = format!("http://{host}/absolute-redirect/1");
    assert_eq!(absolute.header("location"), Some(expected.as_str()));
    assert_eq!(get(&lab, "/redirect/0").status, 400);
}

#[test]
fn credentials_are_checked() {
    let lab = Lab::start();
    let with = |target: &str, value: &str| {
        ask(&lab, &Request::get(target).header("Authorization", value)).status
    };
    // "user:pass:word" and "user:other".
    assert_eq!(with("/basic-auth/user/pass:word", "Basic dXNlcjpwYXNzOndvcmQ="), 200);
    assert_eq!(with("/basic-auth/user/pass:word", "Basic dXNlcjpvdGhlcg=="), 401);
    assert_eq!(with("/basic-auth/user/pass:word", "Bearer dXNlcjpwYXNzOndvcmQ="), 401);
    assert_eq!(with("/basic-auth/user/pass:word", "Basic ???"), 401);
    let asked = get(&lab, "/basic-auth/a/b");
    assert_eq!(asked.header("www-authenticate"), Some("Basic realm=\"Fake Realm\""));
    assert_eq!(with("/bearer", "Bearer token"), 200);
    assert_eq!(with("/bearer", "Basic token"), 401);
}

#[test]
fn conditions_are_kept() {
    let lab = Lab::start();
    let with = |target: &str, name: &str, value: &str| {
        ask(&lab, &Request::get(target).header(name, value)).status
    };
    assert_eq!(with("/etag/abc", "If-None-Match", "\"x\", W/\"abc\""), 304);
    assert_eq!(with("/etag/abc", "If-None-Match", "\"x\""), 200);
    assert_eq!(with("/etag/abc", "If-Match", "\"x\""), 412);
    assert_eq!(with("/etag/abc", "If-Match", "*"), 200);
    assert_eq!(with("/cache", "If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"), 304);
    let fresh = get(&lab, "/cache");
    assert!(fresh.header("etag").is_some() && fresh.header("last-modified").is_some());
    assert_eq!(get(&lab, "/cache/60").header("cache-control"), Some("public, max-age=60"));
}

#[test]
fn response_headers_describe_themselves_and_cannot_break_the_message() {
    let lab = Lab::start();
    let answer = get(&lab, "/response-headers?X-A=1&X-B=2&X-A=3");
    assert_eq!(answer.all("x-a").collect::<Vec<_>>(), ["1", "3"]);
    let described = answer.json();
    assert_eq!(described["X-A"], json!(["1", "3"]));
    assert_eq!(described["Content-Length"].as_str(), answer.header("content-length"));
    let reserved =
        ["Content-Length=1", "transfer-encoding=gzip", "Connection=close", "x-lab-backend=x"];
    for pair in reserved.into_iter().chain(["a%20b=1", "a=1%0d%0aX:2"]) {
        let answer = get(&lab, &format!("/response-headers?{pair}"));
        assert_eq!((answer.status, answer.header("x")), (400, None), "{pair}");
    }
}

#[test]
fn methods_that_a_path_lacks_are_named() {
    let lab = Lab::start();
    let wrong = ask(&lab, &Request::new("PATCH", "/post"));
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST,OPTIONS")));
    let asked = Request::new("OPTIONS", "/get").header("Origin", "http://a.test");
    let options = ask(&lab, &asked);
    assert_eq!((options.status, options.header("allow")), (200, Some("GET,HEAD,OPTIONS")));
    assert_eq!(options.header("access-control-allow-origin"), Some("http://a.test"));
    assert_eq!(get(&lab, "/nothing").status, 404);
    assert_eq!(get(&lab, "/").status, 200);
}
