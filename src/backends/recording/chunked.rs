//! The chunked transfer coding (RFC 9112, section 7.1).

use bytes::{Buf, BufMut, BytesMut};

/// No line of the framing (a chunk's size, a trailer field) is longer.
const LONGEST_LINE: usize = 16 * 1024;

/// Reads a chunked body, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// The fields behind the body, as spelt.
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

// === impl Decoder ===

impl Decoder {
    /// Takes what it can from the front of `input` and puts the body's bytes
    /// behind `body`. Returns whether the body is complete; if not, it needs
    /// more input.
    pub(crate) fn decode(
        &mut self,
        input: &mut BytesMut,
        body: &mut BytesMut,
    ) -> Result<bool, &'static str> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = line(input)? else { return Ok(false) };
                    let size = size(&line)?;
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(false);
                    }
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    body.put_slice(&input[..taken]);
                    input.advance(taken);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd => {
                    if input.len() < 2 {
                        return Ok(false);
                    }
                    if &input[..2] != b"\r\n" {
                        return Err("a chunk is longer than its size says");
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(line) = line(input)? else { return Ok(false) };
                    if line.is_empty() {
                        self.state = State::Done;
                    } else {
                        let line = String::from_utf8_lossy(&line);
                        let (name, value) =
                            line.split_once(':').ok_or("a trailer field has no colon")?;
                        self.trailers.push((name.to_owned(), value.trim().to_owned()));
                    }
                }
                State::Done => return Ok(true),
            }
        }
    }
}

/// The next line without its end, once it is there.
fn line(input: &mut BytesMut) -> Result<Option<BytesMut>, &'static str> {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
        if input.len() > LONGEST_LINE {
            return Err("a line of the chunked framing is too long");
        }
        return Ok(None);
    };
    let mut line = input.split_to(end + 1);
    if !line.ends_with(b"\r\n") {
        return Err("a line of the chunked framing ends without CR");
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

/// The size that a chunk's first line gives; extensions are passed over.
fn size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii_end();
    // `from_str_radix` would take a sign too.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("a chunk's size is no hexadecimal number");
    }
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk's size is no hexadecimal number")
}

/// Writes a body in chunks of `size` bytes (at least 1).
pub(crate) fn encode(body: &[u8], size: usize, output: &mut BytesMut) {
    for chunk in body.chunks(size.max(1)) {
        output.put_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        output.put_slice(chunk);
        output.put_slice(b"\r\n");
    }
    output.put_slice(b"0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str, step: usize) -> Result<(String, Decoder, String), &'static str> {
        let (mut decoder, mut body) = (Decoder::default(), BytesMut::new());
        let (mut input, mut complete) = (BytesMut::new(), false);
        for piece in text.as_bytes().chunks(step) {
            input.put_slice(piece);
            if !complete {
                complete = decoder.decode(&mut input, &mut body)?;
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        if complete { Ok((text(&body), decoder, text(&input))) } else { Err("incomplete") }
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let text = "5\r\nhello\r\nA ; note=\"x\"\r\n, \r\nworld!\r\n0\r\nX-Sum:  7 \r\n\r\nGET /";
        for step in 1..text.len() {
            let (body, decoder, rest) = decode(text, step).unwrap();
            assert_eq!(body, "hello, \r\nworld!", "in pieces of {step}");
            assert_eq!(decoder.trailers, [("X-Sum".to_owned(), "7".to_owned())]);
            assert_eq!(rest, "GET /");
        }
    }

    #[test]
    fn what_breaks_the_framing_is_refused() {
        for text in [
            "x\r\n",
            "\r\n",
            "+5\r\nhello\r\n",
            "-0\r\n\r\n",
            "3\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "11112222333344445\r\n",
            "0\r\nno colon\r\n\r\n",
        ] {
            assert!(decode(text, 1).is_err_and(|error| error != "incomplete"), "{text:?}");
        }
        assert_eq!(decode("5\r\nhello\r\n0\r\n", 1).err(), Some("incomplete"));
        assert!(decode(&"1".repeat(20_000), 100).is_err_and(|error| error.contains("too long")));
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        for size in [1, 3, 100] {
            let mut output = BytesMut::new();
            encode(b"some body", size, &mut output);
            let output = String::from_utf8(output.to_vec()).unwrap();
            assert_eq!(decode(&output, 2).unwrap().0, "some body");
            assert_eq!(output.matches("\r\n").count(), 2 * 9usize.div_ceil(size) + 2);
        }
    }
}
