//! The metrics are where the file says, in Prometheus' format, and of the right kinds.

use super::measured::Measured;
use super::{DURATION, REQUESTS};
use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;

/// How many requests there are before the look: a metric with labels shows nothing before
/// the first.
const FIRST: usize = 3;

/// A few requests, and a look.
pub async fn parses(scene: &Scene) -> Outcome {
    let measured = Measured::start(scene, 2).await?;
    for _ in 0..FIRST {
        measured.send(measured.request("GET")).await?;
    }
    let both = [(REQUESTS, "counter"), (DURATION, "histogram")];
    let read = measured.until(|read| both.iter().all(|(name, _)| read.family(name).is_some()));
    let read = read.await?;
    for (name, kind) in both {
        let Some(family) = read.family(name) else {
            let names: Vec<_> = read.families.iter().map(|family| &*family.name).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(measured
                .found("metric-missing")
                .compared(name, names)
                .with("metric", name)
                .timed()
                .fail());
        };
        if family.kind != kind {
            let gauge = (kind, &*family.kind) == ("counter", "gauge");
            let id = if gauge { "gauge-for-counter" } else { "kind-wrong" };
            return Err(measured
                .found(id)
                .compared(format!("# TYPE {name} {kind}"), format!("# TYPE {name} {}", family.kind))
                .with("metric", name)
                .with("kind", kind)
                .with("actual_kind", &*family.kind)
                .fail());
        }
    }
    Ok(())
}
