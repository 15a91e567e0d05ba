//! The one reading of a path that routes decide on and backends receive.
//!
//! A path can be written in many ways that servers take for the same, so a rule
//! for `/admin` would be no rule if `/static/../admin`, `//admin` or `/%61dmin`
//! slipped past it and the backend read `/admin` all the same. Therefore a path
//! is normalised before it is matched, and what was matched is what is sent on:
//!
//! - unreserved characters that are percent-encoded are decoded, and hexadecimal
//!   digits of the others are written in capitals (RFC 3986, section 6.2.2);
//! - empty segments are left out, but for one at the end;
//! - dot segments are resolved (RFC 3986, section 5.2.4).
//!
//! An encoded slash (`%2F`) stays as it is and does not divide segments. Where
//! one, or a backslash, or a path parameter (`;`) would hide a dot segment from
//! this reading and not from a backend's, the path is refused.

use std::borrow::Cow;

/// A path that has no one reading: a broken percent-encoding, a control
/// character, or a hidden dot segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The path, without its query, in its one form. A path that is in that form
/// already, as nearly all are, is not copied.
///
/// # Errors
///
/// See [`Ambiguous`].
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<_> = decoded.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    let mut ends_in_slash = false;
    for (place, segment) in segments.iter().enumerate() {
        ends_in_slash = false;
        match *segment {
            "" | "." => ends_in_slash = place == last,
            ".." => {
                kept.pop();
                ends_in_slash = place == last;
            }
            segment if hides_dots(segment) => return Err(Ambiguous),
            segment => kept.push(segment),
        }
    }
    let mut normal = String::with_capacity(decoded.len());
    for segment in &kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if ends_in_slash || kept.is_empty() {
        normal.push('/');
    }
    Ok(if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) })
}

/// Whether nothing in it can need a second look.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        let special = match byte {
            b'%' | b'\\' | b';' | 0..=b' ' | 0x7f => true,
            b'.' | b'/' => before == b'/',
            _ => false,
        };
        if special {
            return false;
        }
        before = byte;
    }
    path.first() == Some(&b'/')
}

/// With every percent-encoding in its one form.
fn decode(path: &str) -> Result<String, Ambiguous> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') || bytes.iter().any(|b| matches!(b, 0..=b' ' | 0x7f)) {
        return Err(Ambiguous);
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let digits = after.get(..2).ok_or(Ambiguous)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Ambiguous);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Ambiguous)?;
        match byte {
            0 => return Err(Ambiguous),
            b'-' | b'.' | b'_' | b'~' => decoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => decoded.push(char::from(byte)),
            _ => {
                decoded.push('%');
                decoded.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &after[2..];
    }
    decoded.push_str(rest);
    Ok(decoded)
}

/// Whether a backend that divides segments at encoded slashes or backslashes, or
/// leaves out parameters, would find a dot segment here.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains('.') {
        return false;
    }
    let parted = segment.replace("%2F", "/").replace("%5C", "/").replace('\\', "/");
    let parameter = |part: &str| part.split([';']).next().is_some_and(|s| matches!(s, "." | ".."));
    let encoded = |part: &str| part.split("%3B").next().is_some_and(|s| matches!(s, "." | ".."));
    parted.split('/').any(|part| parameter(part) || encoded(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_path_becomes_the_one() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/static/../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%2e%2E/admin", "/admin"),
            ("//admin", "/admin"),
            ("/a//b///", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/%7euser", "/~user"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a..b/..c", "/a..b/..c"),
            ("/ä", "/ä"),
        ] {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_two_servers_would_read_in_two_ways_is_refused() {
        for path in [
            "/a%2f..%2fadmin",
            "/static/..%2fadmin",
            "/static/..%5cadmin",
            "/static/..\\admin",
            "/static/..;/admin",
            "/static/..;x=1/admin",
            "/static/.%2e;/admin",
            "/static/..%3b/admin",
            "/%",
            "/%4",
            "/%zz",
            "/%00",
            "/a b",
            "/a\u{7f}",
            "a",
            "",
        ] {
            assert_eq!(normalise(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn a_path_in_its_one_form_is_not_copied() {
        for path in ["/", "/a/b.c", "/a%2Fb", "/.well-known/x"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    /// The same, slowly and plainly: RFC 3986 one rule after the other, over pieces
    /// that are a byte each, or a percent-encoded one.
    fn reference(path: &str) -> Option<String> {
        let mut pieces = Vec::new();
        let mut rest = path;
        while let Some(first) = rest.chars().next() {
            let mut length = first.len_utf8();
            let mut piece = first.to_string();
            if first == '%' {
                length = 3;
                let byte = u8::from_str_radix(rest.get(1..3)?, 16).ok()?;
                let kept = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                // Not even a sign, which the number's parser takes.
                if byte == 0 || !rest[1..3].bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                piece = if kept { char::from(byte).into() } else { format!("%{byte:02X}") };
            } else if first <= ' ' || first == '\x7f' {
                return None;
            }
            pieces.push(piece);
            rest = &rest[length..];
        }
        if pieces.first()? != "/" {
            return None;
        }
        let dots = |pieces: &[String]| matches!(pieces.concat().as_str(), "." | "..");
        let mut kept: Vec<String> = Vec::new();
        let mut open = true;
        for segment in pieces[1..].split(|piece| piece == "/") {
            open = segment.is_empty() || dots(segment);
            if segment.concat() == ".." {
                kept.pop();
            } else if !open {
                let hidden = segment
                    .split(|piece| matches!(piece.as_str(), "%2F" | "%5C" | "\\"))
                    .filter_map(|part| part.split(|p| p == ";" || p == "%3B").next())
                    .any(dots);
                if hidden {
                    return None;
                }
                kept.push(segment.concat());
            }
        }
        let end = if open && !kept.is_empty() { "/" } else { "" };
        Some(format!("/{}{end}", kept.join("/")))
    }

    /// Whether a percent-encoding is in it that need not be, or not in capitals.
    fn is_encoded_otherwise(path: &str) -> bool {
        path.match_indices('%').any(|(at, _)| {
            let digits = &path[at + 1..at + 3];
            let byte = u8::from_str_radix(digits, 16).unwrap();
            byte.is_ascii_alphanumeric()
                || b"-._~".contains(&byte)
                || digits != digits.to_ascii_uppercase()
        })
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_and_is_what_the_rules_say_one_by_one(
            path in "/([a./%;\\\\]|%2[eEfF]|%5[cC]|%3[bB]|%61|%7[eE]|%00|%[0-9a-g]{0,2}|x|ä){0,24}",
        ) {
            let normal = normalise(&path).ok().map(Cow::into_owned);
            prop_assert_eq!(&normal, &reference(&path));
            if let Some(normal) = normal {
                let again = normalise(&normal);
                prop_assert_eq!(again.as_deref(), Ok(&*normal));
                prop_assert!(!normal.contains("//"));
                prop_assert!(normal.split('/').all(|s| s != "." && s != ".."));
                prop_assert!(!is_encoded_otherwise(&normal));
            }
        }

        #[test]
        fn whatever_it_is_it_is_read_as_the_rules_say(path in "/?\\PC{0,40}") {
            prop_assert_eq!(normalise(&path).ok().map(Cow::into_owned), reference(&path));
        }

        #[test]
        fn nothing_makes_it_panic(path in any::<String>()) {
            let _ = normalise(&path);
        }
    }
}
