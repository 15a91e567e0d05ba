//! The head of a request, and what it says of the body.

use bytes::{Bytes, BytesMut};

/// No head is longer.
pub(super) const LONGEST_HEAD: usize = 256 * 1024;
const MOST_FIELDS: usize = 1024;

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) minor_version: u8,
    pub(super) headers: Vec<(String, String)>,
    pub(super) raw: Bytes,
}

/// How the end of a request's body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    Length(u64),
    Chunked,
}

/// What came is not the head of an HTTP/1 request.
#[derive(Debug)]
pub(super) struct NotHttp;

// === impl Head ===

impl Head {
    /// Takes a head from the front of `input`, once it is complete.
    pub(super) fn take(input: &mut BytesMut) -> Result<Option<Self>, NotHttp> {
        let mut fields = vec![httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(input) {
            Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
            Ok(httparse::Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(None),
            _ => return Err(NotHttp),
        };
        let headers = request.headers.iter().map(|field| {
            (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned())
        });
        let mut head = Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            minor_version: request.version.unwrap_or_default(),
            headers: headers.collect(),
            raw: Bytes::new(),
        };
        head.raw = input.split_to(length).freeze();
        Ok(Some(head))
    }

    /// How the end of its body is told (RFC 9112, section 6.3).
    pub(super) fn framing(&self) -> Result<BodyFraming, &'static str> {
        let codings: Vec<_> = self.elements("transfer-encoding").collect();
        let lengths: Vec<_> = self.elements("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(BodyFraming::Length(0)),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyFraming::Chunked),
            ([], [length]) => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| digits);
                length.map(BodyFraming::Length).ok_or("its Content-Length is no number")
            }
            ([], _) => Err("it has several lengths"),
            (_, []) => Err("its Transfer-Encoding is not just chunked"),
            _ => Err("it has both a Content-Length and a Transfer-Encoding"),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) fn expects_continue(&self) -> bool {
        self.minor_version >= 1
            && self.elements("expect").any(|element| element.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the client may send another request over the connection.
    pub(super) fn keeps_the_connection(&self) -> bool {
        let says = |option| self.elements("connection").any(|it| it.eq_ignore_ascii_case(option));
        if self.minor_version >= 1 { !says("close") } else { says("keep-alive") && !says("close") }
    }

    /// The elements of all fields of the name, which are lists.
    fn elements(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.headers.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.flat_map(|(_, value)| value.split(',')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &[u8]) -> Option<Head> {
        Head::take(&mut text.into()).unwrap()
    }

    fn framing(fields: &str) -> Result<BodyFraming, &'static str> {
        head(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap().framing()
    }

    #[test]
    fn a_head_is_kept_as_it_was_spelt() {
        let text = b"pAtCh /a?b=%20//c HTTP/1.0\r\nhOsT:  x \r\nX-Raw: a\xffb\r\nhost:\r\n\r\n";
        let mut input = BytesMut::from(&text[..]);
        input.extend_from_slice(b"GET /next");
        let head = Head::take(&mut input).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str()), ("pAtCh", "/a?b=%20//c"));
        assert_eq!(head.minor_version, 0);
        let headers: Vec<_> = head.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("hOsT", "x"), ("X-Raw", "a\u{fffd}b"), ("host", "")]);
        assert_eq!(head.raw, &text[..]);
        assert_eq!(input, &b"GET /next"[..]);
    }

    #[test]
    fn a_head_is_awaited_or_refused() {
        assert!(head(b"GET / HTTP/1.1\r\nHost: a\r\n").is_none());
        for text in [&b"\x16\x03\x01\x02\x00\x01"[..], b"PRI * HTTP/2.0\r\n\r\n", b"GET /\r\n\r\n"]
        {
            assert!(Head::take(&mut text.into()).is_err(), "{text:?}");
        }
        let long = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; LONGEST_HEAD]].concat();
        assert!(Head::take(&mut long.as_slice().into()).is_err());
    }

    #[test]
    fn the_framing_is_told_or_refused() {
        assert_eq!(framing(""), Ok(BodyFraming::Length(0)));
        assert_eq!(framing("content-length: 5\r\n"), Ok(BodyFraming::Length(5)));
        assert_eq!(framing("transfer-encoding: Chunked\r\n"), Ok(BodyFraming::Chunked));
        for fields in [
            "Content-Length: +5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 6\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        ] {
            assert!(framing(fields).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_or_not() {
        for (version, field, kept) in [
            (1, "", true),
            (1, "Connection: Close\r\n", false),
            (1, "Connection: te, close\r\n", false),
            (0, "", false),
            (0, "connection: Keep-Alive\r\n", true),
        ] {
            let head = head(format!("GET / HTTP/1.{version}\r\n{field}\r\n").as_bytes()).unwrap();
            assert_eq!(head.keeps_the_connection(), kept, "HTTP/1.{version} {field}");
        }
    }
}
