//! Whether the first line of a request is one (RFC 9112, section 3).
//!
//! Pingora's parser repairs a line that it does not understand: it percent-encodes
//! what should not be in the target, a bare CR or a space included. A server before
//! this one may have seen another target, or the line end elsewhere; so such a line
//! has to be found before it is repaired.

/// How far a line has been read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestLine {
    at: At,
    spaces: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the line, where empty ones may be.
    #[default]
    Start,
    /// After the CR of an empty line.
    Empty,
    Line,
    /// After the CR of the line.
    Cr,
    /// Behind it; what follows is not looked at.
    End,
}

/// The line has control characters, or not two spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd;

// === impl RequestLine ===

impl RequestLine {
    /// Looks at the bytes that come next.
    ///
    /// # Errors
    ///
    /// They cannot be the first line of a request.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        if self.at == At::End {
            return Ok(());
        }
        if self.at == At::Start && begins_with_a_line(bytes) {
            self.at = At::End;
            return Ok(());
        }
        for &byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start | At::Line, b'!'..=b'~' | 0x80..) => At::Line,
                (At::Line, b' ') if self.spaces < 2 => {
                    self.spaces += 1;
                    At::Line
                }
                (At::Line, b'\r') if self.spaces == 2 => At::Cr,
                (At::Start, b'\r') => At::Empty,
                (At::Empty, b'\n') => At::Start,
                (At::Cr, b'\n') => {
                    self.at = At::End;
                    return Ok(());
                }
                _ => return Err(Odd),
            };
        }
        Ok(())
    }
}

/// Most lines come whole and are short and right, which is seen many bytes at a time.
/// Of all others nothing is said.
fn begins_with_a_line(bytes: &[u8]) -> bool {
    let end = bytes.iter().take(256).position(|byte| *byte == b'\r');
    let Some((line, rest)) = end.map(|end| bytes.split_at(end)) else { return false };
    // At most 255 bytes, so that the count fits into one.
    let (mut spaces, mut odd) = (0u8, 0u8);
    for byte in line {
        spaces += u8::from(*byte == b' ');
        odd |= u8::from(*byte < b' ') | u8::from(*byte == 0x7f);
    }
    spaces == 2 && odd == 0 && line[0] != b' ' && rest.starts_with(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole and byte by byte, which must come to the same.
    fn fed(text: &str) -> Result<At, Odd> {
        let mut whole = RequestLine::default();
        let result = whole.feed(text.as_bytes()).map(|()| whole.at);
        let mut pieces = RequestLine::default();
        let again = text.bytes().try_for_each(|byte| pieces.feed(&[byte]));
        assert_eq!(result, again.map(|()| pieces.at), "{text:?}");
        result
    }

    #[test]
    fn a_line_is_one_however_long_it_is() {
        for length in 0..600 {
            let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(length));
            assert_eq!(fed(&line), Ok(At::End), "{length}");
            let odd = format!("GET /{}\t HTTP/1.1\r\n", "a".repeat(length));
            assert_eq!(fed(&odd), Err(Odd), "{length}");
        }
    }

    #[test]
    fn a_line_has_three_words_and_no_control_characters() {
        for text in
            ["GET / HTTP/1.1\r\n", "\r\n\r\nGET / HTTP/1.1\r\nX: \0", "GET /\u{e4} HTTP/1.0\r\n"]
        {
            assert_eq!(fed(text), Ok(At::End), "{text:?}");
        }
        assert_eq!(fed("GET / HTT"), Ok(At::Line));
        for text in [
            " GET / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET /\r\n",
            "GET / HTTP/1.1\n",
            "GET /\r HTTP/1.1\r\n",
            "GET /\tx HTTP/1.1\r\n",
            "GET /\0 HTTP/1.1\r\n",
            "GET /\x7f HTTP/1.1\r\n",
            "\nGET / HTTP/1.1\r\n",
            "\rGET / HTTP/1.1\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(fed(text), Err(Odd), "{text:?}");
        }
    }
}
