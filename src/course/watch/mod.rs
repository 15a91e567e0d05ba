//! `learn`: a stage built and judged after every save, on a screen of its own
//! or, without a terminal, as lines.
//!
//! Everything that happens is an `input::Input` to the `model::Model`, which
//! answers with `input::Effect`s; the loop in `run` carries them out and draws.
//! Each trial has a number, its generation: what an older one still says is
//! dropped. A trial of code that was saved meanwhile gives no report at all.
//!
//! | file | what lives there |
//! | --- | --- |
//! | `input` | what happens, and what is done about it |
//! | `model` | what is known, and what each input changes |
//! | `screen` | the layout: header, checks, panel, keys |
//! | `panel` | what the panel shows: a verdict, errors, hints, the lesson, the stages |
//! | `page` | lines of a given width, wrapped where wide characters allow it |
//! | `markdown` | a lesson as lines |
//! | `ansi` | the compiler's colours |
//! | `files` | saves, noticed |
//! | `keys` | what a key means |
//! | `plain` | the lines for a pipe |
//! | `terminal` | the terminal, taken and given back |
//! | `run` | the loop |

mod ansi;
mod files;
mod input;
mod keys;
mod markdown;
mod model;
mod page;
mod panel;
mod plain;
mod run;
mod screen;
mod terminal;

pub(super) use files::Files;
pub use run::{Face, Watch, WatchError};
