//! Faults on request, in tests of this package alone: what a panic in a phase leaves
//! behind can be seen from outside only if there is one.

use pingora::http::RequestHeader;

/// The field that names the phase in which a request is to fail.
pub const FIELD: &str = "x-fault";

/// Panics if the request asks for it here.
pub fn at(phase: &str, request: &RequestHeader) {
    if request.headers.get(FIELD).is_some_and(|asked| asked.as_bytes() == phase.as_bytes()) {
        panic!("the test asked for it in {phase}");
    }
}
