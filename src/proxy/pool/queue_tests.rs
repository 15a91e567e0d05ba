use std::sync::atomic::AtomicU32;
use std::sync::mpsc;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;

use super::*;

const LONG: Duration = Duration::from_secs(600);

fn queue(text: &str) -> Arc<Queue> {
    Arc::new(Queue::new(&toml::from_str(text).unwrap()))
}

/// Takes one, if there is one.
fn take(room: &AtomicU32) -> Option<()> {
    room.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1)).ok().map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_let_in_when_there_is_room() {
    let queue = queue("length = 10\ntimeout = '1s'");
    let room = Arc::new(AtomicU32::new(0));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (queue, room) = (Arc::clone(&queue), Arc::clone(&room));
            tokio::spawn(async move { queue.wait(LONG, || take(&room)).await.is_some() })
        })
        .collect();
    while queue.len() < 3 {
        tokio::task::yield_now().await;
    }
    // Told once, for two rooms: the first one tells the second.
    room.store(2, Ordering::Release);
    queue.room_made();
    let mut let_in = 0;
    for request in waiting {
        let_in += u32::from(request.await.unwrap());
    }
    assert_eq!(let_in, 2, "the third has waited too long");
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_is_sent_away_at_once() {
    let queue = queue("length = 0\ntimeout = '1s'");
    let start = tokio::time::Instant::now();
    assert!(queue.wait(LONG, || Some(())).await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_to_the_first_goes_to_the_first_that_it_is_of_use_to() {
    let queue = queue("length = 10\ntimeout = '10s'");
    let rooms = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let (told, order) = mpsc::channel();
    let waits = |name: &'static str, room: usize| -> JoinHandle<()> {
        let (queue, room, told) = (Arc::clone(&queue), Arc::clone(&rooms[room]), told.clone());
        tokio::spawn(async move {
            queue.wait(LONG, || take(&room)).await.expect("it is served in time");
            told.send(name).unwrap();
        })
    };
    let mut tasks = Vec::new();
    for (name, room) in [("a1", 0), ("a2", 0), ("b1", 1), ("b2", 1)] {
        tasks.push(waits(name, room));
        while queue.len() < tasks.len() {
            tokio::task::yield_now().await;
        }
    }
    // The second backend has room, and those who wait for the first stand in front.
    for room in [1, 1, 0, 0] {
        rooms[room].store(1, Ordering::Release);
        queue.room_made();
        while rooms[room].load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(order.try_iter().collect::<Vec<_>>(), ["b1", "b2", "a1", "a2"]);
}

/// What is done to a queue, one at a time.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A request for a backend comes.
    Come(usize),
    /// The request at this place among those that wait goes away.
    Cancel(usize),
    /// A backend has room for one more.
    Free(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..3).prop_map(Act::Come),
        1 => (0usize..6).prop_map(Act::Cancel),
        3 => (0usize..3).prop_map(Act::Free),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Against a plain list: who may wait, who is served next, and who is left.
    #[test]
    fn it_serves_as_a_plain_list_would(acts in proptest::collection::vec(act(), 1..60)) {
        const MOST: usize = 5;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let queue = queue("length = 5\ntimeout = '1h'");
            let rooms = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
            let (told, events) = mpsc::channel();
            let mut tasks: Vec<(usize, JoinHandle<()>)> = Vec::new();
            // The list: number and backend of each that waits; and the free rooms.
            let mut list: Vec<(usize, usize)> = Vec::new();
            let mut free = [0u32; 3];
            for (number, act) in acts.into_iter().enumerate() {
                let mut expected = Vec::new();
                match act {
                    Act::Come(backend) => {
                        let (queue, told) = (Arc::clone(&queue), told.clone());
                        let room = Arc::clone(&rooms[backend]);
                        tasks.push((number, tokio::spawn(async move {
                            let served = queue.wait(LONG * 6, || take(&room)).await.is_some();
                            told.send((number, served)).unwrap();
                        })));
                        if list.len() == MOST {
                            expected.push((number, false));
                        } else {
                            list.push((number, backend));
                        }
                    }
                    Act::Cancel(place) if place < list.len() => {
                        let (gone, _) = list.remove(place);
                        let task = tasks.iter().find(|(number, _)| *number == gone).unwrap();
                        task.1.abort();
                    }
                    Act::Cancel(_) => {}
                    Act::Free(backend) => {
                        free[backend] += 1;
                        rooms[backend].fetch_add(1, Ordering::AcqRel);
                        queue.room_made();
                    }
                }
                list.retain(|&(number, backend)| {
                    let served = free[backend] > 0;
                    if served {
                        free[backend] -= 1;
                        expected.push((number, true));
                    }
                    !served
                });
                for _ in 0..3 * MOST {
                    tokio::task::yield_now().await;
                }
                prop_assert_eq!(events.try_iter().collect::<Vec<_>>(), expected);
                prop_assert_eq!(queue.len(), list.len());
            }
            for (_, task) in tasks {
                task.abort();
                let _ = task.await;
            }
            prop_assert!(queue.is_empty());
            Ok(())
        })?;
    }
}

/// Requests on several threads that take, wait, go away and leave. Nobody who could
/// be served waits in vain, and no more are served at a time than may be.
#[test]
fn no_wake_up_is_lost_however_threads_meet() {
    const MOST: u32 = 2;
    const EACH: usize = 3000;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let queue = queue("length = 1000\ntimeout = '1h'");
    let busy = Arc::new(AtomicU32::new(0));
    let result = runtime.block_on(async {
        let requests: Vec<_> = (0..12)
            .map(|seed| {
                let (queue, busy) = (Arc::clone(&queue), Arc::clone(&busy));
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(seed);
                    for _ in 0..EACH {
                        let enter = || {
                            let more = |n| (n < MOST).then_some(n + 1);
                            busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()
                        };
                        let quick = if queue.is_empty() { enter() } else { None };
                        let place = match quick {
                            Some(place) => Some(place),
                            // One in ten goes away before it is served, or after.
                            None if random.random_ratio(1, 10) => {
                                tokio::select! {
                                    biased;
                                    place = queue.wait(LONG, enter) => place,
                                    () = tokio::task::yield_now() => None,
                                }
                            }
                            None => Some(queue.wait(LONG, enter).await.expect("it is served")),
                        };
                        let Some(before) = place else { continue };
                        assert!(before < MOST);
                        if random.random() {
                            tokio::task::yield_now().await;
                        }
                        if busy.fetch_sub(1, Ordering::AcqRel) >= MOST {
                            queue.room_made();
                        }
                    }
                })
            })
            .collect();
        let all = async {
            for request in requests {
                request.await.unwrap();
            }
        };
        // Had a wake-up been lost, somebody would wait for an hour.
        tokio::time::timeout(Duration::from_secs(60), all).await
    });
    result.expect("nobody waits in vain");
    assert!(queue.is_empty());
    assert_eq!(busy.load(Ordering::Acquire), 0);
}
