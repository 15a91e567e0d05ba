//! Fields that a backend may take for others: one that turns `-` into `_`, as CGI does
//! (RFC 3875, section 4.1.18), cannot tell their names apart.

use http::HeaderName;
use pingora::http::RequestHeader;

/// Whether such a backend takes one name for the other, or they are the same.
pub fn are_alike(one: &[u8], other: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    one.len() == other.len() && one.iter().map(dashed).eq(other.iter().map(dashed))
}

/// Removes all fields whose names are unwanted.
pub fn remove_where(request: &mut RequestHeader, unwanted: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = request.headers.keys().find(|name| unwanted(name)).cloned() {
        request.remove_header(&name);
    }
}
