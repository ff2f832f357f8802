//! The ratchet: breaches that were there when a rule came, one a line in `xtask/known-breaches.txt`. The list may only
//! shrink: a breach that is not on it fails, and a line whose breach is gone is told until somebody removes it.

use super::source::Violation;

/// Where the list is.
pub const PATH: &str = "xtask/known-breaches.txt";

/// What was found, held against the list.
pub struct Sifted {
    /// Not on the list: these fail.
    pub fresh: Vec<Violation>,
    /// Lines of the list whose breach is gone: told, so that somebody removes them.
    pub gone: Vec<String>,
}

pub fn sift(found: Vec<Violation>, list: &str) -> Sifted {
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let known: Vec<&str> = list.lines().filter(is_entry).collect();
    let is_gone = |entry: &&&str| !found.iter().any(|it| of(it) == without_numbers(entry));
    let gone = known.iter().filter(is_gone).map(|entry| (*entry).to_owned()).collect();
    let is_fresh = |it: &Violation| !known.iter().any(|entry| of(it) == without_numbers(entry));
    Sifted { gone, fresh: found.into_iter().filter(is_fresh).collect() }
}

/// A breach without its line number and its counts, which move with every edit.
fn of(violation: &Violation) -> String {
    without_numbers(&format!("{}: {}", violation.path, violation.says))
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Violation> {
        vec![Violation::new("a.rs", 7, "too long."), Violation::new("b.rs", 0, "no header.")]
    }

    /// A known breach is passed over wherever it has moved to, a new one is not.
    #[test]
    fn known_breaches_are_passed_over() {
        let sifted = sift(found(), "# why\n\na.rs: too long.\n");
        assert_eq!(sifted.fresh, [Violation::new("b.rs", 0, "no header.")]);
        assert!(sifted.gone.is_empty());
    }

    /// A line whose breach is gone is told.
    #[test]
    fn the_list_shrinks() {
        assert_eq!(sift(Vec::new(), "a.rs: too long.\n").gone, ["a.rs: too long."]);
    }
}
