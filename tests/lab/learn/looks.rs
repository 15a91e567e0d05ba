//! The screen at each width, in both languages, with and without colours.

use super::{Learner, Terminal};

#[test]
fn it_fits_at_every_width_in_both_languages() {
    let learner = Learner::new("en", "wrong");
    for language in ["en", "zh"] {
        for columns in [40, 80, 120] {
            let terminal = Terminal::start_with(&learner, columns, 30, |command| {
                command.args(["--lang", language]);
            });
            // The diagnosis with its next step is there without scrolling.
            terminal.shows("starts: exited-at-once");
            terminal.shows("→ ");
            let words = match language {
                "en" => ["── Result ", "h hint", "✗ Starts and listens on LAB_LISTEN"],
                _ => ["── 结果 ", "h 提示", "✗ 程序启动，并在 LAB_LISTEN 上监听"],
            };
            words.iter().for_each(|word| terminal.shows(word));
            // Beside the checks where there is room, below them elsewhere.
            terminal.shows_at(if columns == 120 { 46 } else { 0 }, words[0]);
        }
    }
}

#[test]
fn chinese_lines_up() {
    let learner = Learner::new("zh", "wrong");
    let terminal = Terminal::start(&learner, 120, 30);
    // The panel begins where the checks have ended, whatever they are written in.
    terminal.shows_at(46, "── 结果");
    terminal.shows_at(0, "- 请求与应答");
    // Labels of two columns a character, and what stands behind them.
    terminal.shows_at(46, "退出  退出码 3");
    terminal.shows_at(52, "a wrong setting");
}

#[test]
fn no_color_means_no_colour() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 80, 24);
    terminal.shows("exited-at-once");
    assert!(terminal.seen().colored);
    let terminal = Terminal::start_with(&learner, 80, 24, |command| {
        command.env("NO_COLOR", "1");
    });
    terminal.shows("exited-at-once");
    assert!(!terminal.seen().colored);
}

#[test]
fn another_size_is_drawn_anew() {
    let learner = Learner::new("en", "wrong");
    let terminal = Terminal::start(&learner, 120, 30);
    terminal.shows("exited-at-once");
    terminal.resize(40, 10);
    terminal.until("the checks in one line", |seen| seen.text().contains("✗ - - - - starts"));
    terminal.resize(80, 24);
    terminal.shows("✗ Starts and listens");
}
