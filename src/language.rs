//! The two languages that the command line speaks.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A language in which a person reads what the program prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese, simplified.
    Zh,
}

impl Language {
    /// The language of the environment (`LC_ALL`, `LC_MESSAGES`, `LANG`, or
    /// the system's setting): Chinese if it names Chinese, else English.
    pub fn from_environment() -> Self {
        sys_locale::get_locale().map_or(Self::En, |locale| Self::from_locale(&locale))
    }

    fn from_locale(locale: &str) -> Self {
        let language = locale.split(['-', '_', '.']).next().unwrap_or_default();
        if language.eq_ignore_ascii_case("zh") { Self::Zh } else { Self::En }
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn a_locale_that_names_chinese_is_chinese() {
        for locale in ["zh", "zh-CN", "zh_TW.UTF-8", "ZH-Hans"] {
            assert_eq!(Language::from_locale(locale), Language::Zh, "{locale}");
        }
        for locale in ["en-US", "C", "POSIX", "", "zhx", "de_DE"] {
            assert_eq!(Language::from_locale(locale), Language::En, "{locale}");
        }
    }
}
