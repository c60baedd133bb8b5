//! The house rules that no lint knows: each finding names a place and says how to mend it.
//!
//! It is not a linter for Rust: what clippy can check is in `Cargo.toml` and `clippy.toml`.

mod crates;
mod links;
mod named_tests;
mod rules;
mod source;

use anyhow::bail;

use crate::repository::Repository;
use crate::say;
use source::Source;

/// What is wrong, where, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    text: String,
}

impl Finding {
    fn at_line(file: &str, index: usize, text: impl Into<String>) -> Self {
        Self {
            place: format!("{file}:{}", index + 1),
            text: text.into(),
        }
    }

    fn in_file(file: &str, text: impl Into<String>) -> Self {
        Self {
            place: file.to_owned(),
            text: text.into(),
        }
    }
}

/// Checks the whole repository.
///
/// # Errors
///
/// Returns an error if there is a finding; all of them are printed first.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    let mut sources = Vec::new();
    let mut pages = Vec::new();
    for file in repository.files()? {
        let Some(text) = repository.text(&file)? else {
            continue;
        };
        findings.extend(rules::machine_traces(&file, &text));
        match file.rsplit_once('.') {
            Some((_, "rs")) => sources.push(Source::new(file, text)),
            Some((_, "md")) => pages.push((file, text)),
            _ => {}
        }
    }
    let mut exposures = 0;
    for source in &sources {
        findings.extend(rules::header(source));
        findings.extend(rules::words(source));
        let (calls, unexplained) = rules::exposures(source);
        exposures += calls;
        findings.extend(unexplained);
    }
    findings.extend(named_tests::check(&pages, &sources));
    findings.extend(links::check(repository, &pages)?);
    findings.extend(crates::check(repository)?);
    findings.extend(crates::fuzz_targets(repository)?);

    for finding in &findings {
        say::line(&format!("{}: {}", finding.place, finding.text));
    }
    say::line(&format!(
        "tidy: {} Rust files, {} pages, {exposures} places where a secret is exposed, {} findings",
        sources.len(),
        pages.len(),
        findings.len()
    ));
    if !findings.is_empty() {
        bail!("tidy found {} places to mend", findings.len());
    }
    Ok(())
}
