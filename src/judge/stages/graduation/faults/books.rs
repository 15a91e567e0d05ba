//! What the program has written down and counted is what its clients were told.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::load::{Asked, Told};
use super::site::{PAUSE, Site};
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
    unsure: usize,
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
                Told::Trouble(_) => due.unsure += 1,
            }
        }
        for left in site.left.lock().iter() {
            if left.received {
                due.left.push((left.target.clone(), left.how));
            } else {
                due.unsure += 1;
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

    /// What is counted otherwise, by class.
    fn counted(&self, site: &Site<'_>, counted: &BTreeMap<String, u64>) -> Outcome {
        let mut due = BTreeMap::<String, u64>::new();
        for (_, status) in &self.known {
            *due.entry(class(*status)).or_default() += 1;
        }
        let (known, left) = (self.known.len() as u64, self.left.len() as u64);
        // What is no request may be counted, and need not.
        let more = (self.unsure + site.nonsense.load(Relaxed)) as u64;
        let all: u64 = counted.values().sum();
        let of = |class: &String| counted.get(class).copied().unwrap_or_default();
        let words = |counts: &BTreeMap<String, u64>| {
            counts
                .iter()
                .map(|(class, count)| format!("{class}: {count}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let few = due.iter().any(|(class, count)| of(class) < *count);
        let many = counted.iter().any(|(class, count)| {
            *count > due.get(class).copied().unwrap_or_default() + left + more
        });
        let id = match () {
            () if few || many || all > known + left + more => "count-differs",
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

/// What is counted, by class.
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
    for ((_, class), count) in counts(&read) {
        *classes.entry(class).or_default() += count;
    }
    Ok(classes)
}
