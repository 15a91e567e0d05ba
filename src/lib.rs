//! `pingora-lab`: a load balancer on Pingora, lab backends to point it at, a
//! probe that shows what it did, and a course in which one writes one's own.
//!
//! # Map
//!
//! | room | what lives there | it may call |
//! | --- | --- | --- |
//! | [`cli`] | the command tree, one file a subcommand, each a few calls into a room | every room |
//! | [`config`] | what a user may write down: types, defaults, validation, errors with their place | nothing |
//! | [`proxy`] | what happens to one request: Pingora's phases and what they call (`docs/serve.md`) | [`config`] |
//! | [`server`] | the life of the process: sockets, start-up, log, signals, drain, and whoever looks after it (`docs/operation.md`) | [`config`], [`proxy`] |
//! | [`backends`] | the lab backends: stand-ins for httpbin, example.com and jsonplaceholder (`docs/lab-backends.md`) | nothing |
//! | [`probe`] | request batches: plan, send, observe, report (`docs/probe.md`) | [`language`] |
//! | [`judge`] | a proxy under test as a black box: its process, the traffic, the verdict | [`backends`], [`language`] |
//! | [`course`] | lessons as data, the learner's workspace, builds, progress, the watch screen, the proof of the lessons (`docs/course.md`) | [`judge`], [`language`], [`backends`] |
//! | [`language`] | which of the two languages a person reads | nothing |
//!
//! `tests/lab` runs the built program over real sockets; one of its tests holds
//! the rooms to the last column of this table.
//!
//! # How a request flows
//!
//! A client connects to a socket of [`server`]; Pingora reads the request's
//! header and calls the phases of [`proxy::service::Proxy`], which share one
//! [`proxy::context::RequestContext`]. The phases go by what was prepared
//! before: the header rules, when the configuration was read; the backends that
//! take turns, when health or addresses last changed ([`proxy::pool`]). The last
//! phase counts the request and writes its line of the access log from that same
//! context.

pub mod backends;
pub mod cli;
pub mod config;
pub mod course;
pub mod judge;
pub mod language;
pub mod probe;
pub mod proxy;
pub mod server;
