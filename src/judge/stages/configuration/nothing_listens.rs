//! One bad file of each kind, and nothing listens at any time.

use crate::judge::scene::Scene;
use crate::judge::stage::Outcome;
use crate::judge::stages::refused::{Heard, Kind, unheard};

/// Those of which half could be served come first.
const KINDS: [Kind; 5] = [
    |right| right.unknown_pools(),
    |right| right.empty_lists(),
    |right| right.wrong_values(),
    |right| right.unknown_keys(),
    |right| right.no_toml(),
];

/// One file of each kind.
pub async fn nothing_listens(scene: &Scene) -> Outcome {
    for kind in KINDS {
        if unheard(scene, kind).await? == Heard::NotRefused {
            return Ok(());
        }
    }
    Ok(())
}
