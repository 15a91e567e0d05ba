//! `pingora-lab`: a load balancer on Pingora, lab backends to point it at, and
//! a probe that shows what it did.
//!
//! # Map
//!
//! | room | what lives there | it may call |
//! | --- | --- | --- |
//! | [`cli`] | the command tree, one file a subcommand | every room |
//! | [`backends`] | the lab backends: stand-ins for httpbin, example.com and jsonplaceholder | nothing |
//! | [`probe`] | request batches: plan, send, observe, report (`docs/probe.md`) | [`language`] |
//! | [`language`] | which of the two languages a person reads | nothing |

pub mod backends;
pub mod cli;
pub mod config;
pub mod language;
pub mod probe;
pub mod proxy;
pub mod server;
