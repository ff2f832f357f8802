//! What a test of etcd's said, what was expected of it, and the summary.

use std::collections::BTreeMap;
use std::fmt;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// It says itself that it needs something that is not there.
    Skipped,
    Failed,
}

impl Outcome {
    /// From what a test program printed with `-test.v`. Its exit code says less: it is a failure too where a test that
    /// passed left something running.
    pub fn of(test: &str, printed: &str) -> Outcome {
        let said = |word: &str| printed.contains(&format!("--- {word}: {test} "));
        if said("PASS") {
            Outcome::Passed
        } else if said("SKIP") {
            Outcome::Skipped
        } else {
            Outcome::Failed
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Passed => "pass",
            Outcome::Skipped => "skip",
            Outcome::Failed => "FAIL",
        })
    }
}

/// Tests that cannot pass, with the reason: the rows of `docs/etcd-suites.md` that begin with a test's name.
pub fn known(page: &str) -> BTreeMap<String, String> {
    let row = |line: &str| {
        let (name, reason) = line.strip_prefix("| `Test")?.split_once("` | ")?;
        let reason = reason.trim_end().trim_end_matches('|').trim_end();
        Some((format!("Test{name}"), reason.to_owned()))
    };
    page.lines().filter_map(row).collect()
}

/// Counts, and the tests that failed and are not on the page.
#[derive(Debug, Default)]
pub struct Summary {
    pub passed: usize,
    pub skipped: usize,
    pub known: usize,
    pub surprises: Vec<String>,
}

impl Summary {
    pub fn add(&mut self, test: &str, outcome: Outcome, reason: Option<&str>) {
        match (outcome, reason) {
            // One that is on the page may pass too: some fail with real etcd's tools only.
            (Outcome::Passed, _) => self.passed += 1,
            (Outcome::Skipped, _) => self.skipped += 1,
            (Outcome::Failed, Some(_)) => self.known += 1,
            (Outcome::Failed, None) => self.surprises.push(test.to_owned()),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { passed, skipped, known, surprises } = self;
        let n = surprises.len();
        write!(f, "{passed} pass, {skipped} are skipped, {known} fail as the page says, {n} fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests of the page are found with their reasons; other rows and prose are none.
    #[test]
    fn rows_of_the_page() {
        let page = "# x\n| test | why |\n|---|---|\n| `TestA` | it opens bbolt |\n| `flag` | no |\n`TestB`\n";
        let known = known(page);
        assert_eq!(known.len(), 1);
        assert_eq!(known["TestA"], "it opens bbolt");
    }

    /// A test says its outcome itself; a subtest's is not its own, and who says nothing has ended the process.
    #[test]
    fn a_test_speaks_for_itself() {
        assert_eq!(Outcome::of("TestA", "--- PASS: TestA (0.1s)\n"), Outcome::Passed);
        assert_eq!(Outcome::of("TestA", "--- SKIP: TestA (0.0s)\nPASS\n"), Outcome::Skipped);
        assert_eq!(Outcome::of("TestA", "    --- PASS: TestA/b (0.0s)\n"), Outcome::Failed);
        assert_eq!(Outcome::of("TestA", "--- FAIL: TestA (0.1s)\n"), Outcome::Failed);
    }

    /// Only a failure that the page does not name is a surprise.
    #[test]
    fn surprises() {
        let mut summary = Summary::default();
        summary.add("TestA", Outcome::Failed, Some("bbolt"));
        summary.add("TestB", Outcome::Passed, None);
        summary.add("TestC", Outcome::Passed, Some("bbolt"));
        assert!(summary.surprises.is_empty());
        summary.add("TestD", Outcome::Failed, None);
        assert_eq!(summary.surprises, ["TestD"]);
        assert_eq!(summary.to_string(), "2 pass, 0 are skipped, 1 fail as the page says, 1 fail");
    }
}
