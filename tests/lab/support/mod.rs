//! What the tests share.

mod admin;
pub mod backend2;
mod balancer;
pub mod certificates;
mod client;
pub mod frames;
pub mod http2;
pub mod lab;
mod program;
mod recording;
mod reloadable;
mod say;
pub mod secure;
mod upstream;

pub use admin::{Admin, Metrics};
pub use balancer::Balancer;
pub use client::{Answer, Client, ask, get};
pub use program::Program;
pub use recording::Recording;
pub use reloadable::Reloadable;
pub use say::say;
pub use upstream::{Received, Upstream};
