//! The admin listener of a running `pingora-lab serve`, and its metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Answer, Balancer, ask, get};

/// An admin listener.
pub struct Admin {
    pub address: SocketAddr,
}

/// What `/metrics` says at one moment; it is held to the text format, 0.0.4.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Values by series as they are written, labels included.
    pub series: BTreeMap<String, f64>,
    /// Kinds by names.
    pub kinds: BTreeMap<String, String>,
}

impl Balancer {
    /// Its admin listener, which it was started with.
    pub fn admin(&self) -> Admin {
        let address = self.event(|event| {
            (event["target"] == "admin").then(|| event["address"].as_str()?.parse().ok())?
        });
        Admin { address }
    }
}

impl Admin {
    pub fn get(&self, path: &str) -> Answer {
        get(self.address, path, &[])
    }

    pub fn post(&self, path: &str) -> Answer {
        let host = self.address;
        ask(self.address, format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    pub fn status(&self) -> serde_json::Value {
        let answer = self.get("/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        Metrics::parse(&answer.text())
    }

    /// What is counted once so many requests have ended and none is in flight. A client
    /// has its answer before, and what is counted of one request is not counted, nor
    /// read, at one moment.
    pub fn ended(&self, requests: u32) -> Metrics {
        self.until("they have ended", |metrics| {
            metrics.sum("pingora_lab_requests_total", &[]) == f64::from(requests)
                && metrics.sum("pingora_lab_requests_in_flight", &[]) == 0.0
        });
        self.metrics()
    }

    /// Looks again and again until it is as `is` says.
    pub fn until(&self, what: &str, is: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let metrics = self.metrics();
            if is(&metrics) {
                return metrics;
            }
            assert!(Instant::now() < deadline, "{what}: {metrics:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Metrics {
    /// Strictly: each name is described and typed once, before its series, which stand
    /// together; no series comes twice; histograms add up.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let parsed = prometheus_parse::Scrape::parse(lines).expect("the text format");
        assert!(!parsed.samples.is_empty());
        assert!(text.ends_with('\n') && !text.contains('\r'), "lines end with a line feed");
        let (mut series, mut kinds) = (BTreeMap::new(), BTreeMap::<String, String>::new());
        let mut described = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a description");
                assert!(!help.is_empty() && described.insert(name.to_owned()), "{line}");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a kind");
                assert_eq!(name, current, "a kind stands under its description");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a value");
                let bare = name.split('{').next().expect("a name");
                let kind = kinds[&current].as_str();
                let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{current}{part}"));
                match kind {
                    "histogram" => assert!(parts.iter().any(|part| part == bare), "{line}"),
                    _ => assert_eq!(bare, current, "{line}"),
                }
                let value: f64 = value.parse().expect("a number");
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                let named_so = current.ends_with("_total");
                assert_eq!(kind == "counter", named_so, "a counter's name says so: {line}");
                assert!(series.insert(name.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        let metrics = Self { series, kinds };
        metrics.histograms_add_up(text);
        metrics
    }

    fn histograms_add_up(&self, text: &str) {
        let mut last = (String::new(), -1.0_f64, 0.0_f64);
        for line in text.lines().filter(|line| line.contains("_bucket{")) {
            let (name, count) = line.rsplit_once(' ').expect("a value");
            let (of, bound) = name.split_once("le=\"").expect("a bound");
            let bound: f64 = match bound.trim_end_matches("\"}") {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().expect("a number"),
            };
            let count: f64 = count.parse().expect("a number");
            if of == last.0 {
                assert!(bound > last.1 && count >= last.2, "{line}");
            } else {
                assert!(last.0.is_empty() || last.1.is_infinite(), "no +Inf: {}", last.0);
            }
            if bound.is_infinite() {
                let labels = of.split_once('{').expect("labels");
                let labels = labels.1.trim_end_matches(',');
                let whole = match labels {
                    "" => String::new(),
                    labels => format!("{{{labels}}}"),
                };
                let name = of.split("_bucket").next().expect("a name");
                assert_eq!(self.series[&format!("{name}_count{whole}")], count, "{line}");
                let sum = self.series[&format!("{name}_sum{whole}")];
                assert!(sum >= 0.0 && (count > 0.0 || sum == 0.0), "{line}");
            }
            last = (of.to_owned(), bound, count);
        }
    }

    /// The sum of the series of a name that have all of these labels
    /// (`backend="a"`); 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |series: &str| {
            let (bare, rest) = series.split_once('{').unwrap_or((series, ""));
            bare == name && labels.iter().all(|label| rest.contains(label))
        };
        self.series.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }

    /// Whether there is a series of a name with all of these labels.
    pub fn has(&self, name: &str, labels: &[&str]) -> bool {
        self.series.keys().any(|series| {
            series.split('{').next() == Some(name)
                && labels.iter().all(|label| series.contains(label))
        })
    }
}
