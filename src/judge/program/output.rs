//! What a program writes: read for ever, and kept in part.

use std::collections::VecDeque;

/// How many bytes of a stream are kept from its beginning.
pub const FIRST_BYTES: usize = 32 * 1024;

/// How many bytes of a stream are kept from its end.
pub const LAST_BYTES: usize = 64 * 1024;

/// The kept beginning and end of one stream.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    first: Vec<u8>,
    last: VecDeque<u8>,
    left_out: u64,
}

/// What the program has written so far.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Its standard output.
    pub stdout: Tail,
    /// Its standard error.
    pub stderr: Tail,
}

// === impl Tail ===

impl Tail {
    /// Takes what the stream has brought.
    pub fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(FIRST_BYTES - self.first.len()));
        self.first.extend_from_slice(first);
        let (skipped, kept) = rest.split_at(rest.len().saturating_sub(LAST_BYTES));
        let over = (self.last.len() + kept.len()).saturating_sub(LAST_BYTES);
        self.last.drain(..over);
        self.last.extend(kept);
        self.left_out += (skipped.len() + over) as u64;
    }

    /// How many bytes the stream has brought in all.
    fn brought(&self) -> u64 {
        (self.first.len() + self.last.len()) as u64 + self.left_out
    }

    /// What came behind so many bytes; none if a part of that was not kept. Whoever asks often
    /// enough has all that is ever written, however much that is.
    pub fn since(&self, before: u64) -> Option<Vec<u8>> {
        let wanted = usize::try_from(self.brought().saturating_sub(before)).ok()?;
        if self.left_out > 0 {
            let skipped = self.last.len().checked_sub(wanted)?;
            return Some(self.last.iter().skip(skipped).copied().collect());
        }
        let all = self.first.iter().chain(&self.last);
        Some(all.skip(usize::try_from(before).ok()?).copied().collect())
    }

    /// How many bytes between the beginning and the end were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What was kept; a line of its own says how much is missing, if any is.
    pub fn text(&self) -> String {
        let mut bytes = self.first.clone();
        if self.left_out > 0 {
            bytes.extend(format!("\n[... {} bytes ...]\n", self.left_out).into_bytes());
        }
        bytes.extend(&self.last);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the stream has brought nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.text().trim().is_empty()
    }

    /// The last lines that are not blank, oldest first; of each at most 400
    /// characters.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let text = self.text();
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(most)
            .map(|line| line.chars().take(400).collect())
            .collect();
        lines.reverse();
        lines
    }
}

// === impl Output ===

impl Output {
    /// The last lines of standard error, or of standard output where the
    /// program has written nothing else.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let stream = if self.stderr.is_blank() { &self.stdout } else { &self.stderr };
        stream.last_lines(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_stream_is_kept_whole() {
        let mut tail = Tail::default();
        tail.push(b"one\n");
        tail.push(b"\ntwo\nthree");
        assert_eq!(tail.text(), "one\n\ntwo\nthree");
        assert_eq!(tail.last_lines(2), ["two", "three"]);
    }

    #[test]
    fn who_asks_often_misses_nothing() {
        let (mut tail, mut seen) = (Tail::default(), Vec::new());
        let whole: Vec<u8> = (0..300_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        for piece in whole.chunks(9_000) {
            tail.push(piece);
            seen.extend(tail.since(seen.len() as u64).unwrap());
        }
        assert_eq!(seen, whole);
        assert_eq!(tail.since(300_000), Some(Vec::new()));
        assert_eq!(tail.since(300_000 - LAST_BYTES as u64).unwrap().len(), LAST_BYTES);
        assert_eq!(tail.since(299_999 - LAST_BYTES as u64), None);
    }

    #[test]
    fn a_long_stream_keeps_its_beginning_and_its_end() {
        for piece in [1, 7, 1000, 60_000, 400_000] {
            let whole: Vec<u8> = (0..400_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
            let mut tail = Tail::default();
            whole.chunks(piece).for_each(|bytes| tail.push(bytes));
            assert_eq!(tail.first, whole[..FIRST_BYTES], "pieces of {piece}");
            assert_eq!(tail.last, whole[whole.len() - LAST_BYTES..].to_vec(), "pieces of {piece}");
            assert_eq!(tail.left_out(), (whole.len() - FIRST_BYTES - LAST_BYTES) as u64);
        }
    }
}
