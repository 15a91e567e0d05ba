//! The words of the judge's facts, in Chinese.
//!
//! The judge says what it found in facts, and some of those are words: `a request at
//! 127.0.0.1:6190`. They are English, as in JSON. `lessons/words.toml` has each of them in
//! Chinese, with holes for what differs; what is put there may be words again.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::language::Language;

/// A diagnosis's fact of this name as it is said in a language.
pub fn said(diagnosis: &str, name: &str, value: &Value, language: Language) -> Value {
    let say = |words: &str| match is_among(&WORDS.quoted, diagnosis, name) {
        true if language == Language::Zh => WORDS.whole(words).unwrap_or(words).to_owned(),
        _ => text(words, language),
    };
    match value {
        Value::String(words) => Value::String(say(words)),
        Value::Array(values) => {
            values.iter().map(|value| said(diagnosis, name, value, language)).collect()
        }
        _ => value.clone(),
    }
}

/// A text as it is said in a language.
pub fn text(text: &str, language: Language) -> String {
    match language {
        Language::En => text.to_owned(),
        Language::Zh => WORDS.chinese(text).unwrap_or_else(|| text.to_owned()),
    }
}

/// The beginning of a body, as a language has it: the judge's own words are only the last of it,
/// which say how long the whole is.
pub fn preview(shown: &str, language: Language) -> String {
    let own = shown.rfind("… (").unwrap_or(shown.len());
    format!("{}{}", &shown[..own], text(&shown[own..], language))
}

/// The English words of a fact that a reader of Chinese is told, though they are the judge's.
pub fn untold<'a>(diagnosis: &str, name: &str, text: &'a str) -> Option<&'a str> {
    let theirs = [&WORDS.quoted, &WORDS.mixed];
    let theirs = theirs.into_iter().any(|list| is_among(list, diagnosis, name));
    // Where a part of it is known, the rest is the system's.
    let known = theirs || WORDS.chinese(text).is_some();
    left_in_english(text).filter(|_| !known)
}

/// Whether a fact is in a list, by its name or by this behind its diagnosis's.
fn is_among(list: &[String], diagnosis: &str, name: &str) -> bool {
    let of_diagnosis = |listed: &String| listed.split_once('.') == Some((diagnosis, name));
    list.iter().any(|listed| listed == name || of_diagnosis(listed))
}

/// The English words in a text: two in a row, which is neither a path nor a name.
fn left_in_english(text: &str) -> Option<&str> {
    let ends = |at: usize| text[at..].find(|c: char| !c.is_ascii_lowercase());
    let word = |at: usize| -> Option<usize> {
        let end = ends(at).map_or(text.len(), |length| at + length);
        let bounded = text[..at].chars().next_back().is_none_or(|c| " (\"'“".contains(c))
            && text[end..].chars().next().is_none_or(|c| " ,.;:)\"'”".contains(c));
        (end >= at + 2 && bounded).then_some(end)
    };
    let starts = text.char_indices().map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let first = word(at)?;
        let second = word(text[first..].strip_prefix(' ').map(|_| first + 1)?)?;
        Some(&text[at..second])
    })
}

/// What is longer, in bytes, is nobody's few words: it is a program's, and not looked through.
const LONGEST: usize = 400;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    // The text is part of this program, and a test reads it.
    read(super::embedded::WORDS).unwrap_or_else(|error| panic!("lessons/words.toml: {error}"))
});

#[derive(Debug)]
struct Words {
    /// Facts that are others' words.
    quoted: Vec<String>,
    /// Facts that are others' words at times.
    mixed: Vec<String>,
    /// Those with the most words of their own come first.
    phrases: Vec<Phrase>,
}

#[derive(Debug)]
struct Phrase {
    en: Vec<Piece>,
    zh: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Number,
    /// Something without a space in it.
    Name,
}

fn read(text: &str) -> Result<Words, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        quoted: Vec<String>,
        mixed: Vec<String>,
        words: BTreeMap<String, String>,
    }
    let File { quoted, mixed, words } = toml::from_str(text)?;
    let phrase = |(en, zh): (&String, &String)| Phrase { en: pieces(en), zh: pieces(zh) };
    let mut phrases: Vec<_> = words.iter().map(phrase).collect();
    phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.weight()));
    Ok(Words { quoted, mixed, phrases })
}

/// A text up to its holes, and these.
fn pieces(mut text: &str) -> Vec<Piece> {
    let holes = [("{}", Piece::Any), ("{#}", Piece::Number), ("{name}", Piece::Name)];
    let mut pieces = Vec::new();
    loop {
        let next = holes.iter().filter_map(|hole| Some((text.find(hole.0)?, hole)));
        let Some((at, (mark, hole))) = next.min_by_key(|(at, _)| *at) else { break };
        pieces.extend((at > 0).then(|| Piece::Text(text[..at].to_owned())));
        pieces.push(hole.clone());
        text = &text[at + mark.len()..];
    }
    pieces.extend((!text.is_empty()).then(|| Piece::Text(text.to_owned())));
    pieces
}

// === impl Words ===

impl Words {
    /// A text in Chinese, if it is known: it may be no words, but a path.
    fn chinese(&self, text: &str) -> Option<String> {
        if text.len() > LONGEST {
            return None;
        }
        self.phrases.iter().find_map(|phrase| {
            let taken = taken(&phrase.en, text)?.into_iter();
            let mut taken = taken.map(|words| self.chinese(words).unwrap_or(words.to_owned()));
            let said = phrase.zh.iter().map(|piece| match piece {
                Piece::Text(own) => own.clone(),
                _ => taken.next().unwrap_or_default(),
            });
            Some(said.collect())
        })
    }

    /// The words that are just this text, in Chinese.
    fn whole(&self, text: &str) -> Option<&str> {
        self.phrases.iter().find_map(|phrase| match (&phrase.en[..], &phrase.zh[..]) {
            ([Piece::Text(en)], [Piece::Text(zh)]) if en == text => Some(zh.as_str()),
            _ => None,
        })
    }
}

// === impl Phrase ===

impl Phrase {
    /// How much of it is its own: of two that fit, the one that says more is meant.
    fn weight(&self) -> usize {
        let own = |piece: &Piece| match piece {
            Piece::Text(text) => 2 * text.len(),
            Piece::Number | Piece::Name => 1,
            Piece::Any => 0,
        };
        self.en.iter().map(own).sum()
    }
}

/// What is in the holes if the whole text is these pieces; as little as can be in the first.
fn taken<'a>(pieces: &[Piece], text: &'a str) -> Option<Vec<&'a str>> {
    let Some((first, others)) = pieces.split_first() else {
        return text.is_empty().then(Vec::new);
    };
    if let Piece::Text(own) = first {
        return taken(others, text.strip_prefix(own.as_str())?);
    }
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.into_iter().find_map(|end| {
        let (inside, rest) = text.split_at(end);
        let fits = match first {
            Piece::Number => inside.parse::<f64>().is_ok(),
            Piece::Name => !inside.contains(char::is_whitespace),
            _ => true,
        };
        let behind = fits.then(|| taken(others, rest))??;
        Some(std::iter::once(inside).chain(behind).collect())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::judge::client::{Cut, Missing, NoTls, Trouble};

    fn words(text: &str) -> Words {
        read(text).unwrap()
    }

    #[test]
    fn what_differs_is_taken_over_and_is_words_again_where_it_can_be() {
        let words = words(
            r#"
            quoted = []
            mixed = []
            [words]
            "{} after {#} ms" = "{}（{} 毫秒后）"
            "{} of {}" = "{}／{}"
            "{} of {} requests" = "{} 个请求，共 {} 个"
            "none" = "一个也没有"
            "no {name}" = "没有 {name}"
            "#,
        );
        let said = |text: &str| words.chinese(text);
        assert_eq!(said("none").as_deref(), Some("一个也没有"));
        assert_eq!(said("status 502 after 12 ms").as_deref(), Some("status 502（12 毫秒后）"));
        // The one that says more, wherever it stands in the file.
        assert_eq!(said("3 of 4 requests").as_deref(), Some("3 个请求，共 4 个"));
        assert_eq!(said("3 of 4").as_deref(), Some("3／4"));
        assert_eq!(said("no x-a").as_deref(), Some("没有 x-a"));
        for other in ["", "none of", "x after y ms", " of 4", "None", "no such thing"] {
            assert_eq!(said(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_program_says_at_length_is_left_alone() {
        // Each of these would be looked up in what is left of the one before it.
        let long = "a | ".repeat(100_000);
        assert_eq!(text(&long, Language::Zh), long);
        let short = "none | ".repeat(LONGEST / 7);
        assert_ne!(text(&short, Language::Zh), short);
    }

    #[test]
    fn the_file_is_in_order() {
        for phrase in &WORDS.phrases {
            let is_hole = |piece: &&Piece| !matches!(piece, Piece::Text(_));
            let holes = |pieces: &[Piece]| pieces.iter().filter(is_hole).count();
            assert_eq!(holes(&phrase.en), holes(&phrase.zh), "{phrase:?}");
            // It would fit everything, or nothing at all.
            assert!(phrase.weight() > 3, "{phrase:?}");
            let english = phrase.zh.iter().find_map(|piece| match piece {
                Piece::Text(text) => left_in_english(text),
                _ => None,
            });
            assert_eq!(english, None, "{phrase:?}");
        }
    }

    #[test]
    fn facts_are_said_in_the_language_asked_for() {
        let fact = json!(["the connection was refused", 3, "/a/b"]);
        assert_eq!(said("any", "seen", &fact, Language::En), fact);
        let zh = said("any", "seen", &fact, Language::Zh);
        assert_eq!((&zh[1], &zh[2]), (&fact[1], &fact[2]));
        assert!(!zh[0].as_str().unwrap().is_ascii(), "{zh}");
        // What the program said is not ours, but that it said nothing is.
        let theirs = json!("status 502");
        assert_eq!(said("line-forged", "actual", &theirs, Language::Zh), theirs);
        assert_ne!(said("any", "actual", &theirs, Language::Zh), theirs);
        assert_ne!(said("any", "said", &json!("nothing"), Language::Zh), json!("nothing"));
    }

    #[test]
    fn every_trouble_of_a_client_is_known() {
        let (after, bytes) = (Duration::from_millis(300), 3);
        let incomplete = |missing, because| {
            let (status, arrived) = (Some(200), bytes::Bytes::new());
            Trouble::Incomplete { missing, because, status, arrived }
        };
        let (reason, from) = ("os error 99".to_owned(), [127, 0, 0, 2].into());
        let troubles = [
            Trouble::Refused,
            Trouble::ConnectTimedOut { after },
            Trouble::NoSuchAddress { from, reason },
            Trouble::Connect("os error 99".to_owned()),
            Trouble::EmptyReply,
            Trouble::Reset,
            Trouble::NoTls(NoTls::Alert("ProtocolVersion".to_owned())),
            Trouble::NoTls(NoTls::Ended),
            Trouble::NoTls(NoTls::PatienceOver(after)),
            Trouble::NoTls(NoTls::Broken("bad record".to_owned())),
            Trouble::Http2("bad frame".to_owned()),
            incomplete(Missing::Head { bytes }, Cut::Closed),
            incomplete(Missing::Body { bytes, expected: 9 }, Cut::Reset),
            incomplete(Missing::BodyOfUnknownLength { bytes }, Cut::PatienceOver(after)),
            Trouble::NoAnswer { after },
            Trouble::NotHttp { first: bytes::Bytes::from_static(b"SSH-2.0") },
        ];
        for trouble in troubles.iter().map(ToString::to_string) {
            let zh = text(&trouble, Language::Zh);
            let left =
                zh.replace("os error", "").replace("bad record", "").replace("bad frame", "");
            assert!(!zh.is_ascii() && left_in_english(&left).is_none(), "{trouble}: {zh}");
        }
    }

    #[test]
    fn what_is_not_known_and_ours_is_missed() {
        assert_eq!(untold("any", "seen", "a thing unheard of"), Some("thing unheard"));
        assert_eq!(untold("any", "said", "a thing unheard of"), None);
        assert_eq!(untold("any", "reason", "a thing unheard of"), None);
        assert_eq!(untold("any", "seen", "no connection: a thing unheard of"), None);
        assert_eq!(untold("any", "seen", "/a/path"), None);
    }

    #[test]
    fn english_is_found_where_it_is_left() {
        assert_eq!(left_in_english("得到 no answer"), Some("no answer"));
        assert_eq!(left_in_english("no answer"), Some("no answer"));
        assert_eq!(left_in_english("收到 a request, then"), None);
        for none in ["GET /a/b", "状态码 502", "x-a: b c", "127.0.0.1:1 端口", "", "ok"] {
            assert_eq!(left_in_english(none), None, "{none:?}");
        }
    }
}
