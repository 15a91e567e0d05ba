//! What a client sent, written so that it stays inside its quotes.

/// Appends a JSON string (RFC 8259, section 7), quotes included. What is not UTF-8
/// becomes U+FFFD. No control character stays as it is, those above U+007F included,
/// so that neither another line nor a terminal's command can be forged.
pub fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    quoted(out, bytes, |out, c| match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // They end a line for some readers, and are in the plane of four digits.
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
            out.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                out.push(b"0123456789abcdef"[c as usize >> shift & 15]);
            }
        }
        c => push(out, c),
    });
}

/// Appends text for people, in quotes: what cannot be seen, or is not UTF-8, is
/// escaped as Rust does it.
pub fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    quoted(out, bytes, |out, c| match c {
        '\'' => out.push(b'\''),
        c => c.escape_debug().for_each(|c| push(out, c)),
    });
}

/// Most of what is logged needs no escaping, which is seen at once.
fn quoted(out: &mut Vec<u8>, bytes: &[u8], escape: impl Fn(&mut Vec<u8>, char)) {
    out.push(b'"');
    if bytes.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| escape(out, c));
            if !chunk.invalid().is_empty() {
                push(out, char::REPLACEMENT_CHARACTER);
            }
        }
    }
    out.push(b'"');
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The bytes that stand for themselves.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(escape: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).expect("what is written is UTF-8")
    }

    #[test]
    fn quotes_line_ends_and_commands_of_a_terminal_are_escaped() {
        let nasty = "a\"b\\c\nd\r\u{1b}[31m\u{9b}\u{2028}é".as_bytes();
        let escaped = "\"a\\\"b\\\\c\\nd\\r\\u001b[31m\\u009b\\u2028é\"";
        assert_eq!(written(json, nasty), escaped);
        let escaped = "\"a\\\"b\\\\c\\nd\\r\\u{1b}[31m\\u{9b}\\u{2028}é\"";
        assert_eq!(written(text, nasty), escaped);
        assert_eq!(written(json, b"a\xff\xc3b'"), "\"a\u{fffd}\u{fffd}b'\"");
        assert_eq!(written(text, b"\xff'"), "\"\u{fffd}'\"");
    }

    proptest! {
        #[test]
        fn every_string_parses_back_to_what_was_put_in(bytes: Vec<u8>) {
            let line = written(json, &bytes);
            let back: String = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(back, String::from_utf8_lossy(&bytes));
            prop_assert!(!line.chars().any(char::is_control));
        }

        #[test]
        fn no_text_leaves_its_quotes(bytes: Vec<u8>, words: String) {
            for bytes in [&bytes[..], words.as_bytes()] {
                let line = written(text, bytes);
                prop_assert!(!line.chars().any(char::is_control));
                let inside = line.strip_prefix('"').and_then(|l| l.strip_suffix('"')).unwrap();
                // A quote inside has a backslash of its own before it.
                let mut rest = inside.chars();
                while let Some(c) = rest.next() {
                    prop_assert!(c != '"');
                    if c == '\\' {
                        prop_assert!(rest.next().is_some());
                    }
                }
            }
        }
    }
}
