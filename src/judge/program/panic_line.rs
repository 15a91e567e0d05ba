//! What a Rust program says when it panics.

/// The message and the place of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicLine {
    /// What the panic said; may be several lines.
    pub message: String,
    /// `file:line:column`, as the program wrote it.
    pub location: String,
}

/// The lines after a panic's message that are no part of it.
const AFTER: [&str; 4] = ["note: ", "stack backtrace:", "thread '", "fatal runtime error"];

impl PanicLine {
    /// Finds the first panic of a program's standard error.
    ///
    /// Rust writes `thread 'main' (1234) panicked at src/main.rs:3:5:` and the
    /// message from the next line on; before 1.89 there was no number.
    pub fn find(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let location = lines.find_map(location)?;
        let message: Vec<&str> = lines
            .take_while(|line| !AFTER.iter().any(|start| line.starts_with(start)))
            .take(20)
            .collect();
        Some(Self { message: message.join("\n").trim_end().to_owned(), location })
    }
}

fn location(line: &str) -> Option<String> {
    // A program may write a line of its own without ending it.
    let (_, rest) = line.split_once("thread '")?;
    let (_, rest) = rest.split_once('\'')?;
    let rest = match rest.strip_prefix(" (") {
        Some(rest) => rest.split_once(')')?.1,
        None => rest,
    };
    let place = rest.strip_prefix(" panicked at ")?.trim_end().strip_suffix(':')?;
    Some(place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic(message: &str, location: &str) -> Option<PanicLine> {
        Some(PanicLine { message: message.to_owned(), location: location.to_owned() })
    }

    #[test]
    fn both_forms_are_read() {
        let new = "starting\n\nthread 'main' (4711) panicked at stages/01/main.rs:3:5:\nno backend\n\
                   note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(PanicLine::find(new), panic("no backend", "stages/01/main.rs:3:5"));
        let old =
            "thread 'Pingora HTTP' panicked at src/main.rs:30:51:\ncalled `Result::unwrap()`\n";
        assert_eq!(PanicLine::find(old), panic("called `Result::unwrap()`", "src/main.rs:30:51"));
    }

    #[test]
    fn a_message_of_several_lines_ends_where_the_next_thing_begins() {
        let text = "thread '<unnamed>' (7) panicked at a.rs:1:2:\nassertion failed\n  left: 1\n right: 2\n\
                    thread 'main' (6) panicked at b.rs:1:2:\nsecond\n";
        assert_eq!(
            PanicLine::find(text),
            panic("assertion failed\n  left: 1\n right: 2", "a.rs:1:2")
        );
    }

    #[test]
    fn other_words_are_no_panic() {
        for text in
            ["", "panicked at", "thread 'main' is busy\n", "thread 'main' panicked at lunch"]
        {
            assert_eq!(PanicLine::find(text), None, "{text}");
        }
    }
}
