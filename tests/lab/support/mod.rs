//! What the tests share.

mod balancer;
mod client;
mod program;
mod upstream;

pub use balancer::Balancer;
pub use client::{Answer, Client, ask, get};
pub use program::Program;
pub use upstream::Upstream;
