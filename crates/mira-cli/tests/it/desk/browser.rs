//! A real Chromium, driven over the WebDriver protocol (W3C), with a profile of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// How a WebDriver names an element in its answers (W3C WebDriver, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser's window.
pub(super) struct Browser {
    driver: Child,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    /// Starts one, of this width in pixels, light or dark.
    #[track_caller]
    pub(super) fn start(profile: &Path, width: u32, dark: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, port)) = line.rsplit_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        // Another test of this process may have been quicker.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let mut browser = Self {
            driver,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            session: format!("http://127.0.0.1:{port}"),
        };
        let mut args = vec![
            "--headless=new".to_owned(),
            // It has no sandbox as root; what it shows is ours.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            format!("--user-data-dir={}", profile.join("chromium").display()),
            format!("--window-size={width},900"),
        ];
        if dark {
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.call("POST", "/session", Some(&wanted));
        browser.session = format!(
            "{}/session/{}",
            browser.session,
            session["sessionId"].as_str().unwrap()
        );
        browser
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.session);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, url);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        };
        let (status, text) = self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
        assert!(status.is_success(), "{path}: {text}");
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].take()
    }

    /// Opens a page.
    #[track_caller]
    pub(super) fn open(&self, url: &str) {
        self.call("POST", "/url", Some(&json!({"url": url})));
    }

    /// Returns what the page is made of, as it is now.
    pub(super) fn source(&self) -> String {
        self.call("GET", "/source", None)
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[track_caller]
    fn find(&self, css: &str) -> String {
        let found = self.call(
            "POST",
            "/element",
            Some(&json!({"using": "css selector", "value": css})),
        );
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Types into an element.
    #[track_caller]
    pub(super) fn type_into(&self, css: &str, text: &str) {
        let path = format!("/element/{}/value", self.find(css));
        self.call("POST", &path, Some(&json!({"text": text})));
    }

    /// Clicks an element; a page that it leads to is loaded when this returns.
    #[track_caller]
    pub(super) fn click(&self, css: &str) {
        let path = format!("/element/{}/click", self.find(css));
        self.call("POST", &path, Some(&json!({})));
    }

    /// Presses keys, one after the other, with another one held down meanwhile.
    #[track_caller]
    pub(super) fn press(&self, held: Option<char>, keys: &[char]) {
        let act = |kind: &str, key: char| json!({"type": kind, "value": key.to_string()});
        let mut actions: Vec<Value> = held.iter().map(|&key| act("keyDown", key)).collect();
        actions.extend(
            keys.iter()
                .flat_map(|&key| [act("keyDown", key), act("keyUp", key)]),
        );
        actions.extend(held.iter().map(|&key| act("keyUp", key)));
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.call("POST", "/actions", Some(&json!({"actions": [keyboard]})));
    }

    /// Types where the focus is.
    #[track_caller]
    pub(super) fn type_keys(&self, text: &str) {
        let keys: Vec<char> = text.chars().collect();
        self.press(None, &keys);
    }

    /// Goes back to the page before.
    #[track_caller]
    pub(super) fn back(&self) {
        self.call("POST", "/back", Some(&json!({})));
    }

    /// Takes the one cookie away, as if the session had ended.
    #[track_caller]
    pub(super) fn take_cookie(&self) -> Value {
        let cookies = self.call("GET", "/cookie", None);
        self.call("DELETE", "/cookie", None);
        cookies[0].clone()
    }

    /// Puts the cookie back.
    #[track_caller]
    pub(super) fn give_cookie(&self, cookie: &Value) {
        self.call("POST", "/cookie", Some(&json!({"cookie": cookie})));
    }

    /// Disagrees with what the page asks.
    #[track_caller]
    pub(super) fn dismiss(&self) {
        self.call("POST", "/alert/dismiss", Some(&json!({})));
    }

    /// Agrees to what the page asks.
    #[track_caller]
    pub(super) fn agree(&self) {
        self.call("POST", "/alert/accept", Some(&json!({})));
    }

    /// Runs a script that calls its last argument with a result, and returns that.
    #[track_caller]
    pub(super) fn run(&self, script: &str) -> Value {
        self.call(
            "POST",
            "/execute/async",
            Some(&json!({"script": script, "args": []})),
        )
    }

    /// Returns what the page's scripts and its policy complained about.
    pub(super) fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", Some(&json!({"type": "browser"})));
        let entries = log.as_array().unwrap().iter();
        let bad = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(ToString::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends its Chromium, which leaves nothing running; if it is gone already, so is that.
        let end = self.client.delete(&self.session).send();
        drop(self.runtime.block_on(end));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
