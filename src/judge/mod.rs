//! A proxy under test as a black box: it is run, watched and ended from
//! outside, whatever language it is written in and whatever it does.

pub mod ports;
pub mod program;
