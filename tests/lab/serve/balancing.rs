//! Which backend answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::{Balancer, Client, Upstream, get};

fn three() -> ([Upstream; 3], Vec<String>) {
    let upstreams = ["a.test", "b.test", "c.test"].map(Upstream::named);
    let specs = ["a.test", "b.test", "c.test"]
        .iter()
        .zip(&upstreams)
        .map(|(name, upstream)| format!("{name}={}", upstream.address))
        .collect();
    (upstreams, specs)
}

fn tally(bodies: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for body in bodies {
        *tally.entry(body).or_default() += 1;
    }
    tally
}

fn each(count: usize) -> BTreeMap<String, usize> {
    ["a.test", "b.test", "c.test"].map(|name| (name.to_owned(), count)).into()
}

#[test]
fn three_n_requests_in_a_row_give_each_of_three_n() {
    let (_upstreams, specs) = three();
    let balancer = Balancer::over(&specs, &[]);
    assert_eq!(tally((0..30).map(|_| get(balancer.address, "/", &[]).text())), each(10));
    // The same over one kept connection: turns are taken by requests.
    let mut client = Client::connect(balancer.address);
    let kept = (0..30).map(|_| {
        client.send("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
        client.answer().expect("a kept connection").text()
    });
    assert_eq!(tally(kept), each(10));
}

#[test]
fn three_hundred_requests_of_fifty_clients_at_once_are_spread_evenly() {
    let (_upstreams, specs) = three();
    let balancer = Balancer::over(&specs, &["--threads", "4"]);
    // The client that most Rust programs use, with its own idea of connections.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = format!("http://{}/", balancer.address);
    let bodies = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let together = Arc::new(tokio::sync::Barrier::new(50));
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let (together, client, url) = (together.clone(), client.clone(), url.clone());
                tokio::spawn(async move {
                    together.wait().await;
                    let mut bodies = Vec::new();
                    for _ in 0..6 {
                        let answer = client.get(&url).send().await.expect("an answer");
                        bodies.push(answer.text().await.expect("a body"));
                    }
                    bodies
                })
            })
            .collect();
        let mut bodies = Vec::new();
        for client in clients {
            bodies.extend(client.await.expect("a client"));
        }
        bodies
    });
    let tally = tally(bodies);
    assert_eq!(tally.values().sum::<usize>(), 300);
    let (least, most) = (tally.values().min().unwrap(), tally.values().max().unwrap());
    assert!(tally.len() == 3 && most - least <= 1, "{tally:?}");
}

#[test]
fn a_host_that_names_a_backend_goes_to_it_alone() {
    let (upstreams, specs) = three();
    let balancer = Balancer::over(&specs, &[]);
    for host in ["b.test", "B.TEST", "b.test:6188", "b.test."] {
        for _ in 0..4 {
            assert_eq!(get(balancer.address, "/", &[&format!("Host: {host}")]).text(), "b.test");
        }
    }
    // The backend's own name is what it sees.
    assert!(upstreams[1].received().iter().all(|r| r.values("host") == ["b.test"]));
    for host in ["elsewhere.test", "xb.test", "b.test.x"] {
        let host = format!("Host: {host}");
        assert_eq!(tally((0..3).map(|_| get(balancer.address, "/", &[&host]).text())), each(1));
    }
}

#[test]
fn a_backend_without_a_name_sees_the_clients_host() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[upstream.address.to_string()], &[]);
    let answer = get(balancer.address, "/", &["Host: www.example.test:8080"]);
    assert_eq!(answer.header("x-served-by"), Some(upstream.address.to_string().as_str()));
    assert_eq!(upstream.received()[0].values("host"), ["www.example.test:8080"]);
}

#[test]
fn the_absolute_form_reaches_the_backend_as_the_origin_form() {
    let upstream = Upstream::named("a");
    let balancer = Balancer::over(&[format!("a.test={}", upstream.address)], &[]);
    let request = "GET http://other.test/path?q=%20x HTTP/1.1\r\nHost: other.test\r\n\r\n";
    assert_eq!(crate::support::ask(balancer.address, request).status, 200);
    let received = &upstream.received()[0];
    assert_eq!(received.line, "GET /path?q=%20x HTTP/1.1");
    assert_eq!(received.values("host"), ["a.test"]);
}

#[test]
fn without_flags_three_lab_backends_answer() {
    let balancer = Balancer::start(&[]);
    let address: SocketAddr = balancer.address;
    let table: Vec<_> = ["httpbin.org", "example.com", "jsonplaceholder.typicode.com"]
        .iter()
        .map(|name| {
            balancer.stdout_line(|line| {
                let mut columns = line.split_whitespace();
                (columns.next() == Some(name)).then(|| {
                    let place: SocketAddr = columns.next().unwrap().parse().unwrap();
                    (place, columns.next().unwrap().to_owned())
                })
            })
        })
        .collect();
    assert!(table.iter().all(|(_, health)| health == "healthy"), "{table:?}");
    let served: Vec<_> =
        (0..3).map(|_| get(address, "/", &[]).header("x-served-by").unwrap().to_owned()).collect();
    assert_eq!(served, ["httpbin.org", "example.com", "jsonplaceholder.typicode.com"]);
    let posts = get(address, "/posts", &["Host: jsonplaceholder.typicode.com"]).json();
    assert_eq!(posts.as_array().map(Vec::len), Some(100));
}
