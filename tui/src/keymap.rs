//! Keys as data: which key does what where. Help and hints are made from these tables, so they cannot lie.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the program.
    Quit,
    /// Leave it to the shell's job control until it is called back.
    Suspend,
    /// Show the keys of this place.
    Help,
    /// Close what is on top, or go back.
    Back,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first line.
    First,
    /// The last line.
    Last,
    /// Open what is selected.
    Open,
    /// Move between members and findings.
    SwitchPane,
    /// Ask all members now.
    Refresh,
    /// Stop or resume asking.
    Pause,
    /// Ask more often.
    Faster,
    /// Ask less often.
    Slower,
    /// The key browser.
    BrowseKeys,
    /// The alarms.
    Alarms,
    /// Type another prefix.
    EditPrefix,
    /// The next page of keys.
    NextPage,
    /// The page of keys before.
    PreviousPage,
}

/// The place that has the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The members and findings.
    Members,
    /// The key browser.
    Keys,
    /// A popup.
    Popup,
}

/// One row of a table.
#[derive(Debug)]
pub struct Binding {
    /// The keys, any of which will do.
    pub keys: &'static [KeyCode],
    /// The keys as shown.
    pub label: &'static str,
    /// What they do, as shown in help.
    pub help: &'static str,
    /// One word for the hint line; empty to leave it out.
    pub hint: &'static str,
    /// What they ask for.
    pub action: Action,
}

const fn binding(
    keys: &'static [KeyCode],
    label: &'static str,
    hint: &'static str,
    help: &'static str,
    action: Action,
) -> Binding {
    Binding { keys, label, help, hint, action }
}

use KeyCode::{Char, Down, End, Enter, Esc, Home, PageDown, PageUp, Tab, Up};

/// Everywhere.
const COMMON: [Binding; 3] = [
    binding(&[Char('q')], "q", "quit", "quit", Action::Quit),
    binding(&[Char('?'), KeyCode::F(1)], "?", "help", "show these keys", Action::Help),
    binding(&[Esc], "Esc", "", "close, or go back", Action::Back),
];

const MOVES: [Binding; 6] = [
    binding(&[Up, Char('k')], "Up, k", "", "one up", Action::Up),
    binding(&[Down, Char('j')], "Down, j", "", "one down", Action::Down),
    binding(&[PageUp], "PgUp", "", "one page up", Action::PageUp),
    binding(&[PageDown], "PgDn", "", "one page down", Action::PageDown),
    binding(&[Home, Char('g')], "Home, g", "", "the first", Action::First),
    binding(&[End, Char('G')], "End, G", "", "the last", Action::Last),
];

const MEMBERS: [Binding; 8] = [
    binding(&[Enter], "Enter", "details", "details of what is selected", Action::Open),
    binding(&[Tab], "Tab", "findings", "between members and findings", Action::SwitchPane),
    binding(&[Char('b')], "b", "keys", "browse the keys", Action::BrowseKeys),
    binding(&[Char('a')], "a", "alarms", "alarms, and what to do about them", Action::Alarms),
    binding(&[Char('r')], "r", "refresh", "ask all members now", Action::Refresh),
    binding(&[Char('p'), Char(' ')], "p", "pause", "stop asking, or go on", Action::Pause),
    binding(&[Char('+'), Char('=')], "+", "", "ask less often", Action::Slower),
    binding(&[Char('-')], "-", "", "ask more often", Action::Faster),
];

const KEYS: [Binding; 5] = [
    binding(&[Enter], "Enter", "value", "show the value", Action::Open),
    binding(&[Char('/')], "/", "prefix", "type another prefix", Action::EditPrefix),
    binding(&[Char('n')], "n", "next", "the next page", Action::NextPage),
    binding(&[Char('p')], "p", "previous", "the page before", Action::PreviousPage),
    binding(&[Char('r')], "r", "reload", "read this page again", Action::Refresh),
];

/// The tables that hold in a place, most special first.
pub fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    let own: &'static [Binding] = match context {
        Context::Members => &MEMBERS,
        Context::Keys => &KEYS,
        Context::Popup => &[],
    };
    own.iter().chain(&MOVES).chain(&COMMON)
}

/// What a key means in a place.
pub fn action(context: Context, key: KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            Char('c') => Some(Action::Quit),
            Char('z') => Some(Action::Suspend),
            Char('l') => Some(Action::Refresh),
            _ => None,
        };
    }
    bindings(context).find(|binding| binding.keys.contains(&key.code)).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No key of one place means two things.
    #[test]
    fn no_key_is_bound_twice() {
        for context in [Context::Members, Context::Keys, Context::Popup] {
            let mut seen: Vec<KeyCode> = Vec::new();
            for key in bindings(context).flat_map(|binding| binding.keys) {
                assert!(!seen.contains(key), "{key:?} is bound twice in {context:?}");
                seen.push(*key);
            }
        }
    }
}
