//! What both are asked.

use crate::backends::exchange::Request;

/// A request, and how much of the answers has to be the same.
pub struct Case {
    pub request: Request,
    pub body: Body,
    /// Headers that have to be there, whatever their value.
    pub volatile: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The same values.
    Json,
    /// The same values, a document a line.
    JsonLines,
    /// The same values once decoded.
    Compressed,
    /// The same names and types: the texts are each one's own.
    Shape,
    /// The same bytes.
    Bytes,
    /// As many bytes: they are random.
    Length,
    /// Each one's own words.
    Ignored,
}

pub fn cases() -> Vec<Case> {
    let mut cases = echoes();
    cases.extend(bodies());
    cases.extend(statuses());
    cases.extend(sizes());
    cases.extend(formats());
    cases.extend(state());
    cases.extend(conditions());
    cases.extend(methods());
    cases
}

fn get(target: &str, body: Body) -> Case {
    of(Request::get(target), body)
}

fn of(request: Request, body: Body) -> Case {
    Case { request, body, volatile: &[] }
}

fn echoes() -> Vec<Case> {
    let forwarded = |target: &str| {
        Request::get(target)
            .header("X-Forwarded-For", "192.0.2.1, 198.51.100.7")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "public.test")
            .header("X-Request-Id", "abc")
            .header("X-Real-Ip", "192.0.2.1")
            .header("Via", "1.1 proxy")
    };
    vec![
        get("/get", Body::Json),
        get("/get?a=1&a=2&b=&c&d=x+y%26z&%E4%B8%AD=%E6%96%87", Body::Json),
        get("/get?=nameless&&x", Body::Json),
        get("/get?x=%41%2d%7Eb%20%26", Body::Json),
        get("/anything/%41%2d%7E%20x", Body::Json),
        of(forwarded("/get"), Body::Json),
        of(forwarded("/get?show_env=1"), Body::Json),
        of(forwarded("/headers"), Body::Json),
        of(forwarded("/ip"), Body::Json),
        of(Request::get("/get").header("X-Forwarded-Ssl", "on"), Body::Json),
        of(Request::get("/get").header("X-Forwarded-Protocol", "wss"), Body::Json),
        of(Request::get("/headers").header("x-b3-id", "1").header("x-3com", "2"), Body::Json),
        of(Request::get("/headers").header("X-Two", "1").header("X-Two", "2"), Body::Json),
        get("/ip", Body::Json),
        of(Request::get("/user-agent").header("User-Agent", "lab/1"), Body::Json),
        get("/anything", Body::Json),
        get("/anything/a/b%20c/%E4%B8%AD?x=1", Body::Json),
        of(Request::new("HEAD", "/get"), Body::Ignored),
    ]
}

fn bodies() -> Vec<Case> {
    let multipart = "multipart/form-data; boundary=cut";
    let parts = b"--cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --cut\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n\
        --cut\r\nContent-Disposition: form-data; name=\"text\"; filename=\"f.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nhello\r\n\
        --cut\r\nContent-Disposition: form-data; name=\"image\"; filename=\"f.png\"\r\n\
        Content-Type: image/png\r\n\r\n\x89PNG\xff\r\n--cut--\r\n";
    let mut cases = Vec::new();
    for (method, target) in [
        ("POST", "/post"),
        ("PUT", "/put"),
        ("PATCH", "/patch"),
        ("DELETE", "/delete"),
        ("POST", "/anything/x"),
        ("POST", "/delay/0"),
    ] {
        let request = Request::new(method, target);
        let with =
            |media_type: &str, body: &[u8]| of(request.clone().body(media_type, body), Body::Json);
        cases.extend([
            of(request.clone(), Body::Json),
            with("application/json", b"{\"a\": [1, 2.5, null, \"\xe4\xb8\xad\"]}"),
            with("application/json", b"{broken"),
            with("text/plain", "中文".as_bytes()),
            with("text/plain", b"[1]"),
            with("application/octet-stream", b"\x00\xff\xfe"),
            with("application/x-www-form-urlencoded", b"a=1&b=x+y&a=2&c="),
            with(multipart, parts),
        ]);
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        cases.push(of(Request::new(method, "/anything"), Body::Json));
    }
    let mut chunked = Request::new("POST", "/post").header("Transfer-Encoding", "chunked");
    chunked.raw_body = Some(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec());
    cases.push(of(chunked, Body::Json));
    cases
}

fn statuses() -> Vec<Case> {
    let mut cases: Vec<_> = [
        200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 404, 405,
        407, 410, 429, 500, 502, 503, 504, 599, 999,
    ]
    .into_iter()
    .map(|code| get(&format!("/status/{code}"), Body::Bytes))
    .collect();
    for codes in ["402", "406", "418", "200,500:0", "200:0,503"] {
        cases.push(get(&format!("/status/{codes}"), Body::Ignored));
    }
    cases.push(get("/status/abc", Body::Bytes));
    cases.push(get("/status/200:1", Body::Bytes));
    cases.push(of(Request::new("POST", "/status/503"), Body::Bytes));
    cases
}

fn sizes() -> Vec<Case> {
    let ranged = |value: &str| of(Request::get("/range/100").header("Range", value), Body::Bytes);
    let mut cases = vec![
        get("/bytes/0", Body::Bytes),
        get("/bytes/64", Body::Length),
        get("/bytes/200000", Body::Length),
        get("/bytes/1000?seed=1", Body::Bytes),
        get("/bytes/1000?seed=-5", Body::Bytes),
        get("/bytes/100?seed=9007199254740993", Body::Bytes),
        get("/bytes/abc", Body::Ignored),
        get("/bytes/-1", Body::Ignored),
        get("/stream-bytes/1000?seed=7&chunk_size=100", Body::Bytes),
        get("/stream-bytes/30000?seed=7", Body::Bytes),
        get("/stream-bytes/20", Body::Length),
        get("/stream/3?a=1", Body::JsonLines),
        get("/stream/0", Body::JsonLines),
        get("/stream/101", Body::JsonLines),
        get("/drip?duration=0.05&numbytes=5", Body::Bytes),
        get("/drip?duration=0&numbytes=50&code=206&delay=0.01", Body::Bytes),
        get("/drip?numbytes=0", Body::Bytes),
        get("/delay/0.01?x=1", Body::Json),
        get("/range/26", Body::Bytes),
        get("/range/100?chunk_size=10&duration=0.02", Body::Bytes),
        get("/range/0", Body::Bytes),
        get("/range/200000", Body::Bytes),
    ];
    for value in ["10-19", "10-", "-10", "-1000", "0-99", "0-100", "200-", "20-10", "0-1,5-6", "5"]
    {
        cases.push(ranged(&format!("bytes={value}")));
    }
    cases.push(ranged("lines=1-2"));
    cases
}

fn formats() -> Vec<Case> {
    vec![
        get("/gzip", Body::Compressed),
        get("/deflate", Body::Compressed),
        get("/json", Body::Shape),
        get("/uuid", Body::Shape),
        get("/html", Body::Ignored),
        get("/", Body::Ignored),
        get("/response-headers?X-A=1&X-A=2", Body::Json),
        of(Request::new("POST", "/response-headers?X-A=1"), Body::Json),
        get("/response-headers", Body::Json),
    ]
}

fn state() -> Vec<Case> {
    let with = |target: &str, name: &str, value: &str, body: Body| {
        of(Request::get(target).header(name, value), body)
    };
    vec![
        get("/cookies", Body::Json),
        with("/cookies", "Cookie", "a=1; b=\"x y\"; c=; a=2; d=\"\\073\"", Body::Json),
        get("/cookies/set?a=1&b=x%20y&a=2&c=%22%3B%5C", Body::Ignored),
        get("/cookies/set/name/value", Body::Ignored),
        get("/cookies/delete?a=&b", Body::Ignored),
        get("/redirect/1", Body::Ignored),
        get("/redirect/5", Body::Ignored),
        get("/redirect/5?absolute=TRUE", Body::Ignored),
        get("/relative-redirect/2", Body::Ignored),
        get("/absolute-redirect/1", Body::Ignored),
        get("/absolute-redirect/3", Body::Ignored),
        get("/basic-auth/user/secret", Body::Bytes),
        with("/basic-auth/user/secret", "Authorization", "Basic dXNlcjpzZWNyZXQ=", Body::Json),
        with("/basic-auth/user/secret", "Authorization", "Basic dXNlcjp3cm9uZw==", Body::Bytes),
        with("/basic-auth/user/secret", "Authorization", "nonsense", Body::Bytes),
        get("/bearer", Body::Bytes),
        with("/bearer", "Authorization", "Bearer abc", Body::Json),
        with("/bearer", "Authorization", "Basic abc", Body::Bytes),
    ]
}

fn conditions() -> Vec<Case> {
    let with = |target: &str, name: &str, value: &str| {
        let target = Request::get(target);
        of(target.header(name, value), Body::Ignored)
    };
    let mut fresh = get("/cache", Body::Json);
    fresh.volatile = &["etag"];
    vec![
        fresh,
        with("/cache", "If-None-Match", "x"),
        with("/cache", "If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        get("/cache/60", Body::Json),
        get("/cache/x", Body::Ignored),
        get("/etag/abc", Body::Json),
        with("/etag/abc", "If-None-Match", "abc"),
        with("/etag/abc", "If-None-Match", "\"x\", W/\"abc\""),
        with("/etag/abc", "If-None-Match", "*"),
        with("/etag/abc", "If-None-Match", "x"),
        with("/etag/abc", "If-Match", "\"abc\""),
        with("/etag/abc", "If-Match", "x"),
        with("/etag/abc", "If-Match", "*"),
    ]
}

fn methods() -> Vec<Case> {
    let mut cases: Vec<_> = [
        ("POST", "/get"),
        ("GET", "/post"),
        ("PUT", "/patch"),
        ("DELETE", "/put"),
        ("HEAD", "/delete"),
        ("DELETE", "/status/200,"),
        ("POST", "/bytes/1"),
        ("PATCH", "/response-headers"),
        ("OPTIONS", "/get"),
        ("OPTIONS", "/post"),
        ("OPTIONS", "/anything"),
        ("OPTIONS", "/nothing"),
        ("GET", "/nothing"),
        ("GET", "/anything/"),
        ("GET", "/get/"),
    ]
    .into_iter()
    .map(|(method, target)| of(Request::new(method, target), Body::Ignored))
    .collect();
    let preflight = Request::new("OPTIONS", "/post")
        .header("Origin", "http://a.test")
        .header("Access-Control-Request-Headers", "x-a, x-b");
    cases.push(of(preflight, Body::Ignored));
    cases
}
