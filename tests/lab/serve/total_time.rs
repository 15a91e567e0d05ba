//! How long a request may wait for its answer, whoever it is that is slow.

use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use pingora_lab::backends::recording::{Act, Afterwards, Reply};
use tokio::time::timeout;

use crate::support::http2::{Http2, get, read};
use crate::support::{Answer, Balancer, Client, Recording};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What passes a limit of some hundred milliseconds, on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn lab(timeouts: &str) -> (Recording, Balancer) {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[timeouts]\n{timeouts}\n[[pool]]\nhealth_check = {{ interval = '1h' }}\n\
         [[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    (backend, balancer)
}

/// Runs a test's asynchronous part, which must end.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("it ends") })
}

/// A header that takes minutes, and is never silent for long.
fn header_byte_by_byte(backend: &Recording) {
    let reply = Reply::ok("late").header("x-long", "x".repeat(5000));
    backend.set_to(move |request| match request.target.as_str() {
        "/well" => Act::Answer(Reply::ok("well")),
        _ => Act::Drip { reply: reply.clone(), chunk: 1, every: Duration::from_millis(30) },
    });
}

fn ask(client: &mut Client, target: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    client.answer().expect("an answer")
}

#[test]
fn a_header_that_comes_byte_by_byte_is_504_in_time() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    header_byte_by_byte(&backend);
    // Over a new connection to the backend, and over one that has served a request.
    for earlier in 0..2 {
        let mut client = Client::connect(balancer.address);
        for _ in 0..earlier {
            assert_eq!(ask(&mut client, "/well").status, 200);
        }
        let begun = Instant::now();
        let answer = ask(&mut client, "/drip");
        assert_eq!(answer.status, 504, "{answer:?}");
        assert_eq!(answer.json()["error"]["reason"], "total_timeout");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    let drips = backend.requests().iter().filter(|one| one.target == "/drip").count();
    assert_eq!(drips, 2, "neither is sent again");
}

#[test]
fn the_same_holds_for_each_request_of_an_http2_connection() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    header_byte_by_byte(&backend);
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let begun = Instant::now();
        let (slow, _) = client.begin(get("/drip"), true).await.unwrap();
        let well = client.ask(get("/well")).await.unwrap();
        assert_eq!(well.status, 200);
        let slow = read(slow.await.unwrap()).await.unwrap();
        assert_eq!(slow.status, 504);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(client.ask(get("/well")).await.unwrap().status, 200);
    });
}

#[test]
fn a_change_of_protocol_that_is_not_answered_is_504_in_time() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    backend.set_to(|_| Act::Hang);
    let mut client = Client::connect(balancer.address);
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn hints_that_come_before_the_answer_are_not_the_answer() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    backend.set_to(move |_| Act::Raw(Bytes::from(hint), Afterwards::Keep));
    let mut client = Client::connect(balancer.address);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let begun = Instant::now();
    let mut answer = client.answer().expect("an answer");
    if answer.status == 103 {
        answer = client.answer().expect("an answer");
    }
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn an_answer_that_has_begun_may_take_longer() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    let body = "slowly ".repeat(200);
    let reply = Reply::ok(body.clone());
    backend.set_to(move |_| Act::Drip {
        reply: reply.clone(),
        chunk: 100,
        every: Duration::from_millis(80),
    });
    let mut client = Client::connect(balancer.address);
    // The second comes over the same connections.
    for _ in 0..2 {
        let begun = Instant::now();
        let answer = ask(&mut client, "/");
        assert_eq!((answer.status, answer.text()), (200, body.clone()));
        assert!(begun.elapsed() > Duration::from_millis(800), "{:?}", begun.elapsed());
    }
}

/// A client behind a slow line: as long as it sends, nobody waits for the backend.
#[test]
fn a_body_that_is_sent_slowly_is_no_fault_of_the_backend() {
    let (backend, balancer) = lab("read = '600ms'\ntotal = '600ms'\n[limits]\nbody_rate = '50B'");
    backend.set_to(|request| Act::Answer(Reply::ok(format!("{} bytes", request.body.len()))));
    let mut client = Client::connect(balancer.address);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 140\r\n\r\n");
    for _ in 0..14 {
        sleep(Duration::from_millis(100));
        client.send("0123456789");
    }
    let answer = client.answer().expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "140 bytes".to_owned()));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let request = Request::post("http://x/").body(()).unwrap();
        let (answer, mut body) = client.begin(request, false).await.unwrap();
        for last in (0..14).rev() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            body.send_data(Bytes::from_static(b"0123456789"), last == 0).unwrap();
        }
        let answer = read(answer.await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.body), (200, b"140 bytes".to_vec()));
    });
}

/// A body that stops in the middle: the backend waits for it, and nobody for both.
#[test]
fn a_body_that_stops_is_408_in_time() {
    let (backend, balancer) = lab("read = '10s'\ntotal = '400ms'");
    backend.set_to(|_| Act::Answer(Reply::ok("late")));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let request = Request::post("http://x/").body(()).unwrap();
        let begun = Instant::now();
        let (answer, mut body) = client.begin(request, false).await.unwrap();
        body.send_data(Bytes::from_static(b"0123456789"), false).unwrap();
        let answer = read(answer.await.unwrap()).await.unwrap();
        assert_eq!(answer.status, 408);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    });
}

/// A client that sends its body drop by drop has what the total limit gives, and what
/// it sends is worth at the least rate.
#[test]
fn a_body_that_comes_drop_by_drop_is_408_in_time() {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[limits]\nbody_rate = '1000B'\n[timeouts]\ntotal = '400ms'\n[[pool]]\n\
         [[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        let request = Request::post("http://x/").body(()).unwrap();
        let begun = Instant::now();
        let (answer, mut body) = client.begin(request, false).await.unwrap();
        let drops = async {
            while body.send_data(Bytes::from_static(b"0"), false).is_ok() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = answer => answer.unwrap(),
            () = drops => unreachable!("it has no end"),
        };
        assert_eq!(read(answer).await.unwrap().status, 408);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    });
}

/// Else a few clients that do nothing would have every backend left alone.
#[test]
fn clients_that_stop_are_not_held_against_the_backend() {
    let backend = Recording::start();
    let balancer = Balancer::configured(&format!(
        "[admin]\naddress = '127.0.0.1:0'\n[timeouts]\nread = '300ms'\ntotal = '10s'\n\
         [[pool]]\ncircuit_breaker = {{ consecutive_failures = 2 }}\n\
         [[pool.backend]]\naddress = \"{}\"\n",
        backend.address()
    ));
    run(async {
        let mut client = Http2::connect(balancer.address).await;
        for _ in 0..4 {
            let request = Request::post("http://x/").body(()).unwrap();
            let (answer, mut body) = client.begin(request, false).await.unwrap();
            body.send_data(Bytes::from_static(b"0123456789"), false).unwrap();
            assert_eq!(read(answer.await.unwrap()).await.unwrap().status, 408);
        }
    });
    let metrics = balancer.admin().metrics();
    assert_eq!(metrics.sum("pingora_lab_ejections_total", &[]), 0.0);
    assert_eq!(metrics.sum("pingora_lab_upstream_failures_total", &[]), 0.0);
}
