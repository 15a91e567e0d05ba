//! The client against the recording backend, which can be told to do anything.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::backends::recording::{
    Act, Afterwards, Framing, Gate, Recorder, RecordingBackend, Reply,
};

/// Longer than any event here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

fn scene(act: Act) -> (Recorder, RecordingBackend, Client) {
    let recorder = Recorder::new();
    let backend = RecordingBackend::start(&recorder, "backend 1").unwrap();
    backend.always(act);
    let client = Client::new(backend.address()).patience(PATIENCE);
    (recorder, backend, client)
}

/// What a client makes of an answer with these bytes, behind which the
/// connection is closed, reset or kept.
async fn raw(bytes: &'static str, afterwards: Afterwards) -> Result<Answer, Trouble> {
    let (_recorder, _backend, client) =
        scene(Act::Raw(Bytes::from_static(bytes.as_bytes()), afterwards));
    let patience = if afterwards == Afterwards::Keep { 100 } else { 30_000 };
    client.patience(Duration::from_millis(patience)).get("/").await
}

async fn closed(bytes: &'static str) -> Result<Answer, Trouble> {
    raw(bytes, Afterwards::Close).await
}

fn headers(answer: &Answer) -> Vec<(&str, &str)> {
    answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_spelt() {
    let (recorder, _backend, client) = scene(Act::Answer(Reply::new(204)));
    let request = Request::new("pATCH", "/a?b=%20//").header("hOST", "x").header("X-A", b"\xff");
    let cases = [
        (request.clone(), "hOST: x\r\nX-A: \u{fffd}\r\n\r\n", 1, ""),
        (
            request.clone().body("hi"),
            "hOST: x\r\nX-A: \u{fffd}\r\nContent-Length: 2\r\n\r\n",
            1,
            "hi",
        ),
        (
            request.clone().chunked("hello", 2),
            "hOST: x\r\nX-A: \u{fffd}\r\nTransfer-Encoding: chunked\r\n\r\n",
            1,
            "hello",
        ),
        (request.http10(), "hOST: x\r\nX-A: \u{fffd}\r\n\r\n", 0, ""),
    ];
    for (request, fields, version, body) in cases {
        client.send(&request).await.unwrap();
        let received = recorder.log().requests().last().unwrap().clone();
        let head = format!("pATCH /a?b=%20// HTTP/1.{version}\r\n{fields}");
        assert_eq!(String::from_utf8_lossy(&received.raw_head), head);
        assert_eq!(received.body, body.as_bytes());
    }
    let chunked = Request::new("POST", "/").chunked("hello", 2).to_bytes();
    assert!(chunked.ends_with(b"\r\n\r\n2\r\nhe\r\n2\r\nll\r\n1\r\no\r\n0\r\n\r\n"));
    client.get("/host").await.unwrap();
    let received = recorder.log().requests().last().unwrap().clone();
    assert_eq!(received.values("Host"), [client.target.to_string()]);
}

#[tokio::test]
async fn an_answer_is_reported_as_it_was_spelt() {
    let reply = Reply::new(299)
        .reason("fine by me")
        .header("sEt-Cookie", "a=1")
        .header("X-Raw", b"\xff")
        .header("Set-Cookie", "b=2")
        .body("hello");
    let (_recorder, backend, client) = scene(Act::Hang);
    for (framing, field, reusable) in [
        (Framing::ContentLength, Some(("Content-Length", "5")), true),
        (Framing::Chunked(2), Some(("Transfer-Encoding", "chunked")), true),
        (Framing::UntilClose, None, false),
    ] {
        let reply = reply.clone().framing(framing);
        backend.always(Act::Answer(reply.clone()));
        let answer = client.get("/").await.unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (299, "fine by me"));
        assert_eq!(answer.minor_version, 1);
        let mut expected =
            vec![("sEt-Cookie", "a=1"), ("X-Raw", "\u{fffd}"), ("Set-Cookie", "b=2")];
        expected.extend(field);
        assert_eq!(headers(&answer), expected);
        assert_eq!(answer.values("set-cookie"), ["a=1", "b=2"]);
        assert!(reply.to_bytes("GET").starts_with(&answer.raw_head));
        assert!(answer.raw_head.ends_with(b"\r\n\r\n"));
        assert_eq!((answer.text().as_str(), answer.reusable), ("hello", reusable), "{framing:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_ends_at_its_head() {
    let (_recorder, backend, client) = scene(Act::Answer(Reply::ok("hello")));
    let answer = client.send(&client.request("HEAD", "/")).await.unwrap();
    assert_eq!((answer.text().as_str(), answer.values("content-length")), ("", vec!["5"]));
    assert!(answer.reusable);
    for status in [204, 304] {
        backend.always(Act::Answer(Reply::new(status)));
        let answer = client.get("/").await.unwrap();
        assert!(answer.status == status && answer.body.is_empty() && answer.reusable);
    }
}

#[tokio::test]
async fn informational_answers_come_before() {
    let answer = closed(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.informational, [100, 103]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(headers(&answer), [("Content-Length", "2")]);
}

#[tokio::test]
async fn trailers_are_reported() {
    let answer = closed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n",
    );
    let answer = answer.await.unwrap();
    assert_eq!(answer.trailers, [("X-Sum".to_owned(), "2".to_owned())]);
}

#[tokio::test]
async fn the_time_is_that_of_the_answer() {
    let (_recorder, _backend, client) =
        scene(Act::Answer(Reply::ok("late")).after(Duration::from_millis(80)));
    let begun = Instant::now();
    let answer = client.get("/").await.unwrap();
    assert!(answer.took >= Duration::from_millis(80) && answer.took <= begun.elapsed());
}

#[tokio::test]
async fn nobody_there_is_told_from_nobody_who_answers() {
    let (_recorder, backend, client) = scene(Act::Hang);
    backend.refuse().unwrap();
    assert_eq!(client.get("/").await.unwrap_err(), Trouble::Refused);

    // A full backlog: the system takes no further connection, and says nothing.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let target = listener.local_addr().unwrap().as_socket().unwrap();
    let _filling = Client::new(target).connect().await.unwrap();
    let after = Duration::from_millis(100);
    let trouble = Client::new(target).patience(after).connect().await.unwrap_err();
    assert_eq!(trouble, Trouble::ConnectTimedOut { after });

    let nowhere = Client::new(client.target).from(Ipv4Addr::new(192, 0, 2, 1).into());
    assert!(matches!(nowhere.get("/").await.unwrap_err(), Trouble::NoSuchAddress { .. }));
}

#[tokio::test]
async fn an_answer_that_never_begins_is_told_by_how() {
    let after = Duration::from_millis(100);
    for (act, trouble) in [
        (Act::CloseBeforeAnswer, Trouble::EmptyReply),
        (Act::ResetBeforeAnswer, Trouble::Reset),
        (Act::Hang, Trouble::NoAnswer { after }),
    ] {
        let patience = if matches!(act, Act::Hang) { after } else { PATIENCE };
        let (_recorder, _backend, client) = scene(act);
        assert_eq!(client.patience(patience).get("/").await.unwrap_err(), trouble);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_told_by_what_came() {
    let kept = Cut::PatienceOver(Duration::from_millis(100));
    let cases = [
        (Afterwards::Close, Cut::Closed),
        (Afterwards::Reset, Cut::Reset),
        (Afterwards::Keep, kept),
    ];
    for (afterwards, because) in cases {
        let head = raw("HTTP/1.1 200 O", afterwards).await.unwrap_err();
        let arrived = Bytes::from_static(b"HTTP/1.1 200 O");
        let missing = Missing::Head { bytes: 14 };
        assert_eq!(head, Trouble::Incomplete { missing, because, status: None, arrived });

        let body = raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", afterwards).await;
        let (status, arrived) = (Some(200), Bytes::from_static(b"hello"));
        let missing = Missing::Body { bytes: 5, expected: 9 };
        let expected = Trouble::Incomplete { missing, because, status, arrived: arrived.clone() };
        assert_eq!(body.unwrap_err(), expected);

        let chunks =
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", afterwards);
        let missing = Missing::BodyOfUnknownLength { bytes: 5 };
        let expected = Trouble::Incomplete { missing, because, status, arrived };
        assert_eq!(chunks.await.unwrap_err(), expected);
    }
    // A body until the close of the connection ends with it, but not with a
    // reset.
    let text = "HTTP/1.1 200 OK\r\n\r\nhello";
    assert_eq!(closed(text).await.unwrap().text(), "hello");
    assert!(matches!(raw(text, Afterwards::Reset).await, Err(Trouble::Incomplete { .. })));
}

#[tokio::test]
async fn what_is_not_http_is_shown() {
    for text in ["SSH-2.0-x\r\n", "\x16\x03\x01", "HTTP/2 200\r\n\r\n", "H\r\n"] {
        let first = Bytes::from_static(text.as_bytes());
        assert_eq!(closed(text).await.unwrap_err(), Trouble::NotHttp { first });
    }
}

#[tokio::test]
async fn framing_that_contradicts_itself_is_reported() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let Err(Trouble::Framing { status, raw_head, .. }) = closed(text).await else {
            panic!("{text:?} is taken");
        };
        assert!(status == 200 && text.as_bytes().starts_with(&raw_head) && raw_head.len() > 30);
    }
}

#[tokio::test]
async fn a_connection_takes_several_requests() {
    let (recorder, _backend, client) = scene(Act::Answer(Reply::ok("again")));
    let mut connection = client.connect().await.unwrap();
    for _ in 0..3 {
        let answer = connection.send(&client.request("GET", "/")).await.unwrap();
        assert!(answer.reusable && answer.text() == "again");
    }
    assert_eq!(recorder.log().requests_per_connection("backend 1"), [3]);
    let peer = recorder.log().connections().next().unwrap().peer;
    assert_eq!(connection.local_address().unwrap(), peer);
}

#[tokio::test]
async fn a_connection_that_will_end_is_not_reusable() {
    for (text, reusable) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore", false),
    ] {
        assert_eq!(closed(text).await.unwrap().reusable, reusable, "{text:?}");
    }
}

#[tokio::test]
async fn requests_can_be_sent_in_parts_and_together() {
    let (recorder, backend, client) = scene(Act::Hang);
    backend.set_to(|received| Act::Answer(Reply::ok(received.target.clone())));
    let mut connection = client.connect().await.unwrap();
    connection.write(b"GET /1 HTTP/1.1\r\nHo").await.unwrap();
    let waits = recorder.wait_for(Instant::now() + PATIENCE, |log| {
        log.connections().find(|it| it.bytes_received == 19).map(|_| log.requests().count())
    });
    assert_eq!(waits.await, Some(0));
    connection.write(b"st: a\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await.unwrap();
    connection.finish().await.unwrap();
    assert_eq!(connection.read_answer("GET").await.unwrap().text(), "/1");
    assert_eq!(connection.read_answer("GET").await.unwrap().text(), "/2");
    assert_eq!(connection.end().await, Some(Cut::Closed));
}

#[tokio::test]
async fn an_aborted_connection_is_reset() {
    let (recorder, _backend, client) = scene(Act::Hold(Gate::closed(), Reply::ok("never")));
    let mut connection = client.connect().await.unwrap();
    connection.write(&client.request("GET", "/").to_bytes()).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let connected =
        recorder.wait_for(deadline, |log| log.requests().next().map(|it| it.connection));
    let connected = connected.await.unwrap();
    connection.abort();
    let closed = recorder.wait_for(deadline, |log| log.closed(connected).cloned()).await.unwrap();
    assert_eq!(closed.ending, crate::backends::recording::Ending::ResetByPeer);
}

#[tokio::test]
async fn how_a_server_ends_a_connection_is_told() {
    let (_recorder, backend, client) = scene(Act::ResetBeforeAnswer);
    let request = client.request("GET", "/").to_bytes();
    let mut connection = client.connect().await.unwrap();
    connection.write(&request).await.unwrap();
    assert_eq!(connection.end().await, Some(Cut::Reset));
    let mut connection = client.patience(Duration::from_millis(50)).connect().await.unwrap();
    assert_eq!(connection.end().await, None);
    backend.close_connections();
    assert_eq!(connection.end().await, Some(Cut::Closed));
}

#[tokio::test]
async fn a_request_comes_from_the_address_that_was_asked_for() {
    let (recorder, _backend, client) = scene(Act::Answer(Reply::new(204)));
    let from = IpAddr::from([127, 0, 0, 2]);
    client.from(from).get("/").await.unwrap();
    assert_eq!(recorder.log().connections().next().unwrap().peer.ip(), from);
}

/// A server that answers before it has the whole request is heard, even if it
/// then takes no more of it.
#[tokio::test]
async fn an_early_answer_is_an_answer() {
    let (_recorder, backend, client) = scene(Act::Hang);
    backend.set_early(Some(std::sync::Arc::new(|_| {
        Some(Act::Answer(Reply::new(413).body("too much")))
    })));
    let body = vec![0; 20_000_000];
    let answer = client.send(&client.request("POST", "/").body(body)).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str(), answer.reusable), (413, "too much", false));
}

/// So is one that a reset follows, as when a server closes with bytes unread,
/// and without it the reset is called one, whichever way it was noticed.
#[tokio::test]
#[cfg(target_os = "linux")] // Elsewhere a reset may take the answer with it.
async fn a_reset_inside_the_request_is_told_from_an_answer() {
    let (_recorder, backend, client) = scene(Act::Hang);
    let request = client.request("POST", "/").body(vec![0; 20_000_000]);
    for _ in 0..10 {
        let answer = Reply::new(413).to_bytes("POST");
        backend.set_early(Some(std::sync::Arc::new(move |_| {
            Some(Act::Raw(answer.clone(), Afterwards::Reset))
        })));
        assert_eq!(client.send(&request).await.unwrap().status, 413);
        backend.set_early(Some(std::sync::Arc::new(|_| Some(Act::ResetBeforeAnswer))));
        assert_eq!(client.send(&request).await.unwrap_err(), Trouble::Reset);
    }
}

#[tokio::test]
async fn a_large_body_goes_and_comes_whole() {
    let (_recorder, backend, client) = scene(Act::Hang);
    backend.set_to(|received| {
        Act::Answer(Reply::ok(received.body.clone()).framing(Framing::Chunked(10_000)))
    });
    let body: Vec<u8> = (0..8_000_000u32).map(|index| (index % 251) as u8).collect();
    for request in [
        client.request("POST", "/").body(body.clone()),
        client.request("POST", "/").chunked(body.clone(), 7_777),
    ] {
        assert!(client.send(&request).await.unwrap().body == body);
    }
}

#[test]
fn trouble_is_told_in_words() {
    let after = Duration::from_millis(4000);
    let missing = Missing::Body { bytes: 5, expected: 9 };
    let incomplete = |because| Trouble::Incomplete {
        missing,
        because,
        status: Some(200),
        arrived: Bytes::new(),
    };
    for (trouble, text) in [
        (Trouble::NoAnswer { after }, "no answer within 4000 ms"),
        (
            incomplete(Cut::Closed),
            "the answer is incomplete: 5 of 9 bytes of its body came, then the connection was closed",
        ),
        (
            incomplete(Cut::PatienceOver(after)),
            "the answer is incomplete: 5 of 9 bytes of its body came, then nothing more within 4000 ms",
        ),
        (
            Trouble::NotHttp { first: Bytes::from_static(b"\x16\x03a") },
            "what came is not HTTP/1: \\x16\\x03a",
        ),
    ] {
        assert_eq!(trouble.to_string(), text);
    }
}
