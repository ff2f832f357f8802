//! The ratchet: breaches that were there when a rule came, one a line in `xtask/known-breaches.txt`. The list may only
//! shrink: a breach that is not on it fails, and so does a line whose breach is gone.

use super::source::Violation;

/// Where the list is.
pub const PATH: &str = "xtask/known-breaches.txt";

/// What of `found` is not known, and what is known but no longer found.
pub fn sift(found: Vec<Violation>, known: &str) -> Vec<Violation> {
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let known: Vec<&str> = known.lines().filter(is_entry).collect();
    let gone: Vec<Violation> = known
        .iter()
        .filter(|entry| !found.iter().any(|violation| of(violation) == **entry))
        .map(|entry| Violation::new(PATH, 0, format!("no longer so, remove the line: {entry}")))
        .collect();
    let is_new = |violation: &Violation| !known.contains(&of(violation).as_str());
    found.into_iter().filter(is_new).chain(gone).collect()
}

/// A breach without its line number, which moves with every edit.
fn of(violation: &Violation) -> String {
    format!("{}: {}", violation.path, violation.says)
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
        let left = sift(found(), "# why\n\na.rs: too long.\n");
        assert_eq!(left, [Violation::new("b.rs", 0, "no header.")]);
    }

    /// A line whose breach is gone has to go too.
    #[test]
    fn the_list_shrinks() {
        let left = sift(Vec::new(), "a.rs: too long.\n");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].path, PATH);
    }
}
