//! The page of past leaks names tests, and each of them exists: a promise whose test is gone is found.

use super::{Finding, Source};

const PAGE: &str = "docs/security/past-leaks.md";

/// Checks the last cell of each row of the page's tables.
pub(super) fn check(pages: &[(String, String)], sources: &[Source]) -> Vec<Finding> {
    let Some((_, text)) = pages.iter().find(|(file, _)| file == PAGE) else {
        return vec![Finding::in_file(
            PAGE,
            "the page is gone: it says which leaks are tested for",
        )];
    };
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| named(line).map(move |name| (index, name)))
        .filter(|(_, name)| !sources.iter().any(|source| has_test(source, name)))
        .map(|(index, name)| {
            let text = format!("there is no test `{name}`: name the one that shows this leak now");
            Finding::at_line(PAGE, index, text)
        })
        .collect()
}

/// Returns the names in backticks in the last cell of a table's row.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let cell = line
        .strip_suffix('|')
        .and_then(|row| row.rsplit('|').next())
        .unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

/// Tells whether a file has a function of that name among its tests.
fn has_test(source: &Source, name: &str) -> bool {
    let signature = format!("fn {name}(");
    source
        .code()
        .any(|(_, code, test)| test && code.contains(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_a_finding() {
        let page = "| what | where | our test |\n|---|---|---|\n| a `x` leak | y | `there`, `gone` |\n`else`\n";
        let pages = [(PAGE.to_owned(), page.to_owned())];
        let text = "//! It is.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn there() {}\n}\nfn gone() {}\n";
        let sources = [Source::new(
            "crates/a/src/lib.rs".to_owned(),
            text.to_owned(),
        )];
        let findings = check(&pages, &sources);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].text.contains("`gone`") && findings[0].place.ends_with(":3"),
            "{findings:?}"
        );
    }
}
