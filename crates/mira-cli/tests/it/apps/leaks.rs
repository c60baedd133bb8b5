//! The canary sweep over apps: services say all that they know in every spelling, and no value stands anywhere.

use std::fs;

use mira_testkit::canary::{Canary, Findings, Sweep};
use mira_testkit::home::Run;

use super::app::password;
use super::house::{House, kill, until_gone};

const PASSWORD: &str = "correct horse battery staple";

/// Prints every secret, as variable and as file, in many spellings, on both streams; then goes on until it is stopped.
const CHATTY: &str = r#"
say() {
    name=$1; value=$2
    printf 'raw %s\n' "$value"
    printf 'error %s\n' "$value" >&2
    printf '%s' "$value" | base64
    printf '%s' "$value" | base64 -w0; echo
    printf 'Basic %s\n' "$(printf 'user:%s' "$value" | base64 -w0)"
    printf 'x%s' "$value" | base64 -w0 | tr '+/' '-_'; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n'; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F; echo
    printf '%s' "$value" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%'; echo
    printf '%s' "$value" | python3 -c 'import json,sys,urllib.parse,shlex
t=sys.stdin.read(); print(json.dumps(t)); print(json.dumps(t, ensure_ascii=False)); print(urllib.parse.quote(t)); print(shlex.quote(t))'
    printf 'half'; printf '%s\n' "$value" >&2; echo
}
for name in $(env -0 | tr '\0\n' '\n ' | sed -n 's/^\([A-Z_]*\)=.*/\1/p'); do
    case $name in PATH|HOME|TMPDIR|LANG|LC_*|TZ|PWD|SHLVL|OLDPWD|MIRA_*|*SSL_CERT_FILE|_) continue;; esac
    value=$(eval "printf '%s_' \"\$$name\""); value=${value%_}
    case $name in *_FILE) value=$(cat "$value"; printf _); value=${value%_};; esac
    say "$name" "$value"
done
: > "$TMPDIR/ready"
exec sleep infinity
"#;

/// Those canaries that a variable can carry.
fn canaries() -> Vec<Canary> {
    let mut canaries = Canary::generate();
    canaries.retain(|canary| !canary.value().contains(&0));
    canaries
}

fn manifest(canaries: &[Canary]) -> String {
    let secrets = canaries.iter().enumerate().map(|(number, canary)| {
        let deliver = if number % 3 == 0 { "file" } else { "env" };
        format!(
            "  - {{name: {}, required: true, deliver: {deliver}}}\n",
            canary.name()
        )
    });
    format!(
        "kind: mira.app/v1\nid: org.example.chatty\nname: Chatty\nversion: 1.0.0\nservices:\n  \
         - name: web\n    command: [bash, chatty.sh]\n    \
         health: {{command: [sh, -c, 'test -e \"$$TMPDIR/ready\"'], interval: 1h, startPeriod: 5m}}\n\
         state: {{volumes: [{{name: data}}]}}\nsecrets:\n{}",
        secrets.collect::<String>()
    )
}

/// What was said by commands, and where else values could be.
struct Swept {
    house: House,
    sweep: Sweep,
    canaries: Vec<Canary>,
}

impl Swept {
    fn new() -> Self {
        let canaries = canaries();
        let secret = Canary::new("PASSWORD", PASSWORD);
        let all: Vec<Canary> = canaries.iter().cloned().chain([secret]).collect();
        Self {
            house: House::new(),
            sweep: Sweep::new(&all),
            canaries,
        }
    }

    /// Runs a command, and sweeps what it says.
    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> Run {
        let run = self.house.run(args, code);
        self.said(&format!("{args:?}"), &run).assert_clean();
        run
    }

    fn said(&self, what: &str, run: &Run) -> Findings {
        let out = self.sweep.bytes(&format!("stdout of {what}"), &run.stdout);
        out.and(self.sweep.bytes(&format!("stderr of {what}"), &run.stderr))
    }

    /// Sweeps the home and the run-time folder, but for the secret files while there are some.
    #[track_caller]
    fn disk(&self, secret_files: bool) {
        self.sweep.folder(self.house.home.path()).assert_clean();
        let mut memory = self.sweep.folder(self.house.memory.path());
        if secret_files {
            let before = memory.hits.len();
            memory
                .hits
                .retain(|hit| !hit.place.to_string().contains("/secrets/chatty-"));
            assert!(
                before > memory.hits.len(),
                "the sweep sees what it looks for"
            );
        }
        memory.assert_clean();
    }

    /// Sweeps the environments and arguments of all processes but the service's.
    #[track_caller]
    fn processes(&self) {
        let service = self.house.pid("chatty", "web");
        let all = self.sweep.processes(&[]);
        assert!(!all.is_clean(), "the sweep sees what it looks for");
        self.sweep.processes(&[service]).assert_clean();
    }

    /// Looks at the logs: every canary is marked in each spelling that is a text.
    #[track_caller]
    fn logs(&self) {
        let said = self.run(&["logs", "chatty"], 0).stdout_text();
        self.run(&["logs", "chatty", "--json"], 0);
        for canary in &self.canaries {
            let marker = format!("[redacted:{}]", canary.name());
            let times = said.matches(&marker).count();
            assert!(times >= 8, "{} {times} times: {said}", canary.name());
        }
    }

    /// A life of the instance that is up, up to its deletion.
    fn life(&self, start: &[&str]) {
        self.logs();
        self.processes();
        self.disk(true);
        for args in [
            &["ps"] as &[&str],
            &["ps", "--json"],
            &["secret", "list", "--instance", "chatty"],
            &["secret", "list", "--instance", "chatty", "--json"],
            &["doctor"],
        ] {
            self.run(args, 0);
        }
        let supervisor = self.house.supervisor();
        let service = self.house.pid("chatty", "web");
        let keeper = self.house.parent(service);
        for pid in [supervisor, keeper, service] {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core file size"));
            let size = core.and_then(|line| line.split_whitespace().nth(4));
            assert_eq!(size, Some("0"), "{limits}");
        }
        kill(supervisor);
        until_gone(keeper);
        self.disk(false);
        self.run(start, 0);
        self.run(&["restart", "chatty", "--service", "web"], 0);
        self.run(&["stop", "chatty"], 0);
        self.logs();
        self.disk(false);
        self.run(&["delete", "chatty", "--yes"], 0);
        self.disk(false);
    }
}

#[test]
fn secrets_that_the_user_gave_are_nowhere() {
    let swept = Swept::new();
    let app = swept.house.app("chatty", &manifest(&swept.canaries));
    app.write("chatty.sh", CHATTY);
    let package = app.pack();
    swept.run(&["open", &package, "-d"], 3);
    for canary in &swept.canaries {
        swept
            .house
            .save("chatty", canary.name(), "a-first-value-to-rotate-away");
        let with_newline = [canary.value(), b"\n"].concat();
        let saved = swept.house.save("chatty", canary.name(), with_newline);
        swept.said("rotation", &saved).assert_clean();
    }
    swept.run(&["open", &package, "-d"], 0);
    swept.life(&["start", "chatty", "-d"]);
}

#[test]
fn secrets_that_are_sealed_in_the_package_are_nowhere() {
    let swept = Swept::new();
    let app = swept.house.app("chatty", &manifest(&swept.canaries));
    app.write("chatty.sh", CHATTY);
    let texts: Vec<(&str, &str)> = swept
        .canaries
        .iter()
        .map(|canary| (canary.name(), std::str::from_utf8(canary.value()).unwrap()))
        .collect();
    let package = app.pack_sealed(&texts, &password(PASSWORD));
    // The password file is the user's own, and elsewhere.
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), PASSWORD).unwrap();
    let path = file.path().to_str().unwrap();
    swept.run(&["open", &package, "-d", "--password-file", path], 0);
    swept.life(&["start", "chatty", "-d", "--password-file", path]);
}

#[test]
fn the_foreground_shows_markers() {
    let swept = Swept::new();
    let app = swept.house.app("chatty", &manifest(&swept.canaries));
    app.write("chatty.sh", CHATTY);
    swept.run(&["open", app.path(), "-d"], 3);
    for canary in &swept.canaries {
        swept
            .house
            .save("chatty", canary.name(), [canary.value(), b"\n"].concat());
    }
    let mut terminal = swept.house.terminal(&["open", "chatty"]);
    terminal.expect("chatty is up");
    terminal.send(mira_testkit::terminal::key::CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
    let shown = terminal.transcript();
    swept
        .sweep
        .bytes("the terminal", shown.as_bytes())
        .assert_clean();
    for canary in &swept.canaries {
        let marker = format!("[redacted:{}]", canary.name());
        assert!(
            shown.matches(&marker).count() >= 8,
            "{}: {shown}",
            canary.name()
        );
    }
}
