//! What is there on the fake GitHub: Apps' installations, tokens, repositories, pull requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::git::Git;
use super::{App, Refusal};

/// Permissions that an installation grants unless a test says otherwise.
const GRANTED: &[(&str, &str)] = &[
    ("checks", "write"),
    ("contents", "read"),
    ("issues", "write"),
    ("metadata", "read"),
    ("pull_requests", "write"),
];

/// How long the random part of a token is.
const TOKEN_CHARACTERS: usize = 36;

// LIMIT: GitHub's own, in lines.
const DIFF_LINES_MAX: usize = 20_000;
const PATCH_LINES_MAX: usize = 3_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) app: App,
    /// Where it is reached.
    pub(super) url: String,
    /// By how many seconds its clock is ahead of this machine's.
    pub(super) ahead_s: i64,
    pub(super) token_lifetime_s: i64,
    pub(super) installations: BTreeMap<u64, Installation>,
    pub(super) tokens: Vec<Token>,
    pub(super) repositories: BTreeMap<String, Repository>,
    /// What is answered instead, once each: method, part of the path, answer.
    pub(super) refusals: VecDeque<(String, String, Refusal)>,
    pub(super) remaining: u64,
    pub(super) diff_lines_max: usize,
    pub(super) patch_lines_max: usize,
    next_id: u64,
}

#[derive(Debug)]
pub(super) struct Installation {
    pub(super) account: String,
    pub(super) permissions: BTreeMap<String, String>,
    /// The full names of those that were selected; nothing for all of the account's.
    pub(super) selected: Option<BTreeSet<String>>,
    pub(super) suspended: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) installation: u64,
    pub(super) permissions: BTreeMap<String, String>,
    /// Full names.
    pub(super) repositories: BTreeSet<String>,
    pub(super) expires_s: i64,
}

#[derive(Debug)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) full_name: String,
    pub(super) private: bool,
    pub(super) git: Git,
    pub(super) pulls: BTreeMap<u64, Pull>,
    /// Issues' comments, those of pull requests too, by the number that they belong to.
    pub(super) comments: Vec<(u64, Value)>,
    pub(super) check_runs: Vec<Value>,
    /// Logins and what they may do.
    pub(super) collaborators: BTreeMap<String, String>,
    pub(super) next_number: u64,
}

#[derive(Debug)]
pub(super) struct Pull {
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) author: String,
    pub(super) base: String,
    pub(super) head_ref: String,
    /// The repository of the head, where it is a fork.
    pub(super) fork: Option<String>,
    pub(super) head_sha: String,
    pub(super) draft: bool,
    pub(super) state: &'static str,
    pub(super) labels: Vec<String>,
    pub(super) reviews: Vec<Value>,
    pub(super) review_comments: Vec<Value>,
    /// The first comment of each thread that is resolved, and who did it.
    pub(super) resolved: BTreeMap<u64, String>,
}

impl State {
    pub(super) fn new(app: App, url: String) -> Self {
        Self {
            app,
            url,
            ahead_s: 0,
            token_lifetime_s: 3600,
            installations: BTreeMap::new(),
            tokens: Vec::new(),
            repositories: BTreeMap::new(),
            refusals: VecDeque::new(),
            remaining: 5000,
            diff_lines_max: DIFF_LINES_MAX,
            patch_lines_max: PATCH_LINES_MAX,
            next_id: 1000,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn now_s(&self) -> i64 {
        jiff::Timestamp::now().as_second() + self.ahead_s
    }

    pub(super) fn time(&self) -> String {
        time(self.now_s())
    }

    pub(super) fn install(&mut self, account: &str) -> u64 {
        let id = self.id();
        let granted = GRANTED
            .iter()
            .map(|(name, access)| ((*name).into(), (*access).into()));
        let installation = Installation {
            account: account.to_owned(),
            permissions: granted.collect(),
            selected: None,
            suspended: false,
        };
        self.installations.insert(id, installation);
        id
    }

    pub(super) fn add_repository(&mut self, full_name: &str, private: bool) {
        let repository = Repository {
            id: self.id(),
            full_name: full_name.to_owned(),
            private,
            git: Git::new(),
            pulls: BTreeMap::new(),
            comments: Vec::new(),
            check_runs: Vec::new(),
            collaborators: BTreeMap::new(),
            next_number: 1,
        };
        let before = self.repositories.insert(full_name.to_owned(), repository);
        assert!(before.is_none(), "{full_name} is there already");
    }

    /// Returns the full names of the repositories that an installation is for.
    pub(super) fn repositories_of(&self, installation: &Installation) -> BTreeSet<String> {
        let owner = format!("{}/", installation.account);
        let mine = self
            .repositories
            .keys()
            .filter(|name| name.starts_with(&owner));
        let is_selected = |name: &&String| {
            let selected = installation.selected.as_ref();
            selected.is_none_or(|selected| selected.contains(*name))
        };
        mine.filter(is_selected).cloned().collect()
    }

    /// Adds a token that begins now; returns it.
    pub(super) fn add_token(
        &mut self,
        installation: u64,
        permissions: BTreeMap<String, String>,
        repositories: BTreeSet<String>,
    ) -> String {
        let random = std::iter::repeat_with(fastrand::alphanumeric).take(TOKEN_CHARACTERS);
        let text = format!("ghs_{}", random.collect::<String>());
        self.tokens.push(Token {
            text: text.clone(),
            installation,
            permissions,
            repositories,
            expires_s: self.now_s() + self.token_lifetime_s,
        });
        text
    }

    pub(super) fn bot(&self) -> Value {
        let app = &self.app;
        json!({"login": format!("{}[bot]", app.slug), "id": app.id + 1_000_000, "type": "Bot"})
    }
}

impl Repository {
    pub(super) fn name(&self) -> &str {
        self.full_name.split_once('/').map_or("", |(_, name)| name)
    }

    pub(super) fn owner(&self) -> &str {
        self.full_name
            .split_once('/')
            .map_or("", |(owner, _)| owner)
    }

    pub(super) fn document(&self, url: &str) -> Value {
        json!({
            "id": self.id,
            "node_id": format!("R_{}", self.id),
            "name": self.name(),
            "full_name": self.full_name,
            "private": self.private,
            "owner": user(self.owner()),
            "html_url": format!("https://github.com/{}", self.full_name),
            "url": format!("{url}/repos/{}", self.full_name),
            "fork": false,
            "default_branch": "main",
        })
    }

    /// Returns the commits between which a pull request's diff is: where it branched off, and its head.
    pub(super) fn range(&self, pull: &Pull) -> (String, String) {
        let base = self.git.at(&pull.base).expect("the base branch is there");
        let start = self.git.merge_base(&base, &pull.head_sha);
        (start, pull.head_sha.clone())
    }
}

/// Returns a person as the API shows one.
pub(super) fn user(login: &str) -> Value {
    // Only that it is the same each time matters.
    let id = login
        .bytes()
        .fold(7_u64, |id, byte| id * 31 % 1_000_003 + u64::from(byte));
    let kind = if login.ends_with("[bot]") {
        "Bot"
    } else {
        "User"
    };
    json!({"login": login, "id": id, "type": kind})
}

pub(super) fn time(second: i64) -> String {
    jiff::Timestamp::from_second(second)
        .expect("a time")
        .to_string()
}
