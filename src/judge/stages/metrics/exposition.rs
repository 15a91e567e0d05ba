//! Prometheus' text format 0.0.4, read strictly: what this does not take, some scraper
//! does not take either.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::collections::{BTreeMap, BTreeSet};

/// What a program shows of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    /// Its metrics, in their order.
    pub families: Vec<Family>,
}

/// A metric, with all of its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name, which those of its samples begin with.
    pub name: String,
    /// Its kind, as spelt: `counter`, `gauge`, `histogram`, …
    pub kind: String,
    /// Its samples, in their order.
    pub samples: Vec<Sample>,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name: that of its family, or with `_bucket`, `_sum` or `_count` behind it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Where a text is not in the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which rule it breaks.
    pub rule: Rule,
    /// The line, from 1.
    pub number: usize,
    /// What stands there.
    pub line: String,
}

/// A rule of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A line is `# HELP`, `# TYPE`, a comment, empty, or a sample: a name, labels in
    /// braces, a number. Each ends with a line feed.
    Line,
    /// `# TYPE` stands before the first sample of its metric, and once; `# HELP` once, too.
    Type,
    /// All lines of a metric stand together.
    Together,
    /// A series has one value.
    Once,
}

/// The kinds whose samples have more names than one.
const PARTS: [(&str, &[&str]); 2] =
    [("histogram", &["_bucket", "_sum", "_count"]), ("summary", &["", "_sum", "_count"])];

// === impl Exposition ===

impl Exposition {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// The first line that breaks a rule.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut read = Self::default();
        let (mut helped, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for (number, piece) in (1..).zip(text.split_inclusive('\n')) {
            let fault =
                |rule| Fault { rule, number, line: piece.trim_end_matches('\n').to_owned() };
            let Some(line) = piece.strip_suffix('\n') else { return Err(fault(Rule::Line)) };
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default();
                if !is_name(name, true) {
                    return Err(fault(Rule::Line));
                }
                if !helped.insert(name.to_owned()) {
                    return Err(fault(Rule::Type));
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let Some((name, kind)) = rest.split_once(' ') else {
                    return Err(fault(Rule::Line));
                };
                if !is_name(name, true) || !is_kind(kind) {
                    return Err(fault(Rule::Line));
                }
                if read.family(name).is_some() {
                    return Err(fault(Rule::Type));
                }
                let (name, kind) = (name.to_owned(), kind.to_owned());
                read.families.push(Family { name, kind, samples: Vec::new() });
            } else if !line.is_empty() && !line.starts_with('#') {
                let sample = sample(line).ok_or_else(|| fault(Rule::Line))?;
                read.put(sample, &mut seen).map_err(fault)?;
            }
        }
        Ok(read)
    }

    fn put(&mut self, sample: Sample, seen: &mut BTreeSet<String>) -> Result<(), Rule> {
        if !seen.insert(format!("{}{:?}", sample.name, sample.labels)) {
            return Err(Rule::Once);
        }
        let of = self.families.iter().position(|family| family.has(&sample.name));
        let Some(of) = of else { return Err(Rule::Type) };
        if of + 1 != self.families.len() {
            return Err(Rule::Together);
        }
        self.families[of].samples.push(sample);
        Ok(())
    }

    /// The metric of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.families.iter().map(|family| family.samples.len()).sum()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.families.iter().flat_map(|family| &family.samples)
    }
}

// === impl Family ===

impl Family {
    fn has(&self, sample: &str) -> bool {
        let parts = PARTS.iter().find(|(kind, _)| *kind == self.kind);
        let parts = parts.map_or(&[""][..], |(_, parts)| parts);
        sample.strip_prefix(&self.name).is_some_and(|rest| parts.contains(&rest))
    }

    /// Its samples of this name: `_sum` for that of the family with `_sum` behind it.
    pub fn part<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Sample> {
        let named = move |sample: &&Sample| sample.name.strip_prefix(&self.name) == Some(part);
        self.samples.iter().filter(named)
    }
}

// === impl Sample ===

impl Sample {
    /// The value of a label; empty for none, which is the same in the format.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// `name{label="value",…} 1.5`, with a time behind it or none.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' ', '\t']).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            inside = inside.trim_start();
            if let Some(behind) = inside.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (name, behind) = inside.split_once('=')?;
            let name = name.trim();
            let (value, behind) = quoted(behind.trim_start())?;
            if !is_name(name, false) || labels.insert(name.to_owned(), value).is_some() {
                return None;
            }
            let behind = behind.trim_start();
            inside = match behind.strip_prefix(',') {
                Some(behind) => behind,
                None => behind.starts_with('}').then_some(behind)?,
            };
        }
    }
    let mut words = rest.split_whitespace();
    let value = number(words.next()?)?;
    let time_or_end = words.next().is_none_or(|time| time.parse::<i64>().is_ok());
    (is_name(name, true) && time_or_end && words.next().is_none()).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A value in quotation marks, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let (mut value, mut chars) = (String::new(), inside.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &inside[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            char => value.push(char),
        }
    }
    None
}

fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        word => word.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || (colons && char == ':');
    !name.is_empty()
        && name.chars().all(fits)
        && !name.starts_with(|char: char| char.is_ascii_digit())
}

fn is_kind(kind: &str) -> bool {
    matches!(kind, "counter" | "gauge" | "histogram" | "summary" | "untyped")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP http_requests_total Requests.\n\
        # TYPE http_requests_total counter\n\
        http_requests_total{backend=\"127.0.0.1:1\",status=\"2xx\"} 12\n\
        http_requests_total{backend=\"-\",status=\"5xx\",} 1e0 1700000000000\n\
        \n\
        # a comment\n\
        # TYPE http_seconds histogram\n\
        http_seconds_bucket{le=\"0.1\"} 3\n\
        http_seconds_bucket{le=\"+Inf\"} 4\n\
        http_seconds_sum 1.5\n\
        http_seconds_count 4\n";

    #[test]
    fn what_is_right_is_read_whole() {
        let read = Exposition::parse(GOOD).unwrap();
        assert_eq!(read.series(), 6);
        let requests = read.family("http_requests_total").unwrap();
        assert_eq!((requests.kind.as_str(), requests.samples.len()), ("counter", 2));
        let first = &requests.samples[0];
        assert_eq!((first.label("backend"), first.label("none")), ("127.0.0.1:1", ""));
        let seconds = read.family("http_seconds").unwrap();
        let sums: Vec<_> = seconds.part("_sum").map(|sample| sample.value).collect();
        assert_eq!(sums, [1.5]);
        assert_eq!(seconds.part("_bucket").count(), 2);
        let odd = "# TYPE a gauge\na{b=\"\\\\ \\\" \\n\"} NaN\n";
        let read = Exposition::parse(odd).unwrap();
        assert_eq!(read.families[0].samples[0].label("b"), "\\ \" \n");
    }

    #[test]
    fn each_rule_is_kept_to() {
        let typed = |lines: &str| format!("# TYPE a counter\n{lines}");
        for (text, rule, number) in [
            (typed("a 1"), Rule::Line, 2),
            (typed("a one\n"), Rule::Line, 2),
            (typed("a{b=\"c} 1\n"), Rule::Line, 2),
            (typed("a{b=c} 1\n"), Rule::Line, 2),
            (typed("a{b=\"\\t\"} 1\n"), Rule::Line, 2),
            (typed("a{b=\"1\",b=\"2\"} 1\n"), Rule::Line, 2),
            (typed("a{b=\"1\" c=\"2\"} 1\n"), Rule::Line, 2),
            (typed("a 1 2 3\n"), Rule::Line, 2),
            (typed("1a 1\n"), Rule::Line, 2),
            (typed("a 1\r\n"), Rule::Line, 0),
            ("# TYPE a number\n".to_owned(), Rule::Line, 1),
            ("# TYPE a\n".to_owned(), Rule::Line, 1),
            ("a 1\n# TYPE a counter\n".to_owned(), Rule::Type, 1),
            (typed("# TYPE a counter\n"), Rule::Type, 2),
            (typed("a_sum 1\n"), Rule::Type, 2),
            ("# HELP a b\n# HELP a b\n".to_owned(), Rule::Type, 2),
            (typed("a 1\n# TYPE b gauge\nb 1\na{c=\"d\"} 1\n"), Rule::Together, 5),
            (typed("a{b=\"c\"} 1\na{b=\"c\"} 2\n"), Rule::Once, 3),
        ] {
            let found = Exposition::parse(&text).map_err(|fault| (fault.rule, fault.number));
            // White space at the end of a line is allowed.
            let wanted = if number == 0 { found.clone() } else { Err((rule, number)) };
            assert_eq!(found, wanted, "{text}");
        }
    }
}
