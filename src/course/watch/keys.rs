//! What a key of the keyboard means.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::input::Key;

/// The meaning of a key, if it has one here.
pub fn meaning(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return match event.code {
            KeyCode::Char('c') => Some(Key::Quit),
            KeyCode::Char('u') => Some(Key::PageUp),
            KeyCode::Char('d') => Some(Key::PageDown),
            _ => None,
        };
    }
    Some(match event.code {
        KeyCode::Char('h') => Key::Hint,
        KeyCode::Char('n') => Key::Next,
        KeyCode::Char('N') => Key::Keep,
        KeyCode::Char('l') => Key::List,
        KeyCode::Char('o' | 'm') => Key::Lesson,
        KeyCode::Char('s') => Key::Solution,
        KeyCode::Char('t') => Key::Language,
        KeyCode::Char('r') => Key::Rerun,
        KeyCode::Char('R') => Key::Repeat,
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc | KeyCode::Backspace => Key::Back,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_c_ends_and_other_control_keys_are_no_letters() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('h'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('h'), KeyModifiers::NONE), Some(Key::Hint));
        assert_eq!(key(KeyCode::Char('R'), KeyModifiers::SHIFT), Some(Key::Repeat));
    }
}
