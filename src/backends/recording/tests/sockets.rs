//! Ports and connections.

use super::*;

async fn refused(address: SocketAddr) -> bool {
    match TcpStream::connect(address).await {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    }
}

#[tokio::test]
async fn a_port_is_not_among_those_of_outgoing_connections() {
    let (_recorder, backend) = scene();
    assert!(backend.address().ip().is_loopback());
    if let Ok(range) = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range") {
        let range: Vec<u16> = range.split_whitespace().map(|port| port.parse().unwrap()).collect();
        assert!(!(range[0]..=range[1]).contains(&backend.address().port()));
    }
}

#[tokio::test]
async fn a_backend_refuses_and_listens_again_on_its_port() {
    let (recorder, backend) = scene();
    let address = backend.address();
    for _ in 0..50 {
        assert!(exchange(address, b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("backend 1"));
        backend.refuse().unwrap();
        assert!(refused(address).await);
        // Nobody else can take it, not even one who shares.
        assert!(std::net::TcpListener::bind(address).is_err());
        backend.listen().unwrap();
    }
    assert_eq!(backend.address(), address);
    assert_eq!(recorder.read(|log| log.requests().count()), 50);
}

#[tokio::test]
async fn refusing_twice_and_listening_twice_is_the_same_as_once() {
    let (_recorder, backend) = scene();
    backend.refuse().unwrap();
    backend.refuse().unwrap();
    assert!(refused(backend.address()).await);
    backend.listen().unwrap();
    backend.listen().unwrap();
    assert!(exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("backend 1"));
}

#[tokio::test]
async fn a_backend_can_begin_by_refusing() {
    let recorder = Recorder::new();
    let backend = RecordingBackend::refusing(&recorder, "dead").unwrap();
    assert!(refused(backend.address()).await);
    assert!(std::net::TcpListener::bind(backend.address()).is_err());
    backend.listen().unwrap();
    assert!(exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("dead"));
}

#[tokio::test]
async fn an_address_that_somebody_has_is_an_error() {
    let (recorder, backend) = scene();
    assert!(RecordingBackend::start_at(&recorder, "second", backend.address()).is_err());
    let address = backend.address();
    drop(backend);
    // The acceptor gives the port up when it sees that it is over.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let backend = RecordingBackend::start_at(&recorder, "third", address).unwrap();
    assert!(exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("third"));
}

#[tokio::test]
async fn refusing_closes_the_connections() {
    let (recorder, backend) = scene();
    backend.always(Act::Hang);
    let mut idle = connect(backend.address()).await;
    let mut hanging = connect(backend.address()).await;
    hanging.write_all(GET).await.unwrap();
    request(&recorder).await;
    backend.refuse().unwrap();
    for stream in [&mut idle, &mut hanging] {
        assert_eq!(rest(stream).await, (String::new(), None));
    }
    wait_for(&recorder, |log| {
        let connections: Vec<_> = log.connections().map(|it| it.connection).collect();
        let endings = connections.iter().filter_map(|it| log.closed(*it));
        (endings.filter(|it| it.ending == Ending::ByBackend).count() == 2).then_some(())
    })
    .await;
}

/// Those that were made but not yet accepted are not left hanging either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_ends_connections_that_are_just_made() {
    let (_recorder, backend) = scene();
    backend.always(Act::Hang);
    for _ in 0..30 {
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(connect(backend.address()).await);
        }
        backend.refuse().unwrap();
        for mut stream in streams {
            let (bytes, _) = rest(&mut stream).await;
            assert_eq!(bytes, "");
        }
        assert!(refused(backend.address()).await);
        backend.listen().unwrap();
    }
}

#[tokio::test]
async fn closing_the_connections_leaves_the_port_open() {
    let (recorder, backend) = scene();
    let mut idle = connect(backend.address()).await;
    wait_for(&recorder, |log| log.connections().next().cloned()).await;
    backend.close_connections();
    assert_eq!(rest(&mut idle).await, (String::new(), None));
    assert_eq!(ending(&recorder).await.ending, Ending::ByBackend);
    assert!(exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("backend 1"));
}

#[tokio::test]
async fn connections_are_reset_as_soon_as_they_are_accepted() {
    let (recorder, backend) = scene();
    backend.reset_on_accept(true);
    let mut stream = connect(backend.address()).await;
    assert_eq!(rest(&mut stream).await.1, Some(io::ErrorKind::ConnectionReset));
    assert_eq!(ending(&recorder).await.ending, Ending::ResetByBackend);
    assert_eq!(recorder.log().bare_connects_to("backend 1").count(), 1);
    backend.reset_on_accept(false);
    assert!(exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await.0.ends_with("backend 1"));
}

#[tokio::test]
async fn a_backend_that_does_not_read_is_slow() {
    let (recorder, backend) = scene();
    let mut old = connect(backend.address()).await;
    wait_for(&recorder, |log| log.connections().next().cloned()).await;
    backend.stop_reading();
    let mut new = connect(backend.address()).await;
    let request = b"POST / HTTP/1.0\r\nContent-Length: 20000000\r\n\r\n";
    for stream in [&mut old, &mut new] {
        stream.write_all(request).await.unwrap();
        // More than the buffers of both sockets take.
        let body = vec![0; 20_000_000];
        let writing = stream.write_all(&body);
        assert!(tokio::time::timeout(Duration::from_millis(300), writing).await.is_err());
    }
    wait_for(&recorder, |log| (log.connections().count() == 2).then_some(())).await;
    assert_eq!(recorder.log().bare_connects_to("backend 1").count(), 2);
    backend.resume_reading();
    wait_for(&recorder, |log| (log.requests().count() == 2).then_some(())).await;
}

#[tokio::test]
async fn a_connection_that_brings_nothing_is_a_bare_one() {
    let (recorder, backend) = scene();
    drop(connect(backend.address()).await);
    let closed = ending(&recorder).await;
    assert_eq!((closed.ending, closed.bytes_received), (Ending::ByPeer, 0));
    exchange(backend.address(), b"GET / HTTP/1.0\r\n\r\n").await;
    let log = recorder.log();
    let bare: Vec<_> = log.bare_connects_to("backend 1").map(|it| it.connection).collect();
    assert_eq!(bare, [closed.connection]);
    assert_eq!(log.connections_to("backend 1").count(), 2);
}

#[tokio::test]
async fn a_peer_that_resets_is_told_from_one_that_closes() {
    let (recorder, backend) = scene();
    let stream = connect(backend.address()).await;
    wait_for(&recorder, |log| log.connections().next().cloned()).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(ending(&recorder).await.ending, Ending::ResetByPeer);
}

#[tokio::test]
async fn dropping_a_backend_ends_all_of_it() {
    let (recorder, backend) = scene();
    backend.always(Act::Hang);
    let address = backend.address();
    let mut stream = connect(address).await;
    stream.write_all(GET).await.unwrap();
    request(&recorder).await;
    drop(backend);
    assert!(refused(address).await);
    assert_eq!(rest(&mut stream).await, (String::new(), None));
    assert_eq!(ending(&recorder).await.ending, Ending::ByBackend);
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 0);
    assert!(std::net::TcpListener::bind(address).is_ok() || cfg!(not(target_os = "linux")));
}
