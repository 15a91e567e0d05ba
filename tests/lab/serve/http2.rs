//! HTTP/2 from clients, here without TLS.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderValue, Request};
use pingora_lab::backends::recording::{Act, Framing, Gate, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::frames::{
    CONTINUATION, GOAWAY, HEADERS, PREFACE, REQUEST, RST_STREAM, SETTINGS, frame,
};
use crate::support::http2::{Http2, get, read};
use crate::support::{Balancer, Recording};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn lab(settings: &str) -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "{settings}\n[[pool]]\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    (backend, balancer)
}

/// Runs a test's asynchronous part, which must end.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("it ends") })
}

#[test]
fn many_requests_at_once_share_a_connection() {
    let (backend, balancer) = lab("");
    // None is answered before all have arrived.
    let all = Gate::for_all_of(50);
    backend.set_to(move |request| Act::Hold(all.clone(), Reply::ok(request.target.clone())));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let mut answers = Vec::new();
        for number in 0..50 {
            let (answer, _) = client.begin(get(&format!("/{number}?q")), true).await.unwrap();
            answers.push(answer);
        }
        for (number, answer) in answers.into_iter().enumerate() {
            let answer = read(answer.await.unwrap()).await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, format!("/{number}?q").into_bytes());
            assert_eq!(answer.headers["x-proxy"], "pingora-demo");
        }
    });
    let request = &backend.requests()[0];
    assert_eq!(request.values("host"), ["x"], "from :authority");
    assert_eq!(request.values("x-forwarded-host"), ["x"]);
    assert_eq!(request.minor_version, 1);
}

#[test]
fn bodies_pass_both_ways_at_the_pace_of_the_slower() {
    let (backend, balancer) = lab("");
    backend.set_to(|request| Act::Answer(Reply::ok(request.body.clone())));
    let body: Vec<u8> = (0..1024 * 1024u32).map(|n| (n * 31 % 251) as u8).collect();
    run(async {
        // A window so small that the answer comes in many pieces, each asked for.
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1000).initial_connection_window_size(65_535);
        let mut client = Http2::with(balancer.address, &builder).await;
        let request = Request::post("http://x/echo").body(()).unwrap();
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        let mut rest = Bytes::from(body.clone());
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let piece = rest.split_to(capacity.unwrap().unwrap().min(rest.len()));
            stream.send_data(piece, rest.is_empty()).unwrap();
        }
        let (head, mut answer) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        let mut got = Vec::new();
        while let Some(data) = answer.data().await {
            let data = data.unwrap();
            assert!(data.len() <= 1000);
            got.extend_from_slice(&data);
            answer.flow_control().release_capacity(data.len()).unwrap();
        }
        assert!(got == body, "{} bytes came back", got.len());
    });
    assert!(backend.requests()[0].complete);
}

#[test]
fn who_takes_nothing_of_one_answer_loses_it_and_no_other() {
    let (backend, balancer) = lab("[limits]\nwrite_timeout = \"500ms\"");
    backend.set_to(|request| match request.path() {
        "/large" => Act::Answer(Reply::ok(vec![b'x'; 8 * 1024 * 1024])),
        _ => Act::Answer(Reply::ok("small")),
    });
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(1024 * 1024);
        let mut client = Http2::with(balancer.address, &builder).await;
        let mut request = get("/large");
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("stalled"));
        let (stalled, _) = client.begin(request, true).await.unwrap();
        let stalled = stalled.await.unwrap();
        assert_eq!(client.get("/small").await.unwrap().body, b"small");
        let line = tokio::task::block_in_place(|| balancer.access("stalled"));
        assert_eq!(line["reason"], "client_timeout", "{line}");
        // It is reset, which shows once what came before has been read.
        let error = read(stalled).await.map(|answer| answer.body.len());
        let error = error.expect_err("not the whole answer");
        assert!(error.is_reset() || error.is_remote(), "{error}");
        assert_eq!(client.get("/small").await.unwrap().body, b"small");
    });
    backend.wait_until_left(&backend.wait_for("/large"));
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_takes_no_more() {
    let (backend, balancer) = lab("");
    let gate = Gate::closed();
    let held = gate.clone();
    let body = vec![b'x'; 1024 * 1024];
    let reply = Reply::ok(body.clone());
    backend.set_to(move |_| Act::Hold(held.clone(), reply.clone()));
    run(async {
        // The whole answer has room, so that the client has nothing to say while the server
        // closes: what it said then would end in an error of its own.
        let mut windows = h2::client::Builder::new();
        windows.initial_window_size(1 << 22).initial_connection_window_size(1 << 22);
        let mut client = Http2::with(balancer.address, &windows).await;
        let (answer, _) = client.begin(get("/slow"), true).await.unwrap();
        backend.wait_for("/slow");
        balancer.signal(libc::SIGTERM);
        balancer.event(|event| {
            event["message"].as_str()?.starts_with("no longer accepting").then_some(())
        });
        // After GOAWAY the client may open no more streams.
        while client.send.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.open();
        let answer = read(answer.await.unwrap()).await.unwrap();
        assert!(answer.status == 200 && answer.body == body, "{} bytes", answer.body.len());
        client.connection.await.unwrap().expect("an end in order");
    });
    let mut balancer = balancer;
    assert_eq!(balancer.program().wait().code(), Some(0));
}

#[test]
fn a_streamed_request_reaches_the_backend_as_it_comes() {
    let (backend, balancer) = lab("");
    backend.always(Act::Answer(Reply::ok("done").framing(Framing::Chunked(2))));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let request = Request::post("http://x/up").body(()).unwrap();
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        stream.send_data(Bytes::from_static(b"first"), false).unwrap();
        backend.wait(|log| log.requests().find(|r| r.body_bytes == 5).map(|_| ()));
        stream.send_data(Bytes::from_static(b"second"), true).unwrap();
        assert_eq!(read(answer.await.unwrap()).await.unwrap().body, b"done");
    });
    let request = backend.wait_for("/up");
    assert_eq!(&request.body[..], b"firstsecond");
    assert_eq!(request.values("transfer-encoding"), ["chunked"]);
}

#[test]
fn the_authority_is_one() {
    let (backend, balancer) = lab("");
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let with_host = |uri: &str, host: &str| {
            Request::get(uri.to_owned()).header("host", host).body(()).unwrap()
        };
        assert_eq!(client.ask(with_host("http://x/same", "x")).await.unwrap().status, 200);
        assert_eq!(client.ask(with_host("http://x/other", "y")).await.unwrap().status, 400);
        for authority in ["a:65536", "a_b:x", "[x]"] {
            let answer = client.get("/").await.unwrap();
            assert_eq!(answer.status, 200);
            let Ok(request) = Request::get(format!("http://{authority}/bad")).body(()) else {
                continue;
            };
            match client.ask(request).await {
                Ok(answer) => assert_eq!(answer.status, 400, "{authority}"),
                Err(error) => assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR)),
            }
        }
    });
    for request in backend.requests() {
        assert_eq!(request.values("host"), ["x"], "{request:#?}");
        assert!(["/same", "/"].contains(&request.path()), "{request:#?}");
    }
}

#[test]
fn what_belongs_to_http_1_only_is_an_error_of_its_request() {
    let (backend, balancer) = lab("");
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        for (name, value) in [("content-length", "5, 6"), ("content-length", "+5")] {
            let mut request = Request::post("http://x/bad").body(()).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            let (answer, mut stream) = client.begin(request, false).await.unwrap();
            let _ = stream.send_data(Bytes::from_static(b"hello"), true);
            let error = answer.await.expect_err("a reset");
            assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR), "{name}: {value}");
        }
        // A length that the body does not keep.
        let mut request = Request::post("http://x/short").body(()).unwrap();
        request.headers_mut().insert("content-length", HeaderValue::from_static("10"));
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        let _ = stream.send_data(Bytes::from_static(b"hello"), true);
        if let Ok(answer) = answer.await {
            assert!(answer.status().is_client_error(), "{answer:?}");
        }
        assert_eq!(client.get("/fine").await.unwrap().status, 200);
    });
    assert!(backend.requests().iter().all(|r| r.path() == "/fine" || !r.complete));
}

#[test]
fn a_header_too_large_is_431_and_the_connection_goes_on() {
    let (backend, balancer) = lab("[limits]\nheader_size = \"8KiB\"\nheader_count = 20");
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let mut large = get("/large");
        large.headers_mut().insert("x", HeaderValue::try_from("x".repeat(10_000)).unwrap());
        assert_eq!(client.ask(large).await.unwrap().status, 431);
        let mut many = get("/many");
        for number in 0..30 {
            many.headers_mut().append("x", HeaderValue::from(number));
        }
        assert_eq!(client.ask(many).await.unwrap().status, 431);
        assert_eq!(client.get("/fine").await.unwrap().status, 200);
    });
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_body_too_large_is_413_before_or_while_it_is_sent() {
    let (backend, balancer) = lab("[limits]\nbody_size = \"1KiB\"");
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let mut request = Request::post("http://x/sized").body(()).unwrap();
        request.headers_mut().insert("content-length", HeaderValue::from(5000));
        let (answer, _stream) = client.begin(request, false).await.unwrap();
        assert_eq!(answer.await.unwrap().status(), 413);
        let request = Request::post("http://x/streamed").body(()).unwrap();
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        stream.send_data(Bytes::from(vec![b'x'; 1025]), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 413);
        assert_eq!(client.get("/fine").await.unwrap().status, 200);
    });
    assert!(backend.requests().iter().all(|r| r.path() == "/fine" || !r.complete));
}

#[test]
fn so_many_requests_at_once_and_no_more() {
    let (backend, balancer) = lab("[limits]\nhttp2_streams = 5");
    let gate = Gate::closed();
    let held = gate.clone();
    backend.set_to(move |_| Act::Hold(held.clone(), Reply::ok("held")));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(client.begin(get("/"), true).await.unwrap().0);
        }
        backend.wait(|log| (log.requests().count() == 5).then_some(()));
        let late = timeout(Duration::from_millis(200), client.begin(get("/late"), true)).await;
        // Whether the client holds the request back or the stream is refused.
        if let Ok(Ok((answer, _))) = late {
            assert!(timeout(Duration::from_millis(200), answer).await.is_err());
        }
        assert_eq!(gate.waiting(), 5);
        gate.open();
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        assert_eq!(client.get("/again").await.unwrap().status, 200);
    });
}

#[test]
fn a_connection_without_requests_is_closed_and_one_with_a_request_is_not() {
    let (backend, balancer) = lab("[limits]\nhttp2_idle_timeout = \"300ms\"");
    let gate = Gate::closed();
    let held = gate.clone();
    backend.set_to(move |_| Act::Hold(held.clone(), Reply::ok("held")));
    run(async {
        let mut busy = Http2::connect(balancer.address).await;
        let (answer, _) = busy.begin(get("/"), true).await.unwrap();
        let begun = Instant::now();
        let idle = Http2::connect(balancer.address).await;
        let _ = idle.connection.await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(300));
        gate.open();
        assert_eq!(answer.await.unwrap().status(), 200);
        let _ = busy.connection.await.unwrap();
    });
}

#[test]
fn a_connection_has_so_many_requests() {
    let (_backend, balancer) = lab("[limits]\nrequests_per_connection = 3");
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.unwrap().status, 200);
        }
        client.connection.await.unwrap().expect("an end in order");
    });
}

/// The kinds of the frames that the server sent until it closed.
async fn kinds(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes).await;
    let (mut kinds, mut rest) = (Vec::new(), &bytes[..]);
    while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        rest = behind.get(length..).unwrap_or_default();
    }
    kinds
}

#[test]
fn a_client_that_asks_and_takes_back_again_and_again_is_cut_off() {
    let (backend, balancer) = lab("[limits]\nhttp2_resets = 20");
    let gate = Gate::closed();
    let held = gate.clone();
    backend.set_to(move |_| Act::Hold(held.clone(), Reply::ok("held")));
    run(async {
        let mut stream = TcpStream::connect(balancer.address).await.unwrap();
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for number in 0..2000 {
            let id = number * 2 + 1;
            bytes.extend(frame(HEADERS, 5, id, REQUEST));
            bytes.extend(frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
        }
        let _ = stream.write_all(&bytes).await;
        assert!(kinds(stream).await.contains(&GOAWAY));
        // One that lets each request get as far as a backend.
        let mut client = Http2::connect(balancer.address).await;
        let mut sent = 0;
        let slow = || backend.requests().iter().filter(|r| r.path() == "/slow").count();
        'asking: while let Ok((mut answer, mut request)) = client.begin(get("/slow"), true).await {
            sent += 1;
            while slow() < sent {
                // It may have been sent just before it was known that no more are taken.
                if let Ok(told) = timeout(Duration::from_millis(1), &mut answer).await {
                    told.expect_err("the backend answers nobody");
                    break 'asking;
                }
            }
            request.send_reset(Reason::CANCEL);
            if sent == 60 {
                break;
            }
        }
        assert!((20..60).contains(&sent), "{sent}");
    });
    assert!(backend.requests().len() < 200, "{}", backend.requests().len());
}

#[test]
fn what_is_no_http_2_after_its_beginning_ends_the_connection() {
    let (backend, balancer) =
        lab("[limits]\nheader_timeout = \"500ms\"\nhttp2_idle_timeout = \"500ms\"");
    run(async {
        let settings = frame(SETTINGS, 0, 0, &[]);
        for garbage in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            &[0xff; 100],
            &[&settings[..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
            &[&settings[..], &frame(HEADERS, 5, 2, REQUEST)].concat(),
            &[&settings[..], &frame(HEADERS, 5, 1, &[0xff; 20])].concat(),
            // No more after the beginning, or after half of it.
            &settings,
            b"",
        ] {
            let mut stream = TcpStream::connect(balancer.address).await.unwrap();
            let _ = stream.write_all(&[PREFACE, garbage].concat()).await;
            let _ = kinds(stream).await;
        }
        let mut stream = TcpStream::connect(balancer.address).await.unwrap();
        stream.write_all(&PREFACE[..10]).await.unwrap();
        assert!(kinds(stream).await.is_empty(), "nothing is to be said to half of a beginning");
    });
    assert_eq!(backend.bytes(), 0);
}

#[test]
fn a_listener_may_speak_http_1_only() {
    let backend = Recording::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = false\n\
         [[pool]]\n[[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    );
    std::fs::write(file.path(), text).unwrap();
    let (balancer, _) = Balancer::listening(file.path());
    let mut client = crate::support::Client::connect(balancer.address);
    client.try_send(PREFACE);
    let answer = client.answer().expect("an answer of HTTP/1");
    assert_eq!(answer.status, 400);
    assert_eq!(backend.bytes(), 0);
}

#[test]
fn a_header_that_comes_in_endless_pieces_ends_with_the_connections_idle_time() {
    let (backend, balancer) = lab("[limits]\nhttp2_idle_timeout = '500ms'");
    run(async {
        let mut stream = TcpStream::connect(balancer.address).await.unwrap();
        let mut opening = PREFACE.to_vec();
        opening.extend(frame(SETTINGS, 0, 0, &[]));
        // END_STREAM, and no END_HEADERS.
        opening.extend(frame(HEADERS, 1, 1, REQUEST));
        stream.write_all(&opening).await.unwrap();
        let begun = Instant::now();
        let (read, mut write) = stream.into_split();
        let piece = frame(CONTINUATION, 0, 1, &[]);
        let dripping = tokio::spawn(async move {
            while write.write_all(&piece).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut read = tokio::io::BufReader::new(read);
        // A reset is an end as well.
        let _ = read.read_to_end(&mut Vec::new()).await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        dripping.await.unwrap();
    });
    assert_eq!(backend.requests().len(), 0);
}
