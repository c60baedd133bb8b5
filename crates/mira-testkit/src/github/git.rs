//! The content of repositories: real git, through the `git` program, without anything of the machine's own configuration.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A bare repository in a folder of its own.
#[derive(Debug)]
pub(super) struct Git {
    folder: tempfile::TempDir,
}

/// A file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: String,
    pub(super) kind: String,
    pub(super) sha: String,
    pub(super) size: Option<u64>,
    pub(super) path: String,
}

/// What a diff says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) status: &'static str,
    pub(super) path: String,
    pub(super) previous: Option<String>,
}

impl Git {
    pub(super) fn new() -> Self {
        let git = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        git.run(
            &["init", "--quiet", "--bare", "--initial-branch=main", "."],
            b"",
        );
        git
    }

    /// Commits to a ref, on top of what it points to or else of `from`: a path without content is removed. Returns the commit.
    pub(super) fn commit(
        &self,
        reference: &str,
        from: Option<&str>,
        message: &str,
        files: &[(&str, Option<&[u8]>)],
    ) -> String {
        let parent = self.resolve(reference).or_else(|| from.map(str::to_owned));
        // Each commit is a second after its parent, so that the same test makes the same commits.
        let second = parent.as_ref().map_or(0, |parent| {
            let at = self.text(&["log", "-1", "--format=%ct", parent]);
            at.trim().parse::<i64>().expect("a time") + 1
        });
        let second = second.max(1_700_000_000);
        let mut input = Vec::new();
        let mut head = format!("commit {reference}\n");
        for role in ["author", "committer"] {
            writeln!(
                head,
                "{role} Test Author <author@example.org> {second} +0000"
            )
            .expect("text");
        }
        write!(head, "data {}\n{message}\n", message.len()).expect("text");
        if let Some(parent) = parent {
            writeln!(head, "from {parent}").expect("text");
        }
        input.extend_from_slice(head.as_bytes());
        for (path, content) in files {
            match content {
                None => input.extend_from_slice(format!("D {path}\n").as_bytes()),
                Some(content) => {
                    let head = format!("M 100644 inline {path}\ndata {}\n", content.len());
                    input.extend_from_slice(head.as_bytes());
                    input.extend_from_slice(content);
                    input.push(b'\n');
                }
            }
        }
        self.run(&["fast-import", "--quiet", "--force"], &input);
        self.resolve(reference).expect("it was made")
    }

    /// Returns the commit that a ref or an id names.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        let out = self.try_run(&["rev-parse", "--quiet", "--verify", &name], b"")?;
        Some(String::from_utf8_lossy(&out).trim().to_owned())
    }

    /// Returns the commit that a branch, a tag or an id names: what `ref=` of the API takes.
    pub(super) fn at(&self, name: &str) -> Option<String> {
        let is_id = name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_id {
            true => self.resolve(name),
            false => self
                .resolve(&format!("refs/heads/{name}"))
                .or_else(|| self.resolve(&format!("refs/tags/{name}"))),
        }
    }

    pub(super) fn point(&self, reference: &str, commit: &str) {
        self.run(&["update-ref", reference, commit], b"");
    }

    pub(super) fn blob(&self, sha: &str) -> Option<Vec<u8>> {
        self.try_run(&["cat-file", "blob", sha], b"")
    }

    pub(super) fn tree_of(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{tree}}");
        let out = self.try_run(&["rev-parse", "--quiet", "--verify", &name], b"")?;
        Some(String::from_utf8_lossy(&out).trim().to_owned())
    }

    pub(super) fn tree(&self, tree: &str, recursive: bool) -> Option<Vec<Entry>> {
        let mut arguments = vec!["ls-tree", "-z", "--long"];
        if recursive {
            arguments.extend(["-r", "-t"]);
        }
        arguments.push(tree);
        let out = self.try_run(&arguments, b"")?;
        let entries = out.split(|byte| *byte == 0).filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (meta, path) = line.split_once('\t')?;
            let mut words = meta.split_ascii_whitespace();
            Some(Entry {
                mode: words.next()?.to_owned(),
                kind: words.next()?.to_owned(),
                sha: words.next()?.to_owned(),
                size: words.next()?.parse().ok(),
                path: path.to_owned(),
            })
        });
        Some(entries.collect())
    }

    /// Returns the commits that `head` has and `base` has not, the oldest first.
    pub(super) fn between(&self, base: &str, head: &str) -> Vec<String> {
        let range = format!("{base}..{head}");
        let out = self.text(&["rev-list", "--reverse", &range]);
        out.lines().map(str::to_owned).collect()
    }

    pub(super) fn log(&self, from: &str) -> Vec<String> {
        self.text(&["rev-list", from])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Returns message, time (RFC 3339) and parents of a commit.
    pub(super) fn about(&self, commit: &str) -> (String, String, Vec<String>) {
        let out = self.text(&["log", "-1", "--format=%ct%x00%P%x00%B", commit]);
        let mut parts = out.splitn(3, '\0');
        let second = parts.next().and_then(|second| second.parse().ok());
        let time = jiff::Timestamp::from_second(second.unwrap_or_default()).expect("a time");
        let parents = parts.next().unwrap_or_default();
        let parents = parents.split(' ').filter(|parent| !parent.is_empty());
        let parents = parents.map(str::to_owned).collect();
        let message = parts.next().unwrap_or_default().trim_end().to_owned();
        (message, time.to_string(), parents)
    }

    pub(super) fn merge_base(&self, base: &str, head: &str) -> String {
        self.text(&["merge-base", base, head]).trim().to_owned()
    }

    pub(super) fn changes(&self, base: &str, head: &str) -> Vec<Change> {
        let out = self.text(&["diff", "-z", "-M", "--name-status", base, head]);
        let mut fields = out.split('\0').filter(|field| !field.is_empty());
        let mut changes = Vec::new();
        while let Some(letter) = fields.next() {
            let first = fields.next().unwrap_or_default().to_owned();
            let (path, previous) = match letter.starts_with('R') {
                true => (fields.next().unwrap_or_default().to_owned(), Some(first)),
                false => (first, None),
            };
            let status = match letter.as_bytes().first() {
                Some(b'A') => "added",
                Some(b'D') => "removed",
                Some(b'R') => "renamed",
                _ => "modified",
            };
            changes.push(Change {
                status,
                path,
                previous,
            });
        }
        changes
    }

    /// Returns a diff, of all files or of one with the name that it had before.
    pub(super) fn diff(&self, base: &str, head: &str, only: &[&str]) -> Vec<u8> {
        let mut arguments = vec!["diff", "--no-color", "-M", base, head, "--"];
        arguments.extend(only);
        self.run(&arguments, b"")
    }

    pub(super) fn tarball(&self, commit: &str, prefix: &str) -> Vec<u8> {
        let prefix = format!("--prefix={prefix}/");
        self.run(&["archive", "--format=tar.gz", &prefix, commit], b"")
    }

    fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8_lossy(&self.run(arguments, b"")).into_owned()
    }

    #[track_caller]
    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        self.try_run(arguments, input)
            .unwrap_or_else(|| panic!("git {arguments:?} failed"))
    }

    fn try_run(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new("git")
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("HOME", self.folder.path())
            .env_remove("GIT_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is installed");
        let mut stdin = child.stdin.take().expect("it is piped");
        // What git does not want to read, it does not.
        stdin.write_all(input).ok();
        drop(stdin);
        let output = child.wait_with_output().expect("it was started");
        output.status.success().then_some(output.stdout)
    }
}
