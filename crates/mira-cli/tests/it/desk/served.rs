//! A desk that serves, and a browser without a window: curl.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::apps::house::House;
use crate::support::MIRA;

/// The password of the first admin.
pub(super) const ADMIN: &str = "four words that hold";

/// A desk that serves, and is told to end when the test does.
pub(crate) struct Served {
    pub(crate) child: Child,
    /// What it said until it was ready.
    pub(super) said: String,
    pub(crate) url: String,
    /// Takes what it says from then on.
    rest: Option<JoinHandle<String>>,
}

impl Served {
    #[track_caller]
    pub(super) fn start(house: &House, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(MIRA);
        command
            .args(args)
            .env_clear()
            .envs(house.home.env().iter().cloned())
            .envs(variables.iter().copied());
        Self::by(command)
    }

    /// Starts one by a command that is prepared.
    #[track_caller]
    pub(crate) fn by(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("it ended: {said}"))
                .unwrap();
            said.push_str(&line);
            said.push('\n');
            if let Some((_, url)) = line.split_once("the desk is at http://") {
                let end = url.find([',', ' ']).unwrap_or(url.len());
                break format!("http://{}", url.get(..end).unwrap());
            }
        };
        let rest = std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.map(|line| line + "\n").collect::<String>()
        });
        Self {
            child,
            said,
            url,
            rest: Some(rest),
        }
    }

    pub(super) fn end(self) -> Option<i32> {
        self.end_and_tell().0
    }

    /// Ends it; returns all that it said too.
    pub(crate) fn end_and_tell(mut self) -> (Option<i32>, String) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let code = self.child.wait().unwrap().code();
        let rest = self.rest.take().unwrap().join().unwrap();
        (code, std::mem::take(&mut self.said) + &rest)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that has ended needs no end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Calls like a browser that keeps its cookies in a file.
pub(super) fn curl(house: &House, args: &[&str]) -> String {
    let jar = house.home.path().join("cookies");
    let jar = jar.to_str().unwrap();
    let output = Command::new("curl")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .args([
            "--silent",
            "--show-error",
            "--location",
            "--cookie",
            jar,
            "--cookie-jar",
            jar,
        ])
        .args(["--header", "Sec-Fetch-Site: same-origin"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a form as a page's button does, and returns the page that it leads to.
pub(super) fn post(house: &House, url: &str, fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}={value}"));
    let fields: Vec<String> = fields.collect();
    let mut args = vec!["--data", ""];
    args.extend(fields.iter().flat_map(|field| ["--data-urlencode", field]));
    args.push(url);
    curl(house, &args)
}

/// Signs the admin in.
pub(super) fn log_in(house: &House, desk: &Served) {
    let login = format!("{}/login", desk.url);
    let page = post(house, &login, &[("name", "admin"), ("password", ADMIN)]);
    assert!(page.contains("<h1>Secrets</h1>"), "{page}");
}

/// Returns the address that a form of a page is sent to.
#[track_caller]
pub(super) fn action<'a>(page: &'a str, begins: &str) -> &'a str {
    let mut actions = page.split("action=\"").skip(1);
    let found = actions.find(|action| action.starts_with(begins));
    let (action, _) = found.expect(page).split_once('"').unwrap();
    action
}
