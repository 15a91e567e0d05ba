//! The report for a program: one JSON document.
//!
//! Requests are written as they end, so that a long batch is not held in
//! memory; the summary, known only at the end, is therefore the last key.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::Finished;
use super::super::compare::Header;
use super::super::observe::{Finding, Witness};
use super::super::plan::Plan;
use super::super::send::Record;
use super::super::tally::{Headers, Tally};

pub(in crate::probe) struct Json<W: Write> {
    out: BufWriter<W>,
    /// The number of the request that is to be written next.
    next: u64,
    /// Requests that ended before one with a lower number did. There are no
    /// more than can end within one request's time limit.
    waiting: BTreeMap<u64, Record>,
    /// What stands before the next request.
    separator: &'static str,
}

// === impl Json ===

impl<W: Write> Json<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), next: 1, waiting: BTreeMap::new(), separator: "" }
    }

    pub(super) fn begin(&mut self, plan: &Plan) -> io::Result<()> {
        let target = Value::from(plan.target.as_str());
        write!(self.out, "{{\"target\": {target},\n \"requests\": [")
    }

    pub(super) fn record(&mut self, record: Record) -> io::Result<()> {
        self.waiting.insert(record.number, record);
        while let Some(record) = self.waiting.remove(&self.next) {
            self.write(&record)?;
            self.next += 1;
        }
        Ok(())
    }

    pub(super) fn end(mut self, finished: &Finished) -> io::Result<()> {
        // An interrupted batch has gaps where requests were given up.
        for record in std::mem::take(&mut self.waiting).into_values() {
            self.write(&record)?;
        }
        writeln!(self.out, "],\n \"summary\": {}}}", summary(finished))?;
        self.out.flush()
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        write!(self.out, "{}\n  {}", self.separator, request(record))?;
        self.separator = ",";
        Ok(())
    }
}

fn request(record: &Record) -> Value {
    let answered = record.outcome.as_ref().ok();
    let backend = answered.and_then(|answered| answered.backend.as_ref());
    let mut request = Map::new();
    let mut set = |key: &str, value: Value| request.insert(key.to_owned(), value);
    set("number", json!(record.number));
    set("status", json!(answered.map(|answered| answered.status)));
    set("backend", json!(backend.map(|backend| &backend.name)));
    set("backend_source", json!(backend.map(|backend| backend.source)));
    set("duration_ms", millis(record.duration));
    set("connection_reused", json!(record.reused));
    for (direction, finding) in [
        ("request", answered.map(|answered| &answered.request)),
        ("response", answered.map(|answered| &answered.response)),
    ] {
        for (key, value) in headers(finding) {
            set(&format!("{direction}_headers_{key}"), value);
        }
    }
    set("error", json!(record.outcome.as_ref().err()));
    Value::Object(request)
}

/// One direction: what is not known is `null`.
fn headers(finding: Option<&Finding>) -> [(&'static str, Value); 5] {
    let known = finding.and_then(|finding| finding.as_ref().ok());
    let difference = known.map(|(difference, _)| difference);
    // An echo may hide headers, so that one is missing from it proves nothing.
    let complete = known.filter(|(_, witness)| *witness != Witness::Echo);
    let names = |headers: &[Header]| -> Vec<String> {
        headers.iter().map(|header| header.name.clone()).collect()
    };
    [
        ("added", json!(difference.map(|difference| &difference.added))),
        ("changed", json!(difference.map(|difference| &difference.changed))),
        ("removed", json!(complete.map(|(difference, _)| names(&difference.removed)))),
        ("source", json!(known.map(|(_, witness)| witness))),
        ("unknown", json!(finding.and_then(|finding| finding.as_ref().err()))),
    ]
}

fn summary(finished: &Finished) -> Value {
    let tally = &finished.tally;
    let mut by_backend: BTreeMap<&str, u64> = BTreeMap::new();
    for ((name, _), count) in &tally.backends {
        *by_backend.entry(name).or_default() += count;
    }
    let failures: Map<String, Value> = tally
        .failures
        .iter()
        .map(|(kind, (count, _))| (kind.word().to_owned(), json!(count)))
        .collect();
    let time = |time: Option<Duration>| time.map_or(Value::Null, millis);
    json!({
        "sent": tally.sent(),
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "by_backend": by_backend,
        "by_status": tally.statuses,
        "latency_ms": {
            "p50": time(tally.latency(0.5)),
            "p90": time(tally.latency(0.9)),
            "p99": time(tally.latency(0.99)),
            "max": time(tally.longest()),
        },
        "backend_unknown": tally.backend_unknown,
        "backend_others": tally.backend_others,
        "failures": failures,
        "headers": all_seen(tally),
        "elapsed_ms": millis(finished.elapsed),
        "interrupted": finished.interrupted.is_some(),
    })
}

fn all_seen(tally: &Tally) -> Vec<Value> {
    let list = |direction: &'static str, headers: &Headers| -> Vec<Value> {
        let known = headers.known;
        let seen = headers.seen.iter().map(|seen| {
            json!({
                "direction": direction,
                "change": seen.change,
                "name": seen.name,
                "value": seen.value,
                "seen": seen.count,
                "of": known,
            })
        });
        seen.collect()
    };
    [list("request", &tally.request), list("response", &tally.response)].concat()
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> Value {
    let micros = duration.as_micros();
    #[allow(clippy::cast_precision_loss)]
    Value::from(micros as f64 / 1e3)
}
