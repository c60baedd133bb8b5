//! Rules about crates: their lints, the edges between them, and that the map in ARCHITECTURE.md is the real one.
//!
//! INVARIANT: an edge between two crates of the workspace is in `CRATES`, so a new one is a reviewed decision.

use std::collections::BTreeSet;

use super::Finding;
use crate::repository::{Package, Repository};

/// Layers, lowest first. A crate depends on lower layers, and within its own only where `CRATES` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Values and algorithms: no async, no network, no files.
    Base,
    /// Where secrets rest.
    Custody,
    /// What runs while an app runs.
    Runtime,
    /// What a person or a program talks to.
    Surface,
    /// What never ships.
    Dev,
}

/// A crate, its layer, and the crates of the workspace that it may use.
struct Crate {
    name: &'static str,
    layer: Layer,
    uses: &'static [&'static str],
    /// Used in its tests, benches and examples only.
    uses_in_tests: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate {
        name: "mira-secret",
        layer: Layer::Base,
        uses: &[],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-redact",
        layer: Layer::Base,
        uses: &["mira-secret"],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-age",
        layer: Layer::Base,
        uses: &["mira-secret"],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-jwt",
        layer: Layer::Base,
        uses: &["mira-secret"],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-vault",
        layer: Layer::Custody,
        uses: &["mira-age", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-package",
        layer: Layer::Custody,
        uses: &["mira-age", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-store",
        layer: Layer::Runtime,
        uses: &["mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-snapshot",
        layer: Layer::Runtime,
        uses: &["mira-redact", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-sandbox",
        layer: Layer::Runtime,
        uses: &[],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-gate",
        layer: Layer::Runtime,
        uses: &["mira-package", "mira-redact", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-provider",
        layer: Layer::Runtime,
        uses: &["mira-redact", "mira-secret", "mira-vault"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-github",
        layer: Layer::Runtime,
        uses: &["mira-jwt", "mira-redact", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-hooks",
        layer: Layer::Runtime,
        uses: &["mira-secret", "mira-store"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-run",
        layer: Layer::Runtime,
        uses: &["mira-redact", "mira-sandbox", "mira-secret"],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-host",
        layer: Layer::Runtime,
        uses: &[
            "mira-age",
            "mira-gate",
            "mira-package",
            "mira-redact",
            "mira-run",
            "mira-sandbox",
            "mira-secret",
            "mira-snapshot",
            "mira-store",
            "mira-vault",
        ],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-mcp",
        layer: Layer::Runtime,
        uses: &["mira-redact", "mira-secret", "mira-vault"],
        uses_in_tests: &[],
    },
    Crate {
        name: "mira-server",
        layer: Layer::Surface,
        uses: &[
            "mira-gate",
            "mira-host",
            "mira-package",
            "mira-run",
            "mira-secret",
            "mira-snapshot",
            "mira-store",
            "mira-vault",
        ],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-desk",
        layer: Layer::Surface,
        uses: &[
            "mira-gate",
            "mira-github",
            "mira-hooks",
            "mira-host",
            "mira-jwt",
            "mira-mcp",
            "mira-package",
            "mira-provider",
            "mira-run",
            "mira-secret",
            "mira-server",
            "mira-snapshot",
            "mira-store",
            "mira-vault",
        ],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-cli",
        layer: Layer::Surface,
        uses: &[
            "mira-age",
            "mira-desk",
            "mira-gate",
            "mira-github",
            "mira-hooks",
            "mira-host",
            "mira-mcp",
            "mira-package",
            "mira-provider",
            "mira-redact",
            "mira-run",
            "mira-sandbox",
            "mira-secret",
            "mira-server",
            "mira-snapshot",
            "mira-store",
            "mira-vault",
        ],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-reviewer",
        layer: Layer::Surface,
        uses: &[],
        uses_in_tests: &["mira-testkit"],
    },
    Crate {
        name: "mira-testkit",
        layer: Layer::Dev,
        uses: &[],
        uses_in_tests: &[],
    },
    Crate {
        name: "xtask",
        layer: Layer::Dev,
        uses: &[],
        uses_in_tests: &["mira-cli", "mira-desk", "mira-package"],
    },
];

const TABLE: &str = "xtask/src/tidy/crates.rs";
const MAP: &str = "ARCHITECTURE.md";

/// Checks each crate against the table, and the table against the map.
pub(super) fn check(repository: &Repository) -> anyhow::Result<Vec<Finding>> {
    let packages = repository.packages()?;
    let mut findings = lints(&packages)?;
    findings.extend(directions(CRATES));
    findings.extend(edges(&packages));
    let map = match repository.root().join(MAP).exists() {
        true => repository.text(MAP)?.unwrap_or_default(),
        false => String::new(),
    };
    findings.extend(CRATES.iter().filter_map(|row| mapped(row, &map)));
    Ok(findings)
}

/// Every crate inherits the workspace's lints.
fn lints(packages: &[Package]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in packages {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        let inherits = manifest
            .split("[lints]")
            .nth(1)
            .is_some_and(|after| after.trim_start().starts_with("workspace = true"));
        if !inherits {
            findings.push(Finding::in_file(
                &format!("{}/Cargo.toml", package.name),
                "add `[lints]` with `workspace = true`: one set of lints for all crates",
            ));
        }
    }
    Ok(findings)
}

/// The table itself points downwards, and to nothing that never ships.
fn directions(rows: &[Crate]) -> Vec<Finding> {
    let layer = |name: &str| {
        rows.iter()
            .find(|row| row.name == name)
            .map(|row| row.layer)
    };
    let wrong = |row: &Crate, used: &str| match layer(used) {
        Some(used) => used > row.layer || (used == Layer::Dev && row.layer != Layer::Dev),
        None => true,
    };
    rows.iter()
        .flat_map(|row| row.uses.iter().map(move |used| (row, *used)))
        .filter(|(row, used)| wrong(row, used))
        .map(|(row, used)| {
            let text = format!(
                "`{}` -> `{used}` does not point downwards: move what is shared to a lower crate",
                row.name
            );
            Finding::in_file(TABLE, text)
        })
        .collect()
}

/// The crates and their edges are those of the table, in both directions.
fn edges(packages: &[Package]) -> Vec<Finding> {
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for row in CRATES.iter().filter(|row| !names.contains(row.name)) {
        let text = format!("`{}` is not in the workspace: take its row out", row.name);
        findings.push(Finding::in_file(TABLE, text));
    }
    for package in packages {
        let Some(row) = CRATES.iter().find(|row| row.name == package.name) else {
            let text = format!("`{}` is new: give it a row, with its layer", package.name);
            findings.push(Finding::in_file(TABLE, text));
            continue;
        };
        let edges = |dev: bool| -> BTreeSet<&str> {
            package
                .dependencies
                .iter()
                .filter(|edge| (edge.kind.as_deref() == Some("dev")) == dev)
                .map(|edge| edge.name.as_str())
                .filter(|name| names.contains(name))
                .collect()
        };
        findings.extend(differences(row.name, "uses", &edges(false), row.uses));
        findings.extend(differences(
            row.name,
            "uses_in_tests",
            &edges(true),
            row.uses_in_tests,
        ));
    }
    findings
}

fn differences(name: &str, field: &str, real: &BTreeSet<&str>, table: &[&str]) -> Vec<Finding> {
    let table: BTreeSet<&str> = table.iter().copied().collect();
    let new = real.difference(&table).map(|edge| {
        format!(
            "`{name}` -> `{edge}` is a new edge: decide it, then add it to `{field}` and to {MAP}"
        )
    });
    let gone = table
        .difference(real)
        .map(|edge| format!("`{name}` -> `{edge}` is gone: take it out of `{field}` and of {MAP}"));
    new.chain(gone)
        .map(|text| Finding::in_file(TABLE, text))
        .collect()
}

/// The map has a row of each crate, and the row names exactly the crates that it uses.
///
/// A row is a table line whose first cell is the crate's name and whose second cell lists what it uses.
fn mapped(row: &Crate, map: &str) -> Option<Finding> {
    let cell = format!("| `{}` |", row.name);
    let Some(line) = map.lines().find(|line| line.starts_with(&cell)) else {
        let text = format!("has no row that begins with {cell}");
        return Some(Finding::in_file(MAP, text));
    };
    let named: BTreeSet<&str> = line
        .split('|')
        .nth(2)?
        .split('`')
        .skip(1)
        .step_by(2)
        .collect();
    let table: BTreeSet<&str> = row.uses.iter().copied().collect();
    (named != table).then(|| {
        let text = format!(
            "the row of `{}` says it uses {named:?}, the table in {TABLE} says {table:?}",
            row.name
        );
        Finding::in_file(MAP, text)
    })
}

/// Each fuzz target is built and described.
pub(super) fn fuzz_targets(repository: &Repository) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in repository.files()? {
        let Some(target) = file
            .strip_prefix("fuzz/fuzz_targets/")
            .and_then(|name| name.strip_suffix(".rs"))
        else {
            continue;
        };
        for (page, word) in [
            ("fuzz/Cargo.toml", format!("name = \"{target}\"")),
            ("fuzz/README.md", format!("`{target}`")),
        ] {
            if !repository.text(page)?.unwrap_or_default().contains(&word) {
                let text = format!("the fuzz target is not listed: add {word} to {page}");
                findings.push(Finding::in_file(&file, text));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Dependency;

    #[test]
    fn edges_point_downwards_and_never_to_a_fixture() {
        let row = |name, layer, uses| Crate {
            name,
            layer,
            uses,
            uses_in_tests: &[],
        };
        let rows = [
            row("low", Layer::Base, &["high"]),
            row("high", Layer::Surface, &["low", "fixture", "nobody"]),
            row("fixture", Layer::Dev, &["low"]),
        ];
        let texts: Vec<String> = directions(&rows)
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].starts_with("`low` -> `high`"), "{texts:?}");
        assert!(texts[1].starts_with("`high` -> `fixture`"), "{texts:?}");
        assert!(texts[2].starts_with("`high` -> `nobody`"), "{texts:?}");
        assert_eq!(directions(CRATES), []);
    }

    #[test]
    fn a_new_edge_and_a_new_crate_are_findings() {
        let mut packages: Vec<Package> = CRATES
            .iter()
            .map(|row| Package {
                name: row.name.to_owned(),
                dependencies: dependencies(row),
                manifest_path: "Cargo.toml".into(),
            })
            .collect();
        assert_eq!(edges(&packages), []);

        packages[0].dependencies.push(Dependency {
            name: "xtask".to_owned(),
            kind: None,
        });
        packages.push(Package {
            name: "mira-new".to_owned(),
            dependencies: Vec::new(),
            manifest_path: "Cargo.toml".into(),
        });
        let texts: Vec<String> = edges(&packages)
            .into_iter()
            .map(|finding| finding.text)
            .collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(
            texts[0].contains("`mira-secret` -> `xtask` is a new edge"),
            "{texts:?}"
        );
        assert!(texts[1].contains("`mira-new` is new"), "{texts:?}");
    }

    fn dependencies(row: &Crate) -> Vec<Dependency> {
        let edge = |kind: Option<&str>| {
            let kind = kind.map(str::to_owned);
            move |name: &&str| Dependency {
                name: (*name).to_owned(),
                kind: kind.clone(),
            }
        };
        let tests = row.uses_in_tests.iter().map(edge(Some("dev")));
        row.uses.iter().map(edge(None)).chain(tests).collect()
    }

    #[test]
    fn the_map_names_what_the_table_names() {
        let row = Crate {
            name: "a",
            layer: Layer::Base,
            uses: &["b", "c"],
            uses_in_tests: &[],
        };
        let check = |map: &str, fits: bool| assert_eq!(mapped(&row, map).is_none(), fits, "{map}");
        check("| `a` | `c`, `b` | what it is |", true);
        check("| `a` | `b` | what it is |", false);
        check("| `a` | `b`, `c`, `d` | |", false);
        check("text about `a`", false);
    }
}
