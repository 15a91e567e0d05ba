//! Fields that are lists (RFC 9110, section 5.6.1).

use http::{HeaderMap, HeaderName};

/// The members of all fields of a name, in their order and without the space around
/// them. Empty ones are among them.
#[inline]
pub fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(name).into_iter();
    fields.flat_map(|field| field.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii)
}

/// Whether a word is among them, in any case.
#[inline]
pub fn names(headers: &HeaderMap, name: &HeaderName, word: &[u8]) -> bool {
    members(headers, name).any(|member| member.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::VARY;

    use super::*;

    #[test]
    fn several_fields_are_one_list() {
        let mut headers = HeaderMap::new();
        for value in ["a , B,", "", "c\td"] {
            headers.append(VARY, HeaderValue::from_static(value));
        }
        let members: Vec<_> = members(&headers, &VARY).collect();
        assert_eq!(members, [&b"a"[..], b"B", b"", b"", b"c\td"]);
        assert!(names(&headers, &VARY, b"b") && !names(&headers, &VARY, b"c"));
    }
}
