//! Whether a chunked body is framed as RFC 9112, section 7.1, says, and no other
//! way.
//!
//! Pingora's parser takes an empty size for 0 and lets NUL and bare LF into chunk
//! extensions. A server before or behind this one may read the same bytes
//! otherwise and see the body end elsewhere; what follows would then be a request
//! to one and a body to the other.

/// The longest extension of a chunk, and the longest trailer section: neither is
/// of use to anybody here.
const LONGEST: u32 = 8 * 1024;

/// Reads framing and skips data.
#[derive(Debug, Default)]
pub struct Chunks {
    at: At,
    /// What is left of the chunk's data.
    left: u64,
    /// Bytes of the extension or of the trailers so far.
    length: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// After so many digits.
    Digits(u8),
    /// In white space after the size, which only an extension may follow.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line of the trailers.
    Line,
    Trailer,
    TrailerLf,
    LastLf,
    End,
}

/// The framing is not that of RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Chunks {
    /// Looks at the bytes that come next; those after the end are not looked at.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            if self.at == At::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= here as u64;
                bytes = &bytes[here..];
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else if self.at == At::End {
                return Ok(());
            } else {
                self.step(bytes[0])?;
                bytes = &bytes[1..];
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.at = match (self.at, byte) {
            (At::Size, _) => {
                self.left = digit(byte).ok_or(Malformed)?;
                self.length = 0;
                At::Digits(1)
            }
            (At::Digits(_) | At::Space | At::Extension, b'\r') if self.at != At::Space => {
                At::SizeLf
            }
            (At::Digits(_) | At::Space, b' ' | b'\t') => self.more(At::Space)?,
            (At::Digits(_) | At::Space, b';') => self.more(At::Extension)?,
            // 15 digits are more than anyone sends, and fit.
            (At::Digits(count @ ..15), _) => {
                self.left = self.left << 4 | digit(byte).ok_or(Malformed)?;
                At::Digits(count + 1)
            }
            (At::Extension, _) if is_text(byte) => self.more(At::Extension)?,
            (At::SizeLf, b'\n') if self.left > 0 => At::Data,
            (At::SizeLf, b'\n') => {
                self.length = 0;
                At::Line
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::Size,
            (At::Line, b'\r') => At::LastLf,
            (At::LastLf, b'\n') => At::End,
            // A line that begins with white space would continue another.
            (At::Line, _) if byte > b' ' && is_text(byte) => self.more(At::Trailer)?,
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Trailer, _) if is_text(byte) => self.more(At::Trailer)?,
            (At::TrailerLf, b'\n') => At::Line,
            _ => return Err(Malformed),
        };
        Ok(())
    }

    fn more(&mut self, at: At) -> Result<At, Malformed> {
        self.length += 1;
        if self.length > LONGEST { Err(Malformed) } else { Ok(at) }
    }
}

fn digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// What may stand in a line: no control characters but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole and byte by byte, which must come to the same.
    fn end(body: &[u8]) -> Result<bool, Malformed> {
        let mut whole = Chunks::default();
        let result = whole.feed(body).map(|()| whole.at == At::End);
        let mut pieces = Chunks::default();
        let again = body.iter().try_for_each(|byte| pieces.feed(&[*byte]));
        assert_eq!(result, again.map(|()| pieces.at == At::End), "{}", body.escape_ascii());
        result
    }

    #[test]
    fn valid_bodies_are_followed_to_their_end() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=b\r\nhello\r\n00\r\n\r\n",
            b"5 ; a=\"b c\"\r\nhello\r\n0\r\n\r\n",
            b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            b"0\r\nDigest: x\r\nOther: y\r\n\r\n",
            b"0\r\n\r\nGET / HTTP/1.1\n\0",
            b"000000000000001\r\nx\r\n0\r\n\r\n",
        ] {
            assert_eq!(end(body), Ok(true), "{}", body.escape_ascii());
        }
        for body in [&b""[..], b"5\r\nhel", b"5\r\nhello\r\n0\r\n", b"0\r\nA: b\r\n"] {
            assert_eq!(end(body), Ok(false), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn what_two_servers_might_read_differently_is_refused() {
        for body in [
            &b"\r\n\r\n"[..],
            b"\r\nhello",
            b"5\nhello\r\n0\r\n\r\n",
            b"5;a\nhello\r\n0\r\n\r\n",
            b"5;a\0b\r\nhello\r\n0\r\n\r\n",
            b"5\rxhello",
            b"5;\rx",
            b"5 \r\nhello",
            b" 5\r\nhello",
            b"0x5\r\nhello",
            b"+5\r\nhello",
            b"-1\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"0\r\n\n",
            b"0\n\r\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\nA: \0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"0000000000000001\r\nx",
        ] {
            assert_eq!(end(body), Err(Malformed), "{}", body.escape_ascii());
        }
        let long = [b"1;".as_slice(), &[b'a'; LONGEST as usize]].concat();
        assert_eq!(end(&long), Err(Malformed));
    }
}
