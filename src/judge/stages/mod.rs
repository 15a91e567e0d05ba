//! The stages, each with its checks.

mod failures;
mod first_proxy;
mod starts;

use super::stage::Stage;

/// All stages that can be judged, in the order of the course.
pub const STAGES: &[&Stage] = &[&first_proxy::STAGE, &failures::STAGE];

/// The stage of this id.
pub fn stage(id: &str) -> Option<&'static Stage> {
    STAGES.iter().copied().find(|stage| stage.id == id)
}
