//! An answer, read piece by piece.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::trouble::{Cut, Missing, Trouble};
use crate::backends::recording::chunked;

const LONGEST_HEAD: usize = 256 * 1024;
const MOST_FIELDS: usize = 1024;
const FIRST_BYTES: usize = 64;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The reason phrase, as spelt; may be empty.
    pub reason: String,
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0; 0 for HTTP/2, which has none.
    pub minor_version: u8,
    /// The header fields in order, names as spelt. What is not UTF-8 in a value
    /// reads as U+FFFD here; `raw_head` has the bytes.
    pub headers: Vec<(String, String)>,
    /// The head as it came, with the empty line that ends it; nothing of HTTP/2.
    pub raw_head: Bytes,
    /// The body without its framing.
    pub body: Bytes,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The status codes of the informational answers that came before.
    pub informational: Vec<u16>,
    /// From the moment the request began to be sent to the end of the answer.
    pub took: Duration,
    /// Whether the connection may take another request: it was not said to be
    /// closed, the whole request went out, and nothing came behind the answer.
    pub reusable: bool,
}

/// Reads one answer from what comes over a connection.
#[derive(Debug)]
pub(super) struct Reader {
    to_head: bool,
    answer: Option<Answer>,
    framing: Framing,
    decoder: chunked::Decoder,
    body: BytesMut,
    informational: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

// === impl Answer ===

impl Answer {
    /// The values of all fields of this name, in any spelling of it.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text; what is not UTF-8 in it reads as U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The elements of all fields of the name, which are lists.
    fn elements(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).into_iter().flat_map(|value| value.split(',')).map(str::trim)
    }
}

// === impl Reader ===

impl Reader {
    /// For the answer to a request with this method.
    pub(super) fn new(method: &str) -> Self {
        Self {
            to_head: method == "HEAD",
            answer: None,
            framing: Framing::UntilClose,
            decoder: chunked::Decoder::default(),
            body: BytesMut::new(),
            informational: Vec::new(),
        }
    }

    /// Takes what it can from the front of `input`; the answer, when that is
    /// complete, without the time it took.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Answer>, Trouble> {
        while self.answer.is_none() {
            let Some(answer) = head(input)? else { return Ok(None) };
            // 101 is final: what follows is another protocol.
            if matches!(answer.status, 100..=199) && answer.status != 101 {
                self.informational.push(answer.status);
                continue;
            }
            self.framing = self.framing_of(&answer)?;
            self.answer = Some(answer);
        }
        let complete = match self.framing {
            Framing::Length(length) => {
                let left = usize::try_from(length).unwrap_or(usize::MAX) - self.body.len();
                let taken = left.min(input.len());
                self.body.unsplit(input.split_to(taken));
                taken == left
            }
            Framing::Chunked => match self.decoder.decode(input, &mut self.body) {
                Ok(complete) => complete,
                Err(why) => return Err(self.broken_rule(why)),
            },
            Framing::UntilClose => {
                self.body.unsplit(input.split());
                false
            }
        };
        Ok(if complete { self.finish(input.is_empty()) } else { None })
    }

    /// The answer, if the end of the connection is its end; else what there is
    /// instead. `input` is what [`Reader::take`] left.
    pub(super) fn cut(&mut self, because: Cut, input: &[u8]) -> Result<Answer, Trouble> {
        if because == Cut::Closed
            && self.framing == Framing::UntilClose
            && let Some(answer) = self.finish(false)
        {
            return Ok(answer);
        }
        let Some(answer) = &self.answer else {
            return Err(self.cut_in_the_head(because, input));
        };
        let bytes = self.body.len();
        let missing = match self.framing {
            Framing::Length(expected) => Missing::Body { bytes, expected },
            Framing::Chunked | Framing::UntilClose => Missing::BodyOfUnknownLength { bytes },
        };
        let arrived = Bytes::copy_from_slice(&self.body);
        Err(Trouble::Incomplete { missing, because, status: Some(answer.status), arrived })
    }

    fn cut_in_the_head(&self, because: Cut, input: &[u8]) -> Trouble {
        let nothing = input.is_empty() && self.informational.is_empty();
        match because {
            Cut::Closed if nothing => Trouble::EmptyReply,
            Cut::Reset if nothing => Trouble::Reset,
            Cut::PatienceOver(after) if nothing => Trouble::NoAnswer { after },
            // Not even the beginning of a status line: what is cut short is no
            // answer.
            _ if !b"HTTP/1.".starts_with(&input[..input.len().min(7)]) => not_http(input),
            _ => Trouble::Incomplete {
                missing: Missing::Head { bytes: input.len() },
                because,
                status: None,
                arrived: Bytes::copy_from_slice(input),
            },
        }
    }

    fn finish(&mut self, nothing_behind: bool) -> Option<Answer> {
        let mut answer = self.answer.take()?;
        answer.body = self.body.split().freeze();
        answer.trailers = std::mem::take(&mut self.decoder.trailers);
        answer.informational = std::mem::take(&mut self.informational);
        answer.reusable &= nothing_behind && self.framing != Framing::UntilClose;
        Some(answer)
    }

    fn broken_rule(&self, why: &'static str) -> Trouble {
        let status = self.answer.as_ref().map_or(0, |answer| answer.status);
        let raw_head = self.answer.as_ref().map(|answer| answer.raw_head.clone());
        Trouble::Framing { why, status, raw_head: raw_head.unwrap_or_default() }
    }

    /// How the end of its body is told (RFC 9112, section 6.3).
    fn framing_of(&self, answer: &Answer) -> Result<Framing, Trouble> {
        let codings: Vec<_> = answer.elements("transfer-encoding").collect();
        let lengths: Vec<_> = answer.elements("content-length").collect();
        let framing = match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(Framing::UntilClose),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            ([], [length]) => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| digits);
                length.map(Framing::Length).ok_or("its Content-Length is no number")
            }
            ([], _) => Err("it has several lengths"),
            (_, []) => Err("its Transfer-Encoding is not just chunked"),
            _ => Err("it has both a Content-Length and a Transfer-Encoding"),
        };
        let framing = framing.map_err(|why| Trouble::Framing {
            why,
            status: answer.status,
            raw_head: answer.raw_head.clone(),
        })?;
        match answer.status {
            101 => Ok(Framing::UntilClose),
            204 | 304 => Ok(Framing::Length(0)),
            _ if self.to_head => Ok(Framing::Length(0)),
            _ => Ok(framing),
        }
    }
}

/// Takes a head from the front of `input`, once it is complete.
fn head(input: &mut BytesMut) -> Result<Option<Answer>, Trouble> {
    let mut fields = vec![httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(httparse::Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(None),
        _ => return Err(not_http(input)),
    };
    let headers = response
        .headers
        .iter()
        .map(|field| (field.name.to_owned(), String::from_utf8_lossy(field.value).into_owned()));
    let mut answer = Answer {
        status: response.code.unwrap_or_default(),
        reason: response.reason.unwrap_or_default().to_owned(),
        minor_version: response.version.unwrap_or_default(),
        headers: headers.collect(),
        raw_head: Bytes::copy_from_slice(&input[..length]),
        body: Bytes::new(),
        trailers: Vec::new(),
        informational: Vec::new(),
        took: Duration::ZERO,
        reusable: false,
    };
    input.advance(length);
    let says =
        |option: &str| answer.elements("connection").any(|it| it.eq_ignore_ascii_case(option));
    answer.reusable =
        !says("close") && (answer.minor_version >= 1 || says("keep-alive")) && answer.status != 101;
    Ok(Some(answer))
}

/// The answer to a request with this method that stands at the front of `input`, without the
/// time it took; none as long as it is not complete.
///
/// # Errors
///
/// What stands there is no answer.
pub fn whole_answer(method: &str, input: &mut BytesMut) -> Result<Option<Answer>, Trouble> {
    Reader::new(method).take(input)
}

fn not_http(input: &[u8]) -> Trouble {
    Trouble::NotHttp { first: Bytes::copy_from_slice(&input[..input.len().min(FIRST_BYTES)]) }
}
