//! Which coding a client likes best (RFC 9110, section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::config::Coding;
use crate::proxy::list;

/// How much a coding is liked, in thousandths.
type Quality = u16;

const FULL: Quality = 1000;

/// The coding that `Accept-Encoding` likes best out of those that are offered; the
/// first of several that it likes as much. `None` where the client likes it better
/// plain, or says nothing.
pub fn best(headers: &HeaderMap, offered: &[Coding]) -> Option<Coding> {
    let (mut gzip, mut br, mut zstd) = (None, None, None);
    let (mut identity, mut any) = (None, None);
    for member in list::members(headers, &ACCEPT_ENCODING) {
        let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = parts.next().map_or(FULL, quality);
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"gzip") || is(b"x-gzip") {
            gzip = Some(quality);
        } else if is(b"br") {
            br = Some(quality);
        } else if is(b"zstd") {
            zstd = Some(quality);
        } else if is(b"identity") {
            identity = Some(quality);
        } else if is(b"*") {
            any = Some(quality);
        }
    }
    let liked = |coding: Coding| {
        let named = match coding {
            Coding::Gzip => gzip,
            Coding::Br => br,
            Coding::Zstd => zstd,
        };
        named.or(any).unwrap_or(0)
    };
    // Plain is always good enough, and never in the way unless it is named.
    let least = identity.unwrap_or(0).max(1);
    let mut best: Option<(Coding, Quality)> = None;
    for coding in offered {
        let quality = liked(*coding);
        if quality >= least && best.is_none_or(|(_, other)| quality > other) {
            best = Some((*coding, quality));
        }
    }
    best.map(|(coding, _)| coding)
}

/// `q=0.5`; what cannot be read is not liked at all.
fn quality(parameter: &[u8]) -> Quality {
    let Some((name, value)) = std::str::from_utf8(parameter).ok().and_then(|p| p.split_once('='))
    else {
        return 0;
    };
    let value = value.trim();
    let valid = name.trim().eq_ignore_ascii_case("q")
        && value.len() <= 5
        && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match value.parse::<f32>() {
        Ok(quality @ 0.0..=1.0) if valid => (quality * f32::from(FULL)).round() as Quality,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_best_liked_then_the_first_offered() {
        use Coding::{Br, Gzip, Zstd};
        for (fields, coding) in [
            (&["gzip"][..], Some(Gzip)),
            (&["GZip, deflate"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["gzip, deflate, br, zstd"], Some(Zstd)),
            (&["gzip, br"], Some(Br)),
            (&["gzip;q=1.0, br;q=0.5"], Some(Gzip)),
            (&["br;q=0, gzip ; q = 0.1"], Some(Gzip)),
            (&["gzip", "br"], Some(Br)),
            (&["*"], Some(Zstd)),
            (&["*;q=0.5, gzip"], Some(Gzip)),
            (&["zstd;q=0, *"], Some(Br)),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["identity;q=0, gzip"], Some(Gzip)),
            (&["gzip;q=0"], None),
            (&["*;q=0"], None),
            (&["deflate"], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=x"], None),
            (&["gzip;q=-1"], None),
            (&["gzip;level=1"], None),
            (&["gzip;q=nan"], None),
            (&[""], None),
            (&[], None),
        ] {
            let headers: HeaderMap = fields
                .iter()
                .map(|field| (ACCEPT_ENCODING, HeaderValue::from_static(field)))
                .collect();
            assert_eq!(best(&headers, &[Zstd, Br, Gzip]), coding, "{fields:?}");
        }
        let all = [(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd"))];
        let all: HeaderMap = all.into_iter().collect();
        assert_eq!(best(&all, &[Gzip, Zstd]), Some(Gzip));
        assert_eq!(best(&all, &[]), None);
    }
}
