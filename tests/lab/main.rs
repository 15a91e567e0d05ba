//! The program as its users run it: the built binary and real sockets.
//!
//! One test binary for all, so that Pingora is linked once.

mod backends;
mod cmake;
mod course;
mod documents;
mod fuzz;
mod judge;
mod learn;
mod probe;
mod serve;
mod stress;
mod support;
mod together;
mod walls;
