//! Answers of backends, compressed for clients that accept it.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `accept` | which coding a client likes best |
//! | `encoder` | what the bytes become |
//!
//! Pingora's own compression takes the first coding that a client names, whatever the
//! client thinks of it (`br;q=0`), holds back what has come until it has enough, never
//! ends a brotli stream, and compresses parts (206) and what must not be transformed.

mod accept;
mod encoder;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, TRAILER, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::list::names;
use crate::config::{self, Coding};

pub use encoder::Encoder;

/// Fields that vouch for the bytes as the backend sent them.
static DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// What a route compresses, and how.
pub struct Compression(config::Compress);

// === impl Compression ===

impl Compression {
    /// Prepares what a route says.
    pub fn new(written: &config::Compress) -> Self {
        Self(written.clone())
    }

    /// Looks at the answer to a request. Where it is to be compressed, its header says so
    /// from now on, and what is returned compresses its body.
    ///
    /// # Errors
    ///
    /// The answer has too many fields.
    pub fn begin(
        &self,
        request: &RequestHeader,
        answer: &mut ResponseHeader,
    ) -> Result<Option<Box<Encoder>>> {
        // HTTP/1.0 knows no chunks, and who speaks it seldom knows codings.
        if request.version == Version::HTTP_10 || !self.may_be_compressed(request, answer) {
            return Ok(None);
        }
        // Whoever keeps the answer for others must know what it depends on, whichever
        // way it goes now (RFC 9110, section 12.5.5).
        if !names(&answer.headers, &VARY, b"accept-encoding")
            && !names(&answer.headers, &VARY, b"*")
        {
            answer.append_header(VARY, HeaderValue::from_static("Accept-Encoding"))?;
        }
        let Some(coding) = accept::best(&request.headers, &self.0.codings) else {
            return Ok(None);
        };
        let length = length(&answer.headers);
        answer.remove_header(&CONTENT_LENGTH);
        // The ranges of what the client gets cannot be asked for.
        answer.remove_header(&ACCEPT_RANGES);
        answer.insert_header(CONTENT_ENCODING, HeaderValue::from_static(coding.name()))?;
        weaken(answer)?;
        if request.version == Version::HTTP_11 {
            answer.set_version(Version::HTTP_11);
            answer.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        }
        // The header is the same for HEAD, which has no body (RFC 9110, section 9.3.2).
        if request.method == Method::HEAD {
            return Ok(None);
        }
        Encoder::new(coding, &self.0, length).map(|encoder| Some(Box::new(encoder)))
    }

    /// Whether the answer is one that is compressed for clients that accept it.
    fn may_be_compressed(&self, request: &RequestHeader, answer: &ResponseHeader) -> bool {
        let headers = &answer.headers;
        let has_body = !answer.status.is_informational()
            && !matches!(
                answer.status,
                StatusCode::NO_CONTENT
                    | StatusCode::RESET_CONTENT
                    | StatusCode::PARTIAL_CONTENT
                    | StatusCode::NOT_MODIFIED
            );
        // A transformation that adds trailers would lose them (HTTP/2 to backends).
        let as_it_is = [CONTENT_ENCODING, CONTENT_RANGE, TRAILER];
        let is_there = |name: &HeaderName| headers.contains_key(name);
        has_body
            && headers.get(CONTENT_TYPE).is_some_and(|media_type| self.is_wanted(media_type))
            && length(headers).is_none_or(|length| length >= self.0.min_size.get())
            && !as_it_is.iter().chain(&DIGESTS).any(is_there)
            && !names(headers, &CACHE_CONTROL, b"no-transform")
            && !names(&request.headers, &CACHE_CONTROL, b"no-transform")
    }

    fn is_wanted(&self, media_type: &HeaderValue) -> bool {
        let Ok(text) = media_type.to_str() else { return false };
        let plain = text.split(';').next().unwrap_or_default().trim();
        let found = |plain: &str| self.0.types.iter().any(|range| range.holds(plain));
        if plain.bytes().any(|b| b.is_ascii_uppercase()) {
            found(&plain.to_ascii_lowercase())
        } else {
            found(plain)
        }
    }
}

impl Coding {
    /// As in `Content-Encoding`.
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// The length of the body, if the header says it.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The bytes are others from now on, though they mean the same (RFC 9110, section 8.8.1).
fn weaken(answer: &mut ResponseHeader) -> Result<()> {
    let Some(etag) = answer.headers.get(ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"))
    else {
        return Ok(());
    };
    match HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()) {
        Ok(weak) => answer.insert_header(ETAG, weak),
        Err(_) => {
            answer.remove_header(&ETAG);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of an answer that concern its coding, after it was looked at.
    fn begun(status: u16, request: &[(&str, &str)], answer: &[(&str, &str)]) -> String {
        let mut asked = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in request {
            asked.append_header(name.to_string(), *value).unwrap();
        }
        let mut header = ResponseHeader::build(status, None).unwrap();
        for (name, value) in answer {
            header.append_header(name.to_string(), *value).unwrap();
        }
        let compression = Compression::new(&config::Compress::default());
        let encoder = compression.begin(&asked, &mut header).unwrap();
        let coding = header.headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap());
        let vary = if header.headers.contains_key(VARY) { " vary" } else { "" };
        assert_eq!(encoder.is_some(), coding.is_some_and(|coding| coding != "own"));
        assert_eq!(encoder.is_some(), header.headers.contains_key(TRANSFER_ENCODING));
        format!("{}{vary}", coding.unwrap_or("plain"))
    }

    #[test]
    fn what_is_compressed_and_what_is_left_alone() {
        const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];
        const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");
        for (status, request, answer, result) in [
            (200, GZIP, &[HTML][..], "gzip vary"),
            (404, GZIP, &[HTML], "gzip vary"),
            (200, &[], &[HTML], "plain vary"),
            (200, &[("accept-encoding", "br;q=0")], &[HTML], "plain vary"),
            (206, GZIP, &[HTML], "plain"),
            (204, GZIP, &[HTML], "plain"),
            (304, GZIP, &[HTML], "plain"),
            (200, GZIP, &[], "plain"),
            (200, GZIP, &[("content-type", "image/png")], "plain"),
            (200, GZIP, &[("content-type", "text/event-stream")], "plain"),
            (200, GZIP, &[HTML, ("content-length", "1023")], "plain"),
            (200, GZIP, &[HTML, ("content-length", "1024")], "gzip vary"),
            (200, GZIP, &[HTML, ("content-encoding", "own")], "own"),
            (200, GZIP, &[HTML, ("cache-control", "public, No-Transform")], "plain"),
            (200, GZIP, &[HTML, ("content-digest", "sha-256=:x:")], "plain"),
            (200, GZIP, &[HTML, ("trailer", "x-sum")], "plain"),
            (200, GZIP, &[HTML, ("vary", "origin, accept-encoding")], "gzip vary"),
        ] {
            assert_eq!(begun(status, request, answer), result, "{status} {request:?} {answer:?}");
        }
    }

    #[test]
    fn an_etag_becomes_weak_and_vary_is_said_once() {
        let asked = {
            let mut asked = RequestHeader::build("HEAD", b"/", None).unwrap();
            asked.insert_header("accept-encoding", "zstd").unwrap();
            asked
        };
        for (etag, weak) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
            let mut header = ResponseHeader::build(200, None).unwrap();
            header.insert_header("content-type", "text/css").unwrap();
            header.insert_header("vary", "Accept-Encoding").unwrap();
            header.insert_header("accept-ranges", "bytes").unwrap();
            header.insert_header("etag", etag).unwrap();
            let compression = Compression::new(&config::Compress::default());
            let encoder = compression.begin(&asked, &mut header).unwrap();
            assert!(encoder.is_none(), "HEAD has no body");
            assert_eq!(header.headers.get(CONTENT_ENCODING).unwrap(), "zstd");
            assert_eq!(header.headers.get(ETAG).unwrap(), weak);
            assert_eq!(header.headers.get_all(VARY).iter().count(), 1);
            assert!(!header.headers.contains_key(ACCEPT_RANGES));
        }
    }
}
