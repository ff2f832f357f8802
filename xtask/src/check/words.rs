//! Names that say nothing: files and modules called util, common, misc and the like.

use super::source::{Source, Violation};

const EMPTY_NAMES: [&str; 8] =
    ["util", "utils", "common", "misc", "helper", "helpers", "stuff", "shared"];

pub fn check(sources: &[Source]) -> Vec<Violation> {
    sources.iter().flat_map(|source| path(source).into_iter().chain(modules(source))).collect()
}

fn path(source: &Source) -> Option<Violation> {
    let stem = source.path.trim_end_matches(".rs");
    let part = stem.split('/').find(|part| EMPTY_NAMES.contains(part))?;
    let says = format!("`{part}` says nothing. Name the file after what it owns.");
    Some(Violation::new(&source.path, 0, says))
}

fn modules(source: &Source) -> Vec<Violation> {
    let named = EMPTY_NAMES.iter().flat_map(|name| {
        let lines = Source::lines_with(&source.code, &format!("mod {name}"));
        lines.into_iter().map(move |line| (line, name))
    });
    let says = |(line, name)| {
        Violation::new(&source.path, line, format!("the module name `{name}` says nothing."))
    };
    named.map(says).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file, a folder and an inline module of such a name are caught.
    #[test]
    fn empty_names_are_caught() {
        assert_eq!(check(&[Source::new("ctl/src/utils.rs", "")]).len(), 1);
        assert_eq!(check(&[Source::new("ctl/src/common/a.rs", "")]).len(), 1);
        assert_eq!(check(&[Source::new("ctl/src/a.rs", "mod helpers {}")]).len(), 1);
        assert!(check(&[Source::new("ctl/src/commonality.rs", "mod utility;")]).is_empty());
    }
}
