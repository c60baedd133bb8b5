//! `mira desk` and `mira serve --listen`: where they listen, where they refuse to, and what a browser gets from a real one.

mod aws;
mod browser;
mod keyboard;
mod operated;
mod packages;
mod report;
mod served;
mod soak;
mod webhooks;

use std::time::Instant;

use self::browser::Browser;
pub(crate) use self::served::Served;
use self::served::{curl, post};
use crate::apps::house::{House, PATIENCE};
use crate::mcp::client::installed;
use crate::support::{VALUE, mira, set};

#[test]
fn a_desk_shows_what_is_saved_and_brings_an_app_up_and_down() {
    let house = House::new();
    set(&house.home, "OPENAI_API_KEY", VALUE);
    let package = house.app("talker", TALKER).pack();
    // Opened, and not started: what it needs is missing.
    house.run(&["open", &package, "-d"], 3);
    let desk = Served::start(&house, &["desk", "--no-browser"], &[]);
    let home = curl(&house, &[&desk.url]);
    assert!(home.contains("OPENAI_API_KEY"), "{home}");
    let base = desk.url.split("/enter/").next().unwrap();
    // The link was used; another browser does not get in by it.
    let again = curl(&house, &["--cookie", "none=", &desk.url]);
    assert!(again.contains("used already"), "{again}");
    let page = format!("{base}/instances/talker");
    assert!(curl(&house, &[&page]).contains("missing"));
    let secrets = format!("{page}/secrets");
    post(
        &house,
        &secrets,
        &[("name", "TALKER_KEY"), ("value", VALUE)],
    );
    let started = post(&house, &format!("{page}/start"), &[]);
    assert!(started.contains("badge good"), "{started}");
    assert_eq!(house.ps("talker")["state"], "up");
    let log = curl(&house, &[&page]);
    assert!(log.contains("my key is [redacted:TALKER_KEY]"), "{log}");
    assert!(!log.contains(VALUE));
    post(&house, &format!("{page}/stop"), &[]);
    assert_eq!(house.ps("talker")["state"], "stopped");
    let audit = curl(&house, &[&format!("{base}/audit")]);
    for action in [
        "session.login",
        "secret.set",
        "instance.start",
        "instance.stop",
    ] {
        assert!(
            audit.contains(&format!("<code>{action}</code>")),
            "{action}: {audit}"
        );
    }
    assert!(!audit.contains(VALUE));
    assert_eq!(desk.end(), Some(0));
}

/// The app that the tests show: it needs a key, and says it.
const TALKER: &str = r#"
kind: mira.app/v1
id: org.example.talker
name: Talker
version: 1.0.0
secrets: [{name: TALKER_KEY, required: true, description: What it talks about}]
network: {allow: [api.example.org]}
services:
  - {name: talk, command: [sh, -c, 'echo "my key is $$TALKER_KEY"; exec sleep infinity']}
"#;

/// The pages, where there is a secret, an instance and an MCP server.
const PAGES: [&str; 16] = [
    "/users",
    "/",
    "/secrets/OPENAI_API_KEY",
    "/instances",
    "/instances/talker",
    "/instances/talker/snapshots",
    "/open",
    "/mcp",
    "/mcp/echo",
    "/mcp-import",
    "/providers",
    "/network",
    "/webhooks",
    "/audit",
    "/account",
    "/health",
];

/// Returns what axe finds wrong with the page for people who do not see it, or have no mouse: what is serious or worse.
fn inaccessible(browser: &Browser, axe: &str) -> Vec<String> {
    let found = browser.run(&format!(
        "{axe}; axe.run().then(found => arguments[arguments.length - 1](found.violations))"
    ));
    let violations = found.as_array().unwrap().iter();
    let bad =
        violations.filter(|found| found["impact"] == "serious" || found["impact"] == "critical");
    bad.map(|found| format!("{}: {}", found["id"], found["nodes"][0]["html"]))
        .collect()
}

/// Waits until the page has something; it may be another page by then.
#[track_caller]
fn until_there(browser: &Browser, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !browser.source().contains(text) {
        assert!(Instant::now() < deadline, "{text}: {}", browser.source());
    }
}

#[test]
fn a_browser_shows_every_page_without_a_complaint_and_for_everybody() {
    let house = House::new();
    set(&house.home, "OPENAI_API_KEY", VALUE);
    let package = house.app("talker", TALKER).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("talker", "TALKER_KEY", VALUE);
    let add = ["mcp", "add", "echo", "--with", "LEVEL=1", "--", "cat"];
    house.run(&add, 0);
    let axe = std::fs::read_to_string(installed("node/node_modules/axe-core/axe.min.js")).unwrap();
    let desk = Served::start(
        &house,
        &["serve", "--listen", "127.0.0.1:0"],
        &[("ADMIN_PASSWORD", "four words that hold")],
    );
    house.run(&["start", "-d", "talker"], 0);
    for (width, dark) in [(1280, false), (400, true)] {
        let browser = Browser::start(
            &house.home.path().join(format!("browser-{width}")),
            width,
            dark,
        );
        browser.open(&format!("{}/users", desk.url));
        assert_eq!(inaccessible(&browser, &axe), [] as [&str; 0], "login");
        browser.type_into("input[name=name]", "admin");
        browser.type_into("input[name=password]", "four words that hold");
        browser.click("main button");
        until_there(&browser, "Sign out");
        for path in PAGES.into_iter().chain(["/nothing"]) {
            browser.open(&format!("{}{path}", desk.url));
            assert_eq!(
                inaccessible(&browser, &axe),
                [] as [&str; 0],
                "{path} at {width}"
            );
            let source = browser.source();
            assert!(!source.contains(VALUE), "{path}");
            assert!(
                path == "/nothing" || source.contains("Sign out"),
                "{path}: {source}"
            );
            // Nothing is wider than the window but what scrolls by itself.
            let wide = browser.run("arguments[arguments.length - 1](document.documentElement.scrollWidth - document.documentElement.clientWidth)");
            assert_eq!(wide, 0, "{path} at {width}");
            let complaints = browser.complaints();
            assert!(
                path == "/nothing" || complaints.is_empty(),
                "{path}: {complaints:?}"
            );
        }
    }
}

#[test]
fn a_browser_saves_a_secret_follows_a_log_and_removes_the_secret_after_asking() {
    let house = House::new();
    let package = house.app("talker", TALKER).pack();
    house.run(&["open", &package, "-d"], 3);
    let desk = Served::start(&house, &["desk", "--no-browser"], &[]);
    let base = desk.url.split("/enter/").next().unwrap();
    let browser = Browser::start(&house.home.path().join("browser"), 1280, false);
    browser.open(&desk.url);
    browser.type_into("input[name=name]", "OPENAI_API_KEY");
    browser.type_into("textarea[name=value]", VALUE);
    browser.click("main form button");
    until_there(&browser, "Its value is encrypted");
    assert!(!browser.source().contains(VALUE));
    browser.open(&format!("{base}/instances/talker"));
    browser.type_into("textarea[name=value]", VALUE);
    browser.click("form[action$='/secrets'] button");
    until_there(&browser, "its own");
    browser.click("form[action$='/start'] button");
    until_there(&browser, "my key is [redacted:TALKER_KEY]");
    // What comes from now on comes by itself.
    house.run(&["restart", "-d", "talker"], 0);
    let lines = "let done = arguments[arguments.length - 1];
        let look = () => document.querySelectorAll('.log div').length > 1 ? done(true) : requestAnimationFrame(look);
        look();";
    assert_eq!(browser.run(lines), true);
    assert!(!browser.source().contains(VALUE));
    browser.open(&format!("{base}/secrets/OPENAI_API_KEY"));
    browser.click("button.danger");
    browser.agree();
    until_there(&browser, "and its ciphertext");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
    house.run(&["stop", "talker"], 0);
}

#[test]
fn a_browser_opens_a_package_adds_and_tests_an_mcp_server_and_takes_a_clients_servers_over() {
    let house = House::new();
    let package = house.app("talker", TALKER).pack();
    let desk = Served::start(&house, &["desk", "--no-browser"], &[]);
    let base = desk.url.split("/enter/").next().unwrap();
    let browser = Browser::start(&house.home.path().join("browser"), 1280, false);
    browser.open(&desk.url);
    browser.open(&format!("{base}/open"));
    // A file field is given a path, as a person's choice of a file is.
    browser.type_into("input[name=package]", &package);
    browser.click("form[enctype] button");
    until_there(&browser, "org.example.talker");
    for part in ["unsigned", "TALKER_KEY", "api.example.org"] {
        assert!(browser.source().contains(part), "{part}");
    }
    browser.click("form[action^='/open/'] button");
    until_there(&browser, "It needs the secrets below");
    browser.open(&format!("{base}/mcp"));
    browser.type_into("form:has([name=command]) [name=name]", "broken");
    browser.type_into("[name=command]", "sh");
    browser.type_into("[name=args]", "-c\necho my key is $BROKEN_KEY >&2; exit 7");
    browser.type_into("[name=secrets]", &format!("BROKEN_KEY={VALUE}"));
    browser.click("form:has([name=command]) button");
    until_there(&browser, "Not tested since");
    browser.click("form[action$='/test'] button");
    until_there(&browser, "my key is [redacted:BROKEN_KEY]");
    assert!(browser.source().contains("exit code 7"));
    assert!(!browser.source().contains(VALUE));
    browser.open(&format!("{base}/mcp-import"));
    let config = format!(
        r#"{{"mcpServers": {{"tracker": {{"command": "npx", "env": {{"TRACKER_TOKEN": "{VALUE}"}}}}}}}}"#
    );
    browser.type_into("[name=text]", &config);
    browser.click("form:has([name=text]) button");
    until_there(&browser, "TRACKER_TOKEN");
    browser.click("form[action^='/mcp-import/'] button");
    until_there(&browser, "<h1>Taken over</h1>");
    assert!(!browser.source().contains(VALUE));
    browser.open(&format!("{base}/mcp/tracker"));
    browser.click("button.danger");
    browser.agree();
    until_there(&browser, "<h1>MCP servers</h1>");
    assert_eq!(browser.complaints(), [] as [&str; 0]);
}

#[test]
fn a_server_does_not_listen_where_it_could_be_read_or_guessed() {
    let house = House::new();
    for (args, variables, code, words) in [
        (
            &["0.0.0.0:0"] as &[&str],
            &[] as &[(&str, &str)],
            2,
            "read on the way",
        ),
        (&["[::]:0"], &[], 2, "read on the way"),
        (
            &["0.0.0.0:0", "--behind-proxy", "192.0.2.1/32"],
            &[("ADMIN_PASSWORD", "admin")],
            2,
            "everybody knows",
        ),
        (
            &["127.0.0.1:0"],
            &[("ADMIN_PASSWORD", "short")],
            1,
            "at least 12",
        ),
        (
            &["127.0.0.1:0"],
            &[("DATABASE_URL", "postgres://a:b@db.example.org/mira")],
            2,
            "sslmode",
        ),
        (
            &[
                "127.0.0.1:0",
                "--tls-cert",
                "/nothing.pem",
                "--tls-key",
                "/nothing.pem",
            ],
            &[],
            1,
            "/nothing.pem",
        ),
    ] {
        let mut run = mira(&house.home, &[&["serve", "--listen"], args].concat());
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let run = run.run().assert_code(code);
        assert!(
            run.stderr_text().contains(words),
            "{args:?}: {}",
            run.stderr_text()
        );
    }
    // Nobody who came in by the default password before is left behind when it moves.
    let here = Served::start(
        &house,
        &["serve", "--listen", "127.0.0.1:0"],
        &[("ADMIN_PASSWORD", "admin")],
    );
    assert!(here.said.contains("default password"), "{}", here.said);
    let login = format!("{}/login", here.url);
    let page = curl(&house, &["--data", "name=admin&password=admin", &login]);
    assert!(page.contains("<h1>Secrets</h1>"), "{page}");
    assert_eq!(here.end(), Some(0));
    let moved = mira(
        &house.home,
        &[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--behind-proxy",
            "192.0.2.1/32",
        ],
    )
    .run();
    assert!(
        moved
            .assert_code(1)
            .stderr_text()
            .contains("mira user passwd admin")
    );
}
