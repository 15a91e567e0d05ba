//! The first check of every stage: the program starts, and listens where it was
//! told to.

use futures_util::FutureExt;

use crate::judge::scene::Scene;
use crate::judge::stage::{Check, Outcome};

/// The check.
pub const STARTS: Check =
    Check { id: "starts", diagnoses: &[], run: |scene| starts(scene).boxed() };

async fn starts(scene: &Scene) -> Outcome {
    let backends = scene.backends(3)?;
    let running = scene.start(&backends).await?;
    match running.ended().await {
        Some(finding) => Err(finding),
        None => Ok(()),
    }
}
