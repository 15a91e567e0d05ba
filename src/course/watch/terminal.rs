//! Where the watch is shown: the whole terminal, or lines on stdout.

use std::io::{self, Write};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event;
use tokio::sync::mpsc;

use super::input::{Input, Key};
use super::model::Model;
use super::panel::Surroundings;
use super::{keys, screen};

/// Where it is shown.
pub enum Output {
    /// On the whole terminal.
    Screen(Screen),
    /// As lines on stdout.
    Lines,
}

/// The terminal, given back when this is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        ratatui::restore();
    }
}

// === impl Output ===

impl Output {
    /// Takes the terminal; its keys and sizes become inputs.
    pub fn screen(inputs: mpsc::UnboundedSender<Input>) -> io::Result<Self> {
        // From here on a panic gives the terminal back before it is told.
        let terminal = ratatui::try_init()?;
        let screen = Screen { terminal };
        std::thread::spawn(move || {
            // The terminal's events can only be waited for; the thread ends with
            // the process, or when nobody listens.
            while let Ok(event) = event::read() {
                let input = match event {
                    event::Event::Key(key) => keys::meaning(key).map(Input::Key),
                    event::Event::Resize(..) => Some(Input::Resized),
                    _ => None,
                };
                if input.is_some_and(|input| inputs.send(input).is_err()) {
                    return;
                }
            }
            // A terminal that is gone ends the watch.
            let _ = inputs.send(Input::Key(Key::Quit));
        });
        Ok(Self::Screen(screen))
    }

    /// Draws the screen, where there is one.
    pub fn draw(&mut self, model: &mut Model, around: &Surroundings) -> io::Result<()> {
        if let Self::Screen(screen) = self {
            let before = model.scrolls();
            let mut size = (0, 0);
            screen.terminal.draw(|frame| size = screen::draw(frame, model, around))?;
            model.measured(size.0, size.1);
            // The keys depend on whether there is more than is shown.
            if before != model.scrolls() {
                screen.terminal.draw(|frame| size = screen::draw(frame, model, around))?;
                model.measured(size.0, size.1);
            }
        }
        Ok(())
    }

    /// Prints lines, where lines are printed.
    ///
    /// # Errors
    ///
    /// Where nobody reads them any more.
    pub fn tell(&self, lines: impl FnOnce() -> Vec<String>) -> io::Result<()> {
        if let Self::Lines = self {
            let mut out = io::stdout().lock();
            for line in lines() {
                writeln!(out, "{line}")?;
            }
            out.flush()?;
        }
        Ok(())
    }
}
