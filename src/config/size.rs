//! Numbers of bytes, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::Invalid;
use super::written::written_as_string;

/// A number of bytes from 1 up to 1 TiB, written like `64KiB`, `10MB` or `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

/// The most bytes that a setting may have: 1 TiB.
const LARGEST: u64 = 1 << 40;

written_as_string!(Size, "Size", "A number of bytes, from 1B to 1TiB", "64KiB");

impl Size {
    /// A default in bytes.
    pub(super) const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A default in KiB.
    pub(super) const fn from_kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// The number of bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let no_size = || Invalid(format!("\"{text}\" is no size: write 64KiB, 10MB or 512B"));
        // A bare number would leave the unit to the reader's guess.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(no_size());
        }
        let bytes = text.parse::<bytesize::ByteSize>().map_err(|_| no_size())?.as_u64();
        match bytes {
            1..=LARGEST => Ok(Self(bytes)),
            _ => Err(Invalid(format!("\"{text}\" is out of range: use 1B to 1TiB"))),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit))
            .unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_with_their_unit() {
        for (text, bytes, shown) in [
            ("64KiB", 65_536, "64KiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("1 MiB", 1_048_576, "1MiB"),
            ("512B", 512, "512B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.get(), size.to_string().as_str()), (bytes, shown), "{text}");
        }
        for text in ["", "0B", "64", "-1B", "many", "2TiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
