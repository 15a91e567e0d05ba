//! What a backend does with a request.

use bytes::Bytes;

use super::*;

async fn ending_of(act: Act, sent: &[u8]) -> (String, Option<io::ErrorKind>, Ending) {
    let (recorder, backend) = scene();
    backend.always(act);
    let (answer, error) = exchange(backend.address(), sent).await;
    (answer, error, ending(&recorder).await.ending)
}

/// What comes of an answer before the backend closes.
async fn answer(method: &str, reply: Reply) -> String {
    let sent = format!("{method} / HTTP/1.1\r\nConnection: close\r\n\r\n");
    let (answer, error, ending) = ending_of(Act::Answer(reply), sent.as_bytes()).await;
    assert_eq!((error, ending), (None, Ending::ByBackend));
    answer
}

#[tokio::test]
async fn an_answer_is_sent_as_it_is_spelt() {
    let reply = Reply::new(299)
        .reason("fine by me")
        .header("sEt-Cookie", "a=1")
        .header("X-Raw", b"\xc3\xa9")
        .header("Set-Cookie", "b=2")
        .body("hello");
    let head = "HTTP/1.1 299 fine by me\r\nsEt-Cookie: a=1\r\nX-Raw: é\r\nSet-Cookie: b=2\r\n";
    let cases = [
        (Framing::ContentLength, "Content-Length: 5\r\n\r\nhello"),
        (Framing::Chunked(4), "Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\n\r\n"),
        (Framing::UntilClose, "\r\nhello"),
    ];
    for (framing, rest) in cases {
        let reply = reply.clone().framing(framing);
        assert_eq!(answer("GET", reply.clone()).await, format!("{head}{rest}"));
        // A request for the head gets the same without the body.
        let end = rest.find("\r\n\r\n").map_or(2, |end| end + 4);
        assert_eq!(answer("HEAD", reply).await, format!("{head}{}", &rest[..end]));
    }
}

#[tokio::test]
async fn answers_that_have_no_body_are_sent_without() {
    for (status, reason) in [(204, "No Content"), (304, "Not Modified")] {
        let reply = Reply::new(status).body("never").header("A", "b");
        assert_eq!(
            answer("GET", reply).await,
            format!("HTTP/1.1 {status} {reason}\r\nA: b\r\n\r\n")
        );
    }
}

#[tokio::test]
async fn a_body_until_close_closes() {
    let reply = Reply::ok("to the end").framing(Framing::UntilClose);
    let (answer, error, ending) = ending_of(Act::Answer(reply), GET).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\nto the end");
    assert_eq!((error, ending), (None, Ending::ByBackend));
}

#[tokio::test]
async fn a_delayed_answer_comes_late() {
    let (_recorder, backend) = scene();
    backend.always(Act::Answer(Reply::ok("late").close()).after(Duration::from_millis(120)));
    let begun = Instant::now();
    let (answer, _) = exchange(backend.address(), GET).await;
    assert!(answer.ends_with("late"));
    assert!(begun.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_dripped_answer_comes_in_pieces() {
    let (_recorder, backend) = scene();
    let reply = Reply::ok("0123456789").close();
    let whole = String::from_utf8(reply.to_bytes("GET").to_vec()).unwrap();
    backend.always(Act::Drip { reply, chunk: 20, every: Duration::from_millis(30) });
    let mut stream = connect(backend.address()).await;
    let begun = Instant::now();
    stream.write_all(GET).await.unwrap();
    // Whatever was read first, there cannot have been more than one piece of it.
    let mut first = [0; 1000];
    let count = stream.read(&mut first).await.unwrap();
    let pieces = begun.elapsed().as_millis() as usize / 30 + 1;
    assert!(count <= 20 * pieces, "{count} bytes in {:?}", begun.elapsed());
    let (rest, error) = rest(&mut stream).await;
    assert_eq!(format!("{}{rest}", String::from_utf8_lossy(&first[..count])), whole);
    assert_eq!(error, None);
    let pauses = (whole.len() as u32).div_ceil(20) - 1;
    assert!(begun.elapsed() >= pauses * Duration::from_millis(30));
}

#[tokio::test]
async fn a_backend_that_hangs_answers_never_and_sees_the_peer_leave() {
    let (recorder, backend) = scene();
    backend.always(Act::Hang);
    let mut stream = connect(backend.address()).await;
    stream.write_all(GET).await.unwrap();
    let received = request(&recorder).await;
    let silent = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(silent.is_err(), "{silent:?}");
    assert!(recorder.log().closed(received.connection).is_none());
    drop(stream);
    assert_eq!(ending(&recorder).await.ending, Ending::ByPeer);
    assert!(recorder.log().peer_left(received.connection).is_some());
}

#[tokio::test]
async fn a_peer_that_leaves_while_it_waits_is_seen_at_once() {
    for reset in [false, true] {
        for act in [
            Act::Answer(Reply::ok("never")).after(PATIENCE * 10),
            Act::Hold(Gate::closed(), Reply::ok("never")),
            Act::Drip { reply: Reply::ok("never"), chunk: 1, every: PATIENCE * 10 },
            Act::Hang,
        ] {
            let (recorder, backend) = scene();
            backend.always(act.clone());
            let mut stream = connect(backend.address()).await;
            stream.write_all(GET).await.unwrap();
            let connection = request(&recorder).await.connection;
            if matches!(act, Act::Drip { .. }) {
                expect(&mut stream, "H").await;
            }
            if reset {
                stream.set_zero_linger().unwrap();
            }
            drop(stream);
            wait_for(&recorder, |log| log.peer_left(connection)).await;
            if reset {
                assert_eq!(ending(&recorder).await.ending, Ending::ResetByPeer, "{act:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_only_closed_its_sending_side_is_answered() {
    let (recorder, backend) = scene();
    let gate = Gate::closed();
    backend.always(Act::Hold(gate.clone(), Reply::ok("still there").close()));
    let mut stream = connect(backend.address()).await;
    stream.write_all(GET).await.unwrap();
    stream.shutdown().await.unwrap();
    let connection = request(&recorder).await.connection;
    wait_for(&recorder, |log| log.peer_left(connection)).await;
    gate.open();
    assert!(rest(&mut stream).await.0.ends_with("still there"));
}

#[tokio::test]
async fn a_reset_after_the_sending_side_was_closed_is_seen_too() {
    let (recorder, backend) = scene();
    backend.always(Act::Hold(Gate::closed(), Reply::ok("never")));
    let mut stream = connect(backend.address()).await;
    stream.write_all(GET).await.unwrap();
    stream.shutdown().await.unwrap();
    let connection = request(&recorder).await.connection;
    wait_for(&recorder, |log| log.peer_left(connection)).await;
    assert!(recorder.log().closed(connection).is_none());
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(ending(&recorder).await.ending, Ending::ResetByPeer);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_close_is_a_close() {
    let reset = Some(io::ErrorKind::ConnectionReset);
    let (answer, error, ending) = ending_of(Act::ResetBeforeAnswer, GET).await;
    assert_eq!((answer.as_str(), error, ending), ("", reset, Ending::ResetByBackend));

    let inside = Act::ResetInside { reply: Reply::ok("0123456789"), after_bytes: 44 };
    let (answer, error, ending) = ending_of(inside, GET).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!((error, ending), (reset, Ending::ResetByBackend));

    let part = |then| Act::Part {
        reply: Reply::ok("0123456789"),
        bytes: 44,
        pause: Duration::from_millis(1),
        then,
    };
    let (answer, error, ending) = ending_of(part(Afterwards::Close), GET).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!((error, ending), (None, Ending::ByBackend));
    let (_, error, ending) = ending_of(part(Afterwards::Reset), GET).await;
    assert_eq!((error, ending), (reset, Ending::ResetByBackend));

    let (answer, error, ending) = ending_of(Act::CloseBeforeAnswer, GET).await;
    assert_eq!((answer.as_str(), error, ending), ("", None, Ending::ByBackend));
}

#[tokio::test]
async fn raw_bytes_are_sent_raw() {
    let bytes = Bytes::from_static(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nnonsense\r\n");
    let text = std::str::from_utf8(&bytes).unwrap();
    let (answer, error, ending) = ending_of(Act::Raw(bytes.clone(), Afterwards::Close), GET).await;
    assert_eq!((answer.as_str(), error, ending), (text, None, Ending::ByBackend));
    let (answer, error, ending) = ending_of(Act::Raw(bytes.clone(), Afterwards::Reset), GET).await;
    assert_eq!(answer, text);
    assert_eq!((error, ending), (Some(io::ErrorKind::ConnectionReset), Ending::ResetByBackend));
    let sent = [GET, b"GET / HTTP/1.0\r\n\r\n"].concat();
    let (answer, _, _) = ending_of(Act::Raw(bytes.clone(), Afterwards::Keep), &sent).await;
    assert_eq!(answer, text.repeat(2));
}

#[tokio::test]
async fn behind_101_comes_another_protocol_until_the_connection_ends() {
    let reply = Reply::new(101).header("Upgrade", "websocket").body("frames");
    let (answer, error, ending) = ending_of(Act::Answer(reply), GET).await;
    assert_eq!((error, ending), (None, Ending::ByBackend));
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(answer, format!("{head}frames"));
}

#[tokio::test]
async fn behaviour_is_swapped_while_it_runs() {
    let (_recorder, backend) = scene();
    let mut stream = connect(backend.address()).await;
    for status in [500, 404, 201] {
        backend.always(Act::Answer(Reply::new(status)));
        stream.write_all(GET).await.unwrap();
        let bytes = Reply::new(status).to_bytes("GET");
        expect(&mut stream, std::str::from_utf8(&bytes).unwrap()).await;
    }
}
