//! What the program has written down and counted is what its clients were told.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::load::{Asked, Told};
use super::site::{PAUSE, Site};
use crate::backends::recording::RecordingBackend;
use crate::judge::client::{Client, Trouble};
use crate::judge::diagnosis::Finding;
use crate::judge::stage::Outcome;
use crate::judge::stages::access_log::lines::object;
use crate::judge::stages::metrics::exposition::Exposition;
use crate::judge::stages::metrics::measured::{class, counts};

/// How long lines and counts may lag behind the answers.
const LAG: Duration = Duration::from_secs(2);

/// All that the program writes to its standard output, however much.
#[derive(Debug, Default)]
pub struct Written {
    text: Mutex<Vec<u8>>,
    lost: Mutex<bool>,
}

/// What the books must say: of each request that was answered its status, and so on.
#[derive(Debug, Default)]
struct Due {
    /// Requests that ended with a status that is known.
    known: Vec<(String, u16)>,
    /// Requests that were left by their clients: how.
    left: Vec<(String, &'static str)>,
    /// Requests of which nobody can say whether the program has read them.
    unsure: Vec<String>,
}

// === impl Written ===

impl Written {
    /// Takes what has come since.
    pub fn look(&self, site: &Site<'_>) {
        let mut text = self.text.lock();
        match site.running.written_since(text.len() as u64) {
            Some(more) => text.extend(more),
            None => *self.lost.lock() = true,
        }
    }

    /// Looks again and again.
    pub async fn follow(&self, site: &Site<'_>) -> Infallible {
        loop {
            self.look(site);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// By path the status of each line.
    fn statuses(&self) -> HashMap<String, Vec<u64>> {
        let mut statuses = HashMap::<_, Vec<_>>::new();
        let text = self.text.lock();
        for line in text.split(|byte| *byte == b'\n') {
            let Some(line) = object(&String::from_utf8_lossy(line)) else { continue };
            let (path, status) = (line.get("path"), line.get("status"));
            let Some(path) = path.and_then(Value::as_str) else { continue };
            let status = status.and_then(Value::as_u64).unwrap_or_default();
            statuses.entry(path.to_owned()).or_default().push(status);
        }
        statuses
    }
}

// === impl Due ===

impl Due {
    fn of(site: &Site<'_>) -> Self {
        let mut due = Self::default();
        for Asked { target, told, .. } in site.asked.lock().iter() {
            match told {
                Told::Right | Told::Wrong(_) => due.known.push((target.clone(), 200)),
                Told::Status(status)
                | Told::Trouble(Trouble::Incomplete { status: Some(status), .. }) => {
                    due.known.push((target.clone(), *status));
                }
                Told::Trouble(_) => due.unsure.push(target.clone()),
            }
        }
        for left in site.left.lock().iter() {
            if left.received {
                due.left.push((left.target.clone(), left.how));
            } else {
                due.unsure.push(left.target.clone());
            }
        }
        due
    }

    /// What the lines say otherwise.
    fn lines(&self, site: &Site<'_>, lines: &HashMap<String, Vec<u64>>) -> Outcome {
        // Whoever writes nothing at all is told so by stage 08; with a file, nobody has to.
        if !self.known.iter().any(|(target, _)| lines.contains_key(target)) {
            return Ok(());
        }
        let of = |target: &String| lines.get(target).map_or(&[][..], Vec::as_slice);
        let known =
            self.known.iter().map(|(target, status)| (target, Some(*status), "it was answered"));
        let left = self.left.iter().map(|(target, how)| (target, None, *how));
        let about = |id, target: &str, expected: String, actual: String, how: &str| {
            let found = site.found(id).compared(expected, actual).with("request", target);
            found.with("how", how)
        };
        for (target, status, how) in known.chain(left) {
            let id = match (of(target), status) {
                ([], Some(_)) => "line-lost",
                ([], None) => "abort-leaves-no-line",
                ([_, _, ..], _) => "line-doubled",
                ([said], Some(status)) if *said != u64::from(status) => "logged-status-untrue",
                _ => continue,
            };
            let words =
                status.map_or_else(|| "1 line".to_owned(), |status| format!("1 line, {status}"));
            let actual = match of(target) {
                [said] => format!("1 line, {said}"),
                several => format!("{} lines", several.len()),
            };
            let found = about(id, target, words, actual, how).with("times", of(target).len());
            let lacks = of(target).is_empty();
            return Err(if lacks { found.timed().fail() } else { found.fail() });
        }
        Ok(())
    }

    /// What is counted otherwise, by class, of the backends that are in the file all the time:
    /// of one that was not, a program may have taken the series away.
    fn counted(&self, site: &Site<'_>, counted: &BTreeMap<String, u64>) -> Outcome {
        let last = site.scene.recorder.read(|log| {
            let pairs = log.requests().map(|one| (one.target.clone(), Arc::clone(&one.backend)));
            pairs.collect::<HashMap<_, _>>()
        });
        let steady: Vec<_> = steady(site).map(RecordingBackend::name).collect();
        let here = |target: &String| last.get(target).is_some_and(|name| steady.contains(&&**name));
        let mut due = BTreeMap::<String, u64>::new();
        for (_, status) in self.known.iter().filter(|(target, _)| here(target)) {
            *due.entry(class(*status)).or_default() += 1;
        }
        let left = self.left.iter().filter(|(target, _)| here(target)).count() as u64;
        let unsure = self.unsure.iter().filter(|target| here(target)).count() as u64;
        let (known, all): (u64, u64) = (due.values().sum(), counted.values().sum());
        let of = |class: &String| counted.get(class).copied().unwrap_or_default();
        let words = |counts: &BTreeMap<String, u64>| {
            let one = |(class, count): (&String, &u64)| format!("{class}: {count}");
            counts.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let few = due.iter().any(|(class, count)| of(class) < *count);
        let id = match () {
            () if few || all > known + left + unsure => "count-differs",
            () if all < known + left => "abort-not-in-metrics",
            () => return Ok(()),
        };
        Err(site
            .found(id)
            .compared(format!("{}, and {left} left by their clients", words(&due)), words(counted))
            .with("answered", known)
            .with("left", left)
            .with("counted", all)
            .timed()
            .fail())
    }
}

/// Those that are in the file all the time.
fn steady<'a>(site: &'a Site<'_>) -> impl Iterator<Item = &'a RecordingBackend> {
    let pools = &site.pools;
    [&pools.api, &pools.pair, &pools.stalled].into_iter().flat_map(|pool| &pool.backends)
}

/// Each request has its line, and is counted.
///
/// # Errors
///
/// One has not, or is not.
pub async fn agree(site: &Site<'_>, written: &Written) -> Outcome {
    let due = Due::of(site);
    let deadline = Instant::now() + LAG;
    loop {
        written.look(site);
        let lines = due.lines(site, &written.statuses());
        let counted = due.counted(site, &counted(site).await?);
        let agree = lines.and(counted);
        if agree.is_ok() || Instant::now() > deadline {
            if *written.lost.lock() {
                return Err(site.scene.our_error("the log", &"it came too quickly to be read"));
            }
            return agree;
        }
        tokio::time::sleep(5 * PAUSE).await;
    }
}

/// What is counted, by class, of those that are in the file all the time.
async fn counted(site: &Site<'_>) -> Result<BTreeMap<String, u64>, Finding> {
    let client = Client::new(site.admin);
    let request = client.request("GET", "/metrics");
    let page = match client.send(&request).await {
        Ok(page) => page.text(),
        Err(trouble) => return Err(site.running.trouble(&trouble, &request).await),
    };
    // What is not in the format is stage 17's business, and counts nothing here.
    let read = Exposition::parse(&page).unwrap_or_default();
    let mut classes = BTreeMap::new();
    let steady: Vec<_> = steady(site).map(|backend| backend.address().to_string()).collect();
    for ((backend, class), count) in counts(&read) {
        if !steady.contains(&backend) {
            continue;
        }
        *classes.entry(class).or_default() += count;
    }
    Ok(classes)
}
