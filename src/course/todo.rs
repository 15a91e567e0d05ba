//! Boxes of the learner's `TODO.md`, ticked.
//!
//! A stage's boxes stand under its heading, `## 01 first-proxy：…`, each a line
//! `` - [ ] `forwards` … ``. The file is the learner's: all but the three
//! characters of a box stays as it is.

use std::io;
use std::path::Path;

use super::lesson::number_of;
use super::replace::replace;

/// Ticks boxes of a stage, and returns how many: those that are there and were
/// not ticked. No file, no heading and no box are no errors.
///
/// # Errors
///
/// Where the file can't be read or replaced; it is as it was then.
pub fn tick(file: &Path, stage: &str, checks: &[&str]) -> io::Result<usize> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let (ticked, count) = ticked(&text, stage, checks);
    if count > 0 {
        replace(file, &ticked)?;
    }
    Ok(count)
}

/// Bytes, not text: a learner's editor may have left anything in the file.
fn ticked(text: &[u8], stage: &str, checks: &[&str]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(text.len());
    let (mut within, mut fenced, mut count) = (false, false, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let trimmed = line.trim_ascii_start();
        fenced ^= trimmed.starts_with(b"```");
        if !fenced && let Some(heading) = heading(line) {
            within = is_of(heading, stage);
        }
        match empty_box(trimmed).filter(|id| within && !fenced && checks.contains(id)) {
            Some(_) => {
                let tick = line.len() - trimmed.len() + "- [".len();
                out.extend_from_slice(&line[..tick]);
                out.push(b'x');
                out.extend_from_slice(&line[tick + 1..]);
                count += 1;
            }
            None => out.extend_from_slice(line),
        }
    }
    (out, count)
}

/// The text of a heading of the first or second level: those that end a stage's
/// part.
fn heading(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_prefix(b"#")?;
    text.strip_prefix(b"#").unwrap_or(text).strip_prefix(b" ").map(<[u8]>::trim_ascii)
}

/// Whether a heading is a stage's: its number, then its name or a title.
fn is_of(heading: &[u8], stage: &str) -> bool {
    let digits = heading.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = heading.split_at(digits);
    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
    number.is_some() && number == number_of(stage) && !rest.starts_with(b".")
}

/// The id of the check that an empty box is for.
fn empty_box(line: &[u8]) -> Option<&str> {
    let bullet = matches!(line.first()?, b'-' | b'*' | b'+');
    let id = line[1..].strip_prefix(b" [ ] `").filter(|_| bullet)?;
    let end = id.iter().position(|byte| *byte == b'`')?;
    std::str::from_utf8(&id[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "\u{feff}# 指南\r\n\
        - [ ] `starts` 不在任何关卡里\r\n\
        ## 01 first-proxy：第一个代理\r\n\
        my own note, no id: - [ ] `starts`\r\n\
        - [ ] `starts` 程序启动\r\n\
        ### 检查\r\n\
        \u{20} * [ ] `forwards`\tx\n\
        - [x] `parallel` mine\n\
        - [ ] `parallel-more` y\n\
        ```\n- [ ] `starts` in a sample\n## 02 not a heading\n```\n\
        - [ ] `dead-backend` last of the stage\n\
        ## 02 round-robin：轮询\n\
        - [ ] `starts` 程序启动\n\
        ## 011 no\n- [ ] `starts` no newline at the end";

    #[test]
    fn boxes_of_the_stage_alone_are_ticked_and_nothing_else_changes() {
        let checks = ["starts", "forwards", "parallel", "dead-backend", "gone"];
        let (out, count) = ticked(GUIDE.as_bytes(), "01-first-proxy", &checks);
        let expected = GUIDE
            .replacen("\r\n- [ ] `starts` 程序启动", "\r\n- [x] `starts` 程序启动", 1)
            .replacen("* [ ] `forwards`", "* [x] `forwards`", 1)
            .replacen("- [ ] `dead-backend`", "- [x] `dead-backend`", 1);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(count, 3);
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let guide = b"## 02 a\n\xff\xfe\n- [ ] `starts` \xff\n";
        let (out, count) = ticked(guide, "02-round-robin", &["starts"]);
        assert_eq!((out.as_slice(), count), (&b"## 02 a\n\xff\xfe\n- [x] `starts` \xff\n"[..], 1));
    }

    #[test]
    fn a_file_is_ticked_once_and_a_missing_one_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("TODO.md");
        assert_eq!(tick(&file, "02-round-robin", &["starts"]).unwrap(), 0);
        assert!(!file.exists());
        std::fs::write(&file, GUIDE).unwrap();
        assert_eq!(tick(&file, "02-round-robin", &["starts"]).unwrap(), 1);
        assert_eq!(tick(&file, "02-round-robin", &["starts"]).unwrap(), 0);
        assert_eq!(tick(&file, "09-configuration", &["starts"]).unwrap(), 0);
    }
}
