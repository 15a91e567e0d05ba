//! Where in a request a credential stands, and how it is taken out of it.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};
use pingora::http::RequestHeader;

use super::denial::Denial;
use crate::proxy::cookie;

/// The field of a name, if there is one.
///
/// # Errors
///
/// There are several: whoever reads them next may go by another.
pub fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Denial> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(Denial::Several),
        (field, None) => Ok(field.map(http::HeaderValue::as_bytes)),
    }
}

/// What follows the scheme in the `Authorization` field, if it is this scheme, in any
/// case (RFC 9110, section 11.4).
///
/// # Errors
///
/// There are several such fields.
pub fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<Option<&'a [u8]>, Denial> {
    Ok(only(headers, &AUTHORIZATION)?.and_then(|field| after_scheme(field, scheme)))
}

fn after_scheme<'a>(field: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (named, rest) = field.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    named.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.trim_ascii())
}

/// The value of the cookie of a name, if there is one.
///
/// # Errors
///
/// There are several.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Denial> {
    let mut values = cookie::values(headers, name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Denial::Several),
        (value, None) => Ok(value),
    }
}

/// Takes the `Authorization` field out, if it is of this scheme.
pub fn remove_authorization(request: &mut RequestHeader, scheme: &str) {
    let field = request.headers.get(AUTHORIZATION);
    if field.is_some_and(|field| after_scheme(field.as_bytes(), scheme).is_some()) {
        request.remove_header(&AUTHORIZATION);
    }
}

/// Takes the cookies of a name out and leaves the others.
///
/// # Errors
///
/// None that is known of: fewer fields are written than there were.
pub fn remove_cookie(request: &mut RequestHeader, name: &str) -> pingora::Result<()> {
    if !matches!(cookie(&request.headers, name), Ok(None)) {
        let fields: Vec<_> = request.headers.get_all(COOKIE).iter().cloned().collect();
        request.remove_header(&COOKIE);
        for field in fields {
            let left: Vec<_> = cookie::pairs(field.as_bytes())
                .filter(|pair| cookie::value_of(pair, name).is_none())
                .collect();
            if !left.is_empty() {
                request.append_header(COOKIE, left.join(&b"; "[..]))?;
            }
        }
    }
    Ok(())
}

/// The value of a parameter of a query, if there is one.
///
/// # Errors
///
/// There are several.
pub fn parameter(query: &str, name: &str) -> Result<Option<String>, Denial> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter(|(other, _)| other == name).map(|(_, value)| value.into_owned());
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Denial::Several),
        (value, None) => Ok(value),
    }
}

/// A path and query without the parameters of a name; `None` if there are none. The
/// other parameters stay as they are, byte for byte.
pub fn without_parameter(path_and_query: &str, name: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?')?;
    let is_other = |pair: &&str| {
        form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(other, _)| other != name)
    };
    let left: Vec<_> = query.split('&').filter(is_other).collect();
    let left = left.join("&");
    if left.len() == query.len() {
        return None;
    }
    Some(if left.is_empty() { path.to_owned() } else { format!("{path}?{left}") })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_scheme_is_read_in_any_case_and_only_as_a_whole() {
        let read = |value| {
            let headers = headers(&[("authorization", value)]);
            authorization(&headers, "Bearer").map(|token| token.map(<[u8]>::to_vec))
        };
        assert_eq!(read("Bearer abc"), Ok(Some(b"abc".to_vec())));
        assert_eq!(read("bEARER  abc "), Ok(Some(b"abc".to_vec())));
        for other in ["Bearer", "Bearerabc", "Bearers abc", "Basic abc", "", "Bearer\tabc"] {
            assert_eq!(read(other), Ok(None), "{other:?}");
        }
        let two = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(authorization(&two, "Bearer"), Err(Denial::Several));
    }

    #[test]
    fn one_cookie_is_taken_out_and_the_others_stay() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for value in ["a=1; token=x; b=2", "token=y", "mytoken=z;tokens=1"] {
            request.append_header(COOKIE, value).unwrap();
        }
        assert_eq!(cookie(&request.headers, "b"), Ok(Some(&b"2"[..])));
        assert_eq!(cookie(&request.headers, "token"), Err(Denial::Several));
        remove_cookie(&mut request, "token").unwrap();
        let left: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
        assert_eq!(left, ["a=1; b=2", "mytoken=z; tokens=1"]);
        assert_eq!(cookie(&request.headers, "token"), Ok(None));
    }

    #[test]
    fn one_parameter_is_taken_out_however_it_is_written() {
        for (from, to) in [
            ("/a?key=1", Some("/a")),
            ("/a?x=%20&key=1&y", Some("/a?x=%20&y")),
            ("/a?%6bey=1&x", Some("/a?x")),
            ("/a?keys=1", None),
            ("/a", None),
            ("/key=1", None),
            ("/a?", None),
        ] {
            assert_eq!(without_parameter(from, "key").as_deref(), to, "{from}");
        }
        assert_eq!(parameter("a=1&key=a%2Fb", "key"), Ok(Some("a/b".to_owned())));
        assert_eq!(parameter("key=1&%6Bey=2", "key"), Err(Denial::Several));
        assert_eq!(parameter("keys=1", "key"), Ok(None));
    }
}
