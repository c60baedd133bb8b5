//! A client that speaks in lines, the servers that are installed, and short ways to add some.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mira_testkit::home::TestHome;
use serde_json::{Value, json};

use crate::support::{MIRA, mira};

/// Returns a file of what `cargo xtask test programs` installs.
pub(crate) fn installed(file: &str) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("tools/clients").join(file);
    let hint = "`cargo xtask test programs` installs it";
    assert!(path.exists(), "{}: {hint}", path.display());
    path.to_str().unwrap().to_owned()
}

/// Returns a file that tests bring.
pub(crate) fn data(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mcp");
    folder.join(file).to_str().unwrap().to_owned()
}

/// The program of the server that shows everything a server can do.
pub(crate) fn everything() -> String {
    installed("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

/// Saves a secret of a server.
#[track_caller]
pub(crate) fn set_in(home: &TestHome, scope: &str, name: &str, value: &str) {
    mira(home, &["set", name, "--stdin", "--scope", scope])
        .stdin_bytes(value)
        .run()
        .assert_code(0);
}

/// Adds a server.
#[track_caller]
pub(crate) fn add(home: &TestHome, args: &[&str]) {
    mira(home, &[&["mcp", "add"], args].concat())
        .run()
        .assert_code(0);
}

/// A client of one server. What it started is killed when it is dropped.
pub(crate) struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last_id: u64,
    /// What the server said unasked.
    pub(crate) unasked: Vec<Value>,
}

impl Client {
    /// Starts a server through Mira, and greets it.
    #[track_caller]
    pub(crate) fn start(home: &TestHome, name: &str) -> Self {
        let mut client = Self::spawn(home, MIRA, &["mcp", "run", name]);
        let version = "2025-06-18";
        let hello = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let answer = client.ask("initialize", &hello);
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
        client.tell("notifications/initialized");
        client
    }

    /// Starts a program that is spoken to in lines.
    pub(crate) fn spawn(home: &TestHome, program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(home.env().iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            last_id: 0,
            unasked: Vec::new(),
        }
    }

    /// Sends a line as it is.
    pub(crate) fn send(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Reads a line as it is.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.output.read_line(&mut line).unwrap() == 0 {
            let mut told = String::new();
            let stderr = self.child.stderr.as_mut().unwrap();
            stderr.read_to_string(&mut told).unwrap();
            panic!("the server has ended: {told}");
        }
        line
    }

    /// Asks, and returns the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string(),
        );
        loop {
            let message: Value = serde_json::from_str(&self.line()).unwrap();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.unasked.push(message);
        }
    }

    pub(crate) fn tell(&mut self, method: &str) {
        self.send(&json!({"jsonrpc": "2.0", "method": method}).to_string());
    }

    /// Calls a tool, and returns the text that it answers with.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> String {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let text = answer["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("{tool}: {answer}"))
            .to_owned()
    }

    /// Closes the server's input; returns its exit code and what it said beside its messages.
    pub(crate) fn close(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let mut told = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
