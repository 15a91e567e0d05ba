//! Why a build gave no program, in words.

use std::io::{self, ErrorKind};

use crate::language::Language;

/// Why a build gave no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// What cargo said, on several lines; empty where the compiler has said it
    /// all.
    pub detail: String,
}

/// The kinds of trouble that are told apart, for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The code does not compile; the errors, so many, were events.
    Errors(usize),
    /// There is no cargo.
    NoCargo,
    /// Crates are missing and could not be downloaded.
    Offline,
    /// The disk is full.
    DiskFull,
    /// There is no C compiler, which links too.
    NoCompiler,
    /// There is no cmake, and none could be installed.
    NoCmake,
    /// Rust is older than a dependency needs.
    OldRust,
    /// `Cargo.toml` or `Cargo.lock` is wrong.
    Manifest,
    /// Something ended cargo.
    Killed,
    /// Anything else; the detail is all that is known.
    Other,
}

/// What cargo and those it calls say in each trouble. The first found counts.
const SIGNS: &[(Trouble, &[&str])] = &[
    (Trouble::DiskFull, &["No space left on device", "Disk quota exceeded"]),
    (Trouble::NoCmake, &["zlib-ng needs cmake", "is `cmake` not installed"]),
    (
        Trouble::NoCompiler,
        &["no C compiler was found", "linker `cc` not found", "failed to find tool"],
    ),
    (
        Trouble::OldRust,
        &["requires rustc", "is not supported by the following package", "feature `edition2024`"],
    ),
    (
        Trouble::Offline,
        &[
            "Could not resolve host",
            "Couldn't resolve host",
            "Could not connect to server",
            "Couldn't connect to server",
            "failed to download",
            "download of config.json failed",
            "spurious network error",
            "network failure seems to have happened",
            "--offline",
            "Unable to update registry",
            "failed to fetch",
        ],
    ),
    (
        Trouble::Manifest,
        &[
            "failed to parse manifest",
            "--> Cargo.toml:",
            "failed to parse lock file",
            "can't find ",
            "no bin target",
        ],
    ),
];

impl Failure {
    /// Cargo could not be started.
    pub(super) fn of_start(error: &io::Error) -> Self {
        let trouble = match error.kind() {
            ErrorKind::NotFound => Trouble::NoCargo,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Trouble::DiskFull,
            _ => Trouble::Other,
        };
        Self { trouble, detail: error.to_string() }
    }

    /// Cargo has ended without a program.
    pub(super) fn of_end(errors: usize, said: &[String], status: String) -> Self {
        let says = |signs: &[&str]| said.iter().any(|line| signs.iter().any(|s| line.contains(s)));
        let sign = SIGNS.iter().find(|(_, signs)| says(signs)).map(|(trouble, _)| *trouble);
        let trouble = match sign {
            // A full disk or no linker can look like errors in the code.
            Some(trouble @ (Trouble::DiskFull | Trouble::NoCompiler)) => trouble,
            _ if errors > 0 => Trouble::Errors(errors),
            Some(trouble) => trouble,
            None if status.contains("signal") => Trouble::Killed,
            None => Trouble::Other,
        };
        let detail = match trouble {
            Trouble::Errors(_) => String::new(),
            _ if said.is_empty() => status,
            // From where cargo says what is wrong.
            _ => {
                let from = said.iter().position(|line| line.starts_with("error"));
                said[from.unwrap_or(0)..].join("\n")
            }
        };
        Self { trouble, detail }
    }

    /// The state, the reason, the next step, in one paragraph; the detail is
    /// cargo's own words, for below it.
    pub fn explain(&self, language: Language) -> String {
        match language {
            Language::En => self.trouble.english(),
            Language::Zh => self.trouble.chinese(),
        }
    }
}

impl Trouble {
    fn english(self) -> String {
        let text = match self {
            Self::Errors(1) => return "It does not compile: 1 error.".to_owned(),
            Self::Errors(count) => return format!("It does not compile: {count} errors."),
            Self::NoCargo => {
                "It was not built: cargo was not found on the PATH. Install Rust from \
                 https://rustup.rs, or open a new terminal if you just did."
            }
            Self::Offline => {
                "It was not built: crates are missing and cannot be downloaded. The first build \
                 needs the internet once, and so does each dependency that you add. Connect, then \
                 try again; what is downloaded stays."
            }
            Self::DiskFull => {
                "It was not built: the disk is full. A workspace needs about 1 GB in its target/ \
                 folder, and a little for temporary files. Make room, then try again."
            }
            Self::NoCompiler => {
                "It was not built: there is no C compiler, which is needed for linking too. \
                 Install one (Debian, Ubuntu: sudo apt-get install gcc), then try again."
            }
            Self::NoCmake => {
                "It was not built: zlib-ng, which Pingora uses, needs cmake, and none was found or \
                 could be installed. Install it (Debian, Ubuntu: sudo apt-get install cmake make), \
                 then try again."
            }
            Self::OldRust => {
                "It was not built: this Rust is too old for a dependency. Update it with \
                 `rustup update stable`, then try again."
            }
            Self::Manifest => {
                "It was not built: cargo cannot use Cargo.toml or Cargo.lock as they are. It says \
                 below what is wrong; mend that, then try again."
            }
            Self::Killed => {
                "It was not built: something ended cargo, perhaps for want of memory. Try again \
                 with less running beside it."
            }
            Self::Other => "It was not built. Cargo says why:",
        };
        text.to_owned()
    }

    fn chinese(self) -> String {
        let text = match self {
            Self::Errors(count) => return format!("编译未通过：{count} 个错误。"),
            Self::NoCargo => {
                "没有编译：在 PATH 中找不到 cargo。请从 https://rustup.rs 安装 Rust；如果刚刚装好，\
                 请重新打开一个终端。"
            }
            Self::Offline => {
                "没有编译：缺少依赖的 crate，又无法下载。第一次编译需要联网一次，之后每新增一个\
                 依赖也是如此。请联网后重试；已下载的部分不会丢失。"
            }
            Self::DiskFull => {
                "没有编译：磁盘已满。学习目录的 target/ 约占 1 GB，临时目录也要留一点空间。\
                 请腾出空间后重试。"
            }
            Self::NoCompiler => {
                "没有编译：缺少 C 编译器（链接也要用它）。请先安装（Debian、Ubuntu：\
                 sudo apt-get install gcc），然后重试。"
            }
            Self::NoCmake => {
                "没有编译：Pingora 用到的 zlib-ng 需要 cmake，但既没有找到，也没能自动装上。\
                 请先安装（Debian、Ubuntu：sudo apt-get install cmake make），然后重试。"
            }
            Self::OldRust => {
                "没有编译：当前的 Rust 版本太旧，满足不了某个依赖。请用 `rustup update stable` \
                 更新后重试。"
            }
            Self::Manifest => {
                "没有编译：cargo 无法使用现在的 Cargo.toml 或 Cargo.lock。具体原因见下面 cargo \
                 的输出；改好后重试。"
            }
            Self::Killed => {
                "没有编译：cargo 被强行结束，可能是内存不足。请关掉一些其他程序后重试。"
            }
            Self::Other => "没有编译。cargo 给出的原因：",
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_names_the_trouble() {
        for (said, errors, trouble) in [
            ("error: failed to get `x`; Could not resolve host: index", 0, Trouble::Offline),
            ("error: unable to write: No space left on device (os error 28)", 2, Trouble::DiskFull),
            ("error: rustc 1.80.0 is not supported by the following package:", 0, Trouble::OldRust),
            ("no C compiler was found to link with.", 0, Trouble::NoCompiler),
            ("pingora-lab: building zlib-ng needs cmake, and none", 0, Trouble::NoCmake),
            ("error: no bin target named `x` in default-run packages", 0, Trouble::Manifest),
            ("error: could not compile `my-lab` due to 2 previous errors", 2, Trouble::Errors(2)),
            ("error: strange", 0, Trouble::Other),
        ] {
            let said = ["note".to_owned(), said.to_owned()];
            let failure = Failure::of_end(errors, &said, "exit status: 101".to_owned());
            assert_eq!(failure.trouble, trouble, "{said:?}");
            assert_eq!(failure.detail.is_empty(), matches!(trouble, Trouble::Errors(_)));
        }
        let killed = Failure::of_end(0, &[], "signal: 9 (SIGKILL)".to_owned());
        assert_eq!(killed.trouble, Trouble::Killed);
    }
}
