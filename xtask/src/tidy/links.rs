//! Links between the repository's pages lead somewhere: to a file, and to a heading of it.
//!
//! Links to the web are not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::Finding;
use crate::repository::Repository;

/// Checks every relative link of the given pages.
pub(super) fn check(
    repository: &Repository,
    pages: &[(String, String)],
) -> anyhow::Result<Vec<Finding>> {
    let anchors: BTreeMap<&str, BTreeSet<String>> = pages
        .iter()
        .map(|(file, text)| {
            (
                file.as_str(),
                prose(text).filter_map(|(_, line)| slug(line)).collect(),
            )
        })
        .collect();
    let mut findings = Vec::new();
    for (file, text) in pages {
        for (index, line) in prose(text) {
            for target in targets(line) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let Some(linked) = resolved(file, path) else {
                    findings.push(Finding::at_line(
                        file,
                        index,
                        format!("`{target}` leads out of the repository"),
                    ));
                    continue;
                };
                if !repository.root().join(&linked).exists() {
                    findings.push(Finding::at_line(
                        file,
                        index,
                        format!("`{target}` leads to no file"),
                    ));
                } else if !anchor.is_empty()
                    && anchors
                        .get(linked.as_str())
                        .is_some_and(|known| !known.contains(anchor))
                {
                    findings.push(Finding::at_line(
                        file,
                        index,
                        format!("`{target}` names no heading there"),
                    ));
                }
            }
        }
    }
    Ok(findings)
}

/// Returns the lines outside of fenced code, with their indices.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Returns the targets of a line's links that lead into the repository.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|after| after.split([')', ' ']).next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// Returns the linked path relative to the repository, or nothing where it leaves it.
fn resolved(file: &str, path: &str) -> Option<String> {
    let mut at: PathBuf = Path::new(file).parent()?.to_owned();
    if path.is_empty() {
        return Some(file.to_owned());
    }
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                if !at.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(at.to_str()?.to_owned())
}

/// Returns the anchor of a heading, as code hosts derive it.
fn slug(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#');
    if heading.len() == line.len() || !heading.starts_with(' ') {
        return None;
    }
    let slug = heading
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            _ if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    Some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_resolved() {
        let line =
            "see [a](x.md), [b](https://example.org), [c](../y.md#here \"title\") and [d](#top)";
        assert_eq!(
            targets(line).collect::<Vec<_>>(),
            ["x.md", "../y.md#here", "#top"]
        );
        assert_eq!(resolved("docs/a.md", "../y.md").as_deref(), Some("y.md"));
        assert_eq!(
            resolved("docs/a.md", "./b/c.md").as_deref(),
            Some("docs/b/c.md")
        );
        assert_eq!(resolved("docs/a.md", "").as_deref(), Some("docs/a.md"));
        assert_eq!(resolved("a.md", "../b.md"), None);
        assert_eq!(resolved("a.md", "/etc/passwd"), None);
    }

    #[test]
    fn headings_have_anchors() {
        assert_eq!(
            slug("## What happens on `mira run`").as_deref(),
            Some("what-happens-on-mira-run")
        );
        assert_eq!(slug("#[cfg]"), None);
        assert_eq!(slug("text"), None);
        let text = "# a\n```\n# b\n```\nc";
        assert_eq!(
            prose(text).map(|(_, line)| line).collect::<Vec<_>>(),
            ["# a", "c"]
        );
    }
}
