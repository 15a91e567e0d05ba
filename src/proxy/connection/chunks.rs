//! Whether a chunked body is framed as RFC 9112, section 7.1, says, and no other
//! way. What an extension says is not looked at, only that it is text, and a size has
//! no more than 15 digits.
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
    TrailerName,
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
    ///
    /// # Errors
    ///
    /// They cannot be the chunks of a body.
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
            (At::Line | At::TrailerName, _) if is_token(byte) => self.more(At::TrailerName)?,
            (At::TrailerName, b':') => self.more(At::Trailer)?,
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

/// What a field's name is made of (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What may stand in a line: no control characters but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            b"0\r\nno field\r\n\r\n",
            b"0\r\nno-field\r\n\r\n",
            b"0\r\n: x\r\n\r\n",
            b"0\r\nA: \0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"0000000000000001\r\nx",
        ] {
            assert_eq!(end(body), Err(Malformed), "{}", body.escape_ascii());
        }
        let long = [b"1;".as_slice(), &[b'a'; LONGEST as usize]].concat();
        assert_eq!(end(&long), Err(Malformed));
    }

    /// The grammar of RFC 9112, section 7.1, from the left to the right: the length of
    /// the body, or `None` where it goes on.
    ///
    ///     chunked-body = *chunk last-chunk trailer-section CRLF
    ///     chunk        = 1*15HEXDIG [ BWS ";" text ] CRLF data CRLF
    ///     last-chunk   = 1*15"0" [ BWS ";" text ] CRLF
    ///     trailer      = token ":" text CRLF
    fn reference(body: &[u8]) -> Result<Option<usize>, Malformed> {
        /// A line up to its CRLF, and the length with it; `None` where it goes on.
        fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
            let end = bytes.iter().position(|byte| !is_text(*byte)).unwrap_or(bytes.len());
            match &bytes[end..] {
                [] | [b'\r'] => Ok(None),
                [b'\r', b'\n', ..] => Ok(Some((&bytes[..end], end + 2))),
                _ => Err(Malformed),
            }
        }
        /// Whether it is the first line of a chunk, or can become one.
        fn size(text: &[u8], whole: bool) -> Result<u64, Malformed> {
            let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let (digits, rest) = text.split_at(digits);
            let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            let behind = rest.get(space);
            let open = !whole && behind.is_none();
            let ends = behind == Some(&b';') || (space == 0 && behind.is_none());
            let digits_fit = (1..=15).contains(&digits.len()) || (!whole && text.is_empty());
            if !digits_fit || !(ends || open) {
                return Err(Malformed);
            }
            let digits = std::str::from_utf8(digits).unwrap();
            Ok(u64::from_str_radix(digits, 16).unwrap_or(0))
        }
        let mut at = 0;
        loop {
            let Some((text, length)) = line(&body[at..])? else {
                let text = body[at..].strip_suffix(b"\r");
                size(text.unwrap_or(&body[at..]), text.is_some())?;
                return Ok(None);
            };
            let size = size(text, true)?;
            at += length;
            if size == 0 {
                break;
            }
            let left = (body.len() - at) as u64;
            if size >= left {
                return Ok(None);
            }
            at += size as usize;
            match &body[at..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => at += 2,
                _ => return Err(Malformed),
            }
        }
        loop {
            let (text, whole, length) = match line(&body[at..])? {
                Some((text, length)) => (text, true, length),
                None => match body[at..].strip_suffix(b"\r") {
                    Some(text) => (text, true, 0),
                    None => (&body[at..], false, 0),
                },
            };
            let name = text.iter().take_while(|byte| is_token(**byte)).count();
            match (name, text.get(name)) {
                (0, None) if whole && length > 0 => return Ok(Some(at + length)),
                (0, None) => return Ok(None),
                (1.., Some(b':')) => {}
                (1.., None) if !whole => {}
                _ => return Err(Malformed),
            }
            if length == 0 {
                return Ok(None);
            }
            at += length;
        }
    }

    /// Pieces of bodies, whole and broken, in any order.
    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "0",
            "00",
            "1",
            "5",
            "a",
            "A",
            "f",
            "g",
            "+",
            "-",
            "0x",
            " ",
            "\t",
            ";",
            "=",
            "\"",
            ":",
            "\r\n",
            "\r\n",
            "\r\n",
            "\r",
            "\n",
            "\0",
            "hello",
            "x",
            "X: y",
            "123456789012345",
            "5\r\nhello\r\n",
            "1;a\r\nx\r\n",
            "0\r\n",
            "0\r\n\r\n",
            "\x7f",
            "\u{e4}",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_the_grammar_says_is_taken_and_nothing_else_however_it_is_cut(
            body in bodies(),
            cuts in prop::collection::vec(1usize..6, 0..30),
        ) {
            let mut reader = Chunks::default();
            let mut rest = &body[..];
            let mut result = Ok(());
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                result = result.and_then(|()| reader.feed(piece));
                rest = behind;
            }
            let ended = result.map(|()| reader.at == At::End);
            let expected = reference(&body).map(|end| end.is_some());
            prop_assert_eq!(ended, expected, "{}", body.escape_ascii());
        }

        #[test]
        fn a_body_is_followed_to_its_end_and_no_further(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
            behind in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend(format!("{:X};n=\"v\"\r\n", chunk.len()).bytes());
                body.extend_from_slice(chunk);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nA: b\r\n\r\n");
            prop_assert_eq!(reference(&body), Ok(Some(body.len())));
            for cut in 0..body.len() {
                prop_assert_eq!(end(&body[..cut]), Ok(false));
            }
            body.extend(behind);
            prop_assert_eq!(end(&body), Ok(true));
        }
    }
}
