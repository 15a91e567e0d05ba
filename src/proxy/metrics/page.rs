//! One scrape: series and their values now, as text.

use std::collections::BTreeMap;

use prometheus::core::{Collector, Metric as _};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Histogram, TextEncoder};

use super::family::{Family, Kind};

/// The type of [`Page::to_text`]: Prometheus' text format 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Series and their values at one moment.
#[derive(Default)]
pub struct Page(BTreeMap<String, MetricFamily>);

// === impl Page ===

impl Page {
    /// A counter or a gauge, with the values of the family's labels in their order.
    pub fn add(&mut self, family: &Family, values: &[&str], value: f64) {
        let mut metric = labelled(family, values);
        match family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        self.push(family, metric);
    }

    /// A counter.
    pub fn count(&mut self, family: &Family, values: &[&str], count: u64) {
        self.add(family, values, count as f64);
    }

    /// How large many numbers were.
    pub fn histogram(&mut self, family: &Family, values: &[&str], histogram: &Histogram) {
        let mut metric = labelled(family, values);
        metric.set_histogram(histogram.metric().get_histogram().clone());
        self.push(family, metric);
    }

    /// What knows its own names.
    pub fn add_collected(&mut self, collector: &impl Collector) {
        let families = collector.collect().into_iter();
        self.0.extend(families.map(|family| (family.name().to_owned(), family)));
    }

    fn push(&mut self, family: &Family, metric: Metric) {
        let series = self.0.entry(family.name.to_owned()).or_insert_with(|| {
            let mut series = MetricFamily::default();
            series.set_name(family.name.to_owned());
            series.set_help(family.help.to_owned());
            series.set_field_type(match family.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            series
        });
        series.mut_metric().push(metric);
    }

    /// In Prometheus' text format 0.0.4, in the order of the names.
    ///
    /// # Errors
    ///
    /// None that is known of: what cannot be written in that format would be one.
    pub fn to_text(&self) -> prometheus::Result<String> {
        let families: Vec<_> = self.0.values().cloned().collect();
        TextEncoder::new().encode_to_string(&families)
    }
}

fn labelled(family: &Family, values: &[&str]) -> Metric {
    debug_assert_eq!(family.labels.len(), values.len(), "{}", family.name);
    let pairs = family.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    super::super::family::families! { THINGS_AND_AGES:
        THINGS = "things_total" Counter ["kind"] "What there is.";
        AGE = "age" Gauge [] "How old.";
    }

    #[test]
    fn series_of_one_name_stand_together_and_labels_are_escaped() {
        assert_eq!(THINGS_AND_AGES.len(), 2);
        let mut page = Page::default();
        page.count(&THINGS, &["a\"b\\c\nd"], 3);
        page.add(&AGE, &[], 0.5);
        page.count(&THINGS, &["e"], 4);
        assert_eq!(
            page.to_text().unwrap(),
            "# HELP age How old.\n# TYPE age gauge\nage 0.5\n\
             # HELP things_total What there is.\n# TYPE things_total counter\n\
             things_total{kind=\"a\\\"b\\\\c\\nd\"} 3\nthings_total{kind=\"e\"} 4\n"
        );
    }
}
