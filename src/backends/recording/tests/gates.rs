//! Answers that are held back.

use super::*;

#[tokio::test]
async fn a_gate_for_all_holds_until_all_are_there() {
    const COUNT: usize = 20;
    let (recorder, backend) = scene();
    let gate = Gate::for_all_of(COUNT);
    backend.always(Act::Hold(gate.clone(), Reply::ok("all").close()));
    let mut waiting = Vec::new();
    for _ in 1..COUNT {
        let mut stream = connect(backend.address()).await;
        stream.write_all(GET).await.unwrap();
        waiting.push(stream);
    }
    wait_for(&recorder, |log| (log.requests().count() == COUNT - 1).then_some(())).await;
    let silent = tokio::time::timeout(Duration::from_millis(50), waiting[0].read_u8()).await;
    assert!(silent.is_err() && !gate.is_open());
    assert_eq!(gate.waiting(), COUNT - 1);
    let last = exchange(backend.address(), GET).await;
    assert!(last.0.ends_with("all"));
    for mut stream in waiting {
        assert!(rest(&mut stream).await.0.ends_with("all"));
    }
    assert_eq!(gate.waiting(), COUNT);
    // From now on nobody waits.
    assert!(exchange(backend.address(), GET).await.0.ends_with("all"));
    assert_eq!(gate.waiting(), COUNT);
}

#[tokio::test]
async fn one_who_goes_away_is_not_counted() {
    let (recorder, backend) = scene();
    let gate = Gate::for_all_of(2);
    backend.always(Act::Hold(gate.clone(), Reply::ok("all").close()));
    let mut stream = connect(backend.address()).await;
    stream.write_all(GET).await.unwrap();
    request(&recorder).await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    ending(&recorder).await;
    assert_eq!((gate.waiting(), gate.is_open()), (0, false));
    gate.open();
    assert!(exchange(backend.address(), GET).await.0.ends_with("all"));
}
