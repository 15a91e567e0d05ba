use super::*;
use crate::probe::compare::Header;
use crate::probe::failure::Failure;
use crate::probe::observe::{Backend, Witness};

fn answered(backend: Option<&str>, added: &[(&str, &str)]) -> Record {
    let added = added.iter().map(|(name, value)| Header::new(name, *value)).collect();
    let difference = Difference { added, ..Difference::default() };
    let backend = backend.map(|name| Backend { name: name.into(), source: BackendSource::Lab });
    Record {
        number: 1,
        outcome: Ok(Answered {
            status: 200,
            backend,
            request: Ok((difference, Witness::Lab)),
            response: Err(Unknown::NoWitness),
        }),
        duration: Duration::from_micros(1500),
        reused: false,
    }
}

#[test]
fn percentiles_are_those_of_the_answers() {
    let mut tally = Tally::default();
    assert_eq!(tally.latency(0.5), None);
    assert_eq!(tally.longest(), None);
    for millis in 1..=100 {
        tally.add(&Record { duration: Duration::from_millis(millis), ..answered(None, &[]) });
    }
    let failure = Failure::new(FailureKind::Timeout, "late");
    let late =
        Record { outcome: Err(failure), duration: Duration::from_secs(9), ..answered(None, &[]) };
    tally.add(&late);
    for (share, expected) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (1.0, 100.0)] {
        let millis = tally.latency(share).expect("answers").as_secs_f64() * 1e3;
        assert!((millis - expected).abs() <= expected / 1000.0, "{share}: {millis}");
    }
    assert_eq!(tally.longest(), Some(Duration::from_millis(100)));
    assert_eq!((tally.sent(), tally.failed), (101, 1));
}

#[test]
fn no_percentile_exceeds_the_longest() {
    let mut tally = Tally::default();
    tally.add(&Record { duration: Duration::from_nanos(1_234_567_891), ..answered(None, &[]) });
    assert!(tally.latency(0.99) <= tally.longest());
}

#[test]
fn a_header_counts_once_a_request_and_keeps_a_value_that_stays() {
    let mut tally = Tally::default();
    tally.add(&answered(None, &[("same", "1"), ("differs", "1"), ("twice", "1"), ("twice", "1")]));
    tally.add(&answered(None, &[("same", "1"), ("differs", "2")]));
    let seen: Vec<_> = tally
        .request
        .seen
        .iter()
        .map(|it| (it.name.as_str(), it.count, it.value.as_deref()))
        .collect();
    assert_eq!(seen, [("same", 2, Some("1")), ("differs", 2, None), ("twice", 1, None)]);
    assert_eq!(tally.request.known, 2);
    assert_eq!(tally.response.unknown[&Unknown::NoWitness], 2);
}

#[test]
fn made_up_names_do_not_fill_the_memory() {
    let mut tally = Tally::default();
    for number in 0..DISTINCT + 7 {
        let name = format!("x-{number}");
        tally.add(&answered(Some(&name), &[(&name, "1")]));
    }
    assert_eq!((tally.backends.len(), tally.backend_others), (DISTINCT, 7));
    assert_eq!((tally.request.seen.len(), tally.request.others), (DISTINCT, 7));
}
