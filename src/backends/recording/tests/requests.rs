//! What is recorded of a request.

use super::*;

#[tokio::test]
async fn a_request_is_recorded_as_it_was_spelt() {
    let (recorder, backend) = scene();
    let sent = b"PuT /a?b=%20 HTTP/1.1\r\nhOST:  x\r\nX-One: 1\r\nx-oNE: \xff2\r\n\
        Content-Length: 4\r\n\r\nbody";
    let mut stream = connect(backend.address()).await;
    stream.write_all(sent).await.unwrap();
    expect(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbackend 1").await;

    let received = request(&recorder).await;
    assert_eq!(&*received.backend, "backend 1");
    assert_eq!((received.method.as_str(), received.target.as_str()), ("PuT", "/a?b=%20"));
    assert_eq!((received.minor_version, received.path()), (1, "/a"));
    let headers: Vec<_> = received.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let expected = [("hOST", "x"), ("X-One", "1"), ("x-oNE", "\u{fffd}2"), ("Content-Length", "4")];
    assert_eq!(headers, expected);
    assert_eq!(received.values("x-one"), ["1", "\u{fffd}2"]);
    assert_eq!(received.raw_head, &sent[..sent.len() - 4]);
    assert_eq!((&received.body[..], received.body_bytes), (&b"body"[..], 4));
    assert!(received.body_done_at.unwrap() >= received.at);
    let log = recorder.log();
    let connected = log.connections().next().unwrap();
    assert_eq!(connected.peer, stream.local_addr().unwrap());
    assert_eq!(connected.bytes_received, sent.len() as u64);
    assert_eq!(connected.connection, received.connection);
}

#[tokio::test]
async fn the_head_is_recorded_before_the_body_comes() {
    let (recorder, backend) = scene();
    let mut stream = connect(backend.address()).await;
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\n").await.unwrap();
    let head = wait_for(&recorder, |log| log.requests().next().cloned()).await;
    assert!(!head.complete && head.body_done_at.is_none());
    stream.write_all(b"abc").await.unwrap();
    wait_for(&recorder, |log| log.requests().find(|it| it.body_bytes == 3).cloned()).await;
    stream.write_all(b"def").await.unwrap();
    let whole = request(&recorder).await;
    assert_eq!(&whole.body[..], b"abcdef");
    assert_eq!(whole.at, head.at);
    assert_eq!(recorder.read(|log| log.requests().count()), 1);
}

#[tokio::test]
async fn of_a_body_that_ends_too_early_is_kept_what_came() {
    for (framing, sent) in
        [("Content-Length: 6", "abc"), ("Transfer-Encoding: chunked", "6\r\nabc")]
    {
        let (recorder, backend) = scene();
        let mut stream = connect(backend.address()).await;
        let head = format!("POST / HTTP/1.1\r\n{framing}\r\n\r\n{sent}");
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
        let closed = ending(&recorder).await;
        assert_eq!(closed.ending, Ending::ByPeer);
        assert_eq!(closed.bytes_received, head.len() as u64);
        let received = recorder.log().requests().next().unwrap().clone();
        assert!(!received.complete && received.framing_error.is_none());
        assert_eq!((&received.body[..], received.body_bytes), (&b"abc"[..], 3));
    }
}

#[tokio::test]
async fn a_chunked_body_and_its_trailers_are_recorded() {
    let (recorder, backend) = scene();
    let sent = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n";
    let (answers, _) = exchange(backend.address(), sent).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    let received = request(&recorder).await;
    assert_eq!(&received.body[..], b"abcde");
    assert_eq!(received.trailers, [("X-Sum".to_owned(), "5".to_owned())]);
}

#[tokio::test]
async fn a_large_body_comes_whole() {
    let (recorder, backend) = scene();
    let body: Vec<u8> = (0..3_000_000u32).map(|index| (index % 251) as u8).collect();
    let mut stream = connect(backend.address()).await;
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
    stream.write_all(&body).await.unwrap();
    assert!(request(&recorder).await.body == body);
    // And goes back whole.
    backend.set_to(|received| Act::Answer(Reply::ok(received.body.clone()).close()));
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.ends_with(&body));
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_one_by_one() {
    let (recorder, backend) = scene();
    backend.set_to(|received| {
        let reply = Reply::ok(received.target.clone());
        // The second waits for nothing, and still comes second.
        if received.target == "/1" {
            Act::Answer(reply).after(Duration::from_millis(50))
        } else {
            Act::Answer(reply.close())
        }
    });
    let (answers, error) =
        exchange(backend.address(), b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n").await;
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/2"
    );
    assert_eq!(error, None);
    let nth: Vec<_> = recorder.log().requests().map(|it| it.nth_on_connection).collect();
    assert_eq!(nth, [1, 2]);
    let _ = exchange(backend.address(), b"GET /3 HTTP/1.1\r\n\r\n").await;
    assert_eq!(recorder.log().requests_per_connection("backend 1"), [2, 1]);
    assert_eq!(recorder.log().requests_per_connection("backend 2"), [0; 0]);
}

#[tokio::test]
async fn a_connection_lasts_as_its_requests_say() {
    let (_recorder, backend) = scene();
    let next = "GET /next HTTP/1.1\r\nConnection: close\r\n\r\n";
    for (request, kept) in [
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false),
    ] {
        let (answers, _) = exchange(backend.address(), format!("{request}{next}").as_bytes()).await;
        assert_eq!(answers.matches("200 OK").count(), if kept { 2 } else { 1 }, "{request}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it() {
    let (recorder, backend) = scene();
    let mut stream = connect(backend.address()).await;
    let head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head).await.unwrap();
    expect(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"hi").await.unwrap();
    expect(&mut stream, "HTTP/1.1 200 OK\r\n").await;
    assert_eq!(&request(&recorder).await.body[..], b"hi");
}

#[tokio::test]
async fn an_early_behaviour_decides_before_the_body() {
    let (recorder, backend) = scene();
    backend.set_early(Some(Arc::new(|received| {
        (received.target == "/early").then(|| Act::Answer(Reply::new(413).body("too much")))
    })));
    let mut stream = connect(backend.address()).await;
    let head = b"POST /early HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 8000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let answer = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
    assert_eq!(rest(&mut stream).await, (answer.to_owned(), None));
    // What still comes is taken: a connection that is closed with bytes unread
    // is reset, and the answer may be lost.
    stream.write_all(&[b'x'; 8000]).await.unwrap();
    let bytes = head.len() as u64 + 8000;
    wait_for(&recorder, |log| log.connections().find(|it| it.bytes_received == bytes).cloned())
        .await;
    assert!(!recorder.log().requests().next().unwrap().complete);
    // Another request is left to the behaviour; one without a body keeps the
    // connection.
    let sent = b"GET /early HTTP/1.1\r\n\r\nGET /late HTTP/1.0\r\n\r\n";
    let (answers, _) = exchange(backend.address(), sent).await;
    assert!(answers.contains("413") && answers.contains("200 OK"), "{answers}");
}

#[tokio::test]
async fn a_body_that_cannot_be_told_is_refused_and_recorded() {
    for sent in [
        &b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let (recorder, backend) = scene();
        let (answer, error) = exchange(backend.address(), sent).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert_eq!(error, None);
        let received = recorder.log().requests().next().unwrap().clone();
        assert!(!received.complete && received.framing_error.is_some());
    }
}

#[tokio::test]
async fn what_is_not_http_is_kept_raw() {
    let (recorder, backend) = scene();
    let hello = [&[0x16, 3, 1, 0xff, 0xff, 1], &[7; 300][..]].concat();
    let mut stream = connect(backend.address()).await;
    stream.write_all(&hello).await.unwrap();
    expect(&mut stream, "HTTP/1.1 400 Bad Request\r\n").await;
    let garbage = wait_for(&recorder, |log| log.garbage().next().cloned()).await;
    assert_eq!(garbage.bytes, &hello[..]);
    // What comes later is kept too, up to a limit.
    stream.write_all(&vec![9; 100_000]).await.unwrap();
    let all = wait_for(&recorder, |log| {
        log.garbage().find(|it| it.bytes.len() == 64 * 1024).map(|it| it.bytes.clone())
    })
    .await;
    assert!(all.starts_with(&hello) && all.ends_with(&[9; 1000]));
    assert_eq!(recorder.read(|log| log.requests().count()), 0);
}

#[tokio::test]
async fn half_a_head_is_no_request() {
    let (recorder, backend) = scene();
    let mut stream = connect(backend.address()).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    drop(stream);
    assert_eq!(ending(&recorder).await.ending, Ending::ByPeer);
    let log = recorder.log();
    assert_eq!(log.garbage().next().unwrap().bytes, &b"GET / HTTP/1.1\r\nHo"[..]);
    assert_eq!((log.requests().count(), log.bare_connects_to("backend 1").count()), (0, 0));
}
