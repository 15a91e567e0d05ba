//! Waiting for what will stand in the log.

use super::*;

#[tokio::test]
async fn who_waits_is_woken_by_events_only() {
    let (recorder, backend) = scene();
    let mut asked = 0;
    let waits = recorder.wait_for(Instant::now() + PATIENCE, |log| {
        asked += 1;
        log.requests().next().cloned()
    });
    let sends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        exchange(backend.address(), b"GET /x HTTP/1.0\r\n\r\n").await
    };
    let (found, _) = tokio::join!(waits, sends);
    assert_eq!(found.unwrap().target, "/x");
    // At the beginning, for the connection, for its bytes, for the request.
    assert!((2..=4).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn what_is_there_already_is_found_at_once() {
    let (recorder, backend) = scene();
    exchange(backend.address(), b"GET /x HTTP/1.0\r\n\r\n").await;
    let past = Instant::now() - Duration::from_secs(1);
    assert!(recorder.wait_for(past, |log| log.requests().next().cloned()).await.is_some());
}

#[tokio::test]
async fn what_never_comes_is_waited_for_until_the_deadline() {
    let (recorder, _backend) = scene();
    let deadline = Instant::now() + Duration::from_millis(80);
    let found = recorder.wait_for(deadline, |log| log.requests().next().cloned()).await;
    assert!(found.is_none() && Instant::now() >= deadline);
}

#[tokio::test]
async fn backends_of_one_scene_share_the_log() {
    let (recorder, first) = scene();
    let second = RecordingBackend::start(&recorder, "backend 2").unwrap();
    for (backend, target) in [(&first, "/1"), (&second, "/2"), (&first, "/3")] {
        let sent = format!("GET {target} HTTP/1.0\r\n\r\n");
        assert!(exchange(backend.address(), sent.as_bytes()).await.0.ends_with(backend.name()));
    }
    let log = recorder.log();
    let targets: Vec<_> = log.requests().map(|it| (&*it.backend, it.path())).collect();
    assert_eq!(targets, [("backend 1", "/1"), ("backend 2", "/2"), ("backend 1", "/3")]);
    assert!(log.requests().map(|it| it.at).is_sorted());
    assert_eq!(log.requests_to("backend 1").count(), 2);
    assert_eq!(log.connections_to("backend 2").count(), 1);
    let connections: std::collections::BTreeSet<_> =
        log.connections().map(|it| it.connection).collect();
    assert_eq!(connections.len(), 3);
}
