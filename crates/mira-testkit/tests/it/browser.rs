//! A user of an app's pages, by curl: reads pages, fills in forms with the token that the page gave, remembers all it saw.

use std::cell::RefCell;
use std::process::Command;

/// What came back.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) body: String,
}

/// Somebody who looks at an app's pages.
pub(crate) struct Browser {
    address: String,
    seen: RefCell<String>,
}

impl Browser {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            seen: RefCell::default(),
        }
    }

    /// Returns the port of the app.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// Reads a page; a stream of events is read to its end.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> Page {
        self.curl(path, &[])
    }

    /// Sends a form with the token of the app's first page.
    #[track_caller]
    pub(crate) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let home = self.page("/").body;
        let (_, after) = home
            .split_once("name=token value=\"")
            .expect("a form has a token");
        let (token, _) = after.split_once('"').unwrap();
        let mut arguments = vec![
            "--header".to_owned(),
            format!("Origin: {}", self.address),
            "--data".to_owned(),
            format!("token={token}"),
        ];
        for (name, value) in fields {
            arguments.push("--data-urlencode".to_owned());
            arguments.push(format!("{name}={value}"));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.curl(path, &arguments)
    }

    /// Sends a form and returns where it led.
    #[track_caller]
    pub(crate) fn submit(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.send(path, fields);
        assert_eq!(page.status, 303, "{}", page.body);
        page.location
    }

    /// Returns everything that was on a page, for a sweep.
    pub(crate) fn seen(&self) -> String {
        self.seen.borrow().clone()
    }

    #[track_caller]
    fn curl(&self, path: &str, arguments: &[&str]) -> Page {
        let written = "\n%{http_code} %header{location}";
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--max-time",
                "60",
            ])
            .args(["--write-out", written])
            .args(arguments)
            .arg(format!("{}{path}", self.address))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success(),
            "{path}: {}{text}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.seen.borrow_mut().push_str(&text);
        let (body, last) = text.rsplit_once('\n').unwrap();
        let (status, location) = last.split_once(' ').unwrap();
        Page {
            status: status.parse().unwrap(),
            location: location.to_owned(),
            body: body.to_owned(),
        }
    }
}
