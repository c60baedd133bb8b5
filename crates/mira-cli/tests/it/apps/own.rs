//! Secrets that the user gives: asked for, kept for one instance, delivered, rotated; by script and at a terminal.

use mira_testkit::terminal::key;

use super::app::MANIFEST;
use super::house::House;
use crate::support::{VALUE, set};

const OTHER: &str = "sk-proj-0nKd83JwQxTzLm5RbVyA";

#[test]
fn a_script_is_told_what_is_missing_saves_it_and_goes_on() {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    let refused = house.json(&["open", &package, "-d", "--json"], 3);
    assert_eq!(refused["error"]["kind"], "missing");
    assert_eq!(refused["error"]["missing"], serde_json::json!(["API_KEY"]));
    // It is registered, and nothing runs: not even a supervisor.
    let ps = house.ps("parrot");
    assert_eq!(
        (&ps["state"], &ps["version"]),
        (&"stopped".into(), &"1.0.0".into())
    );
    assert!(!house.runtime().join("supervisor.lock").exists());
    assert!(!house.file("parrot", "state").exists());
    let refused = house.run(&["start", "parrot", "-d"], 3);
    assert!(
        refused
            .stderr_text()
            .contains("mira secret set --instance parrot"),
        "{refused:?}"
    );

    house.save("parrot", "API_KEY", VALUE);
    let up = house.json(&["start", "parrot", "-d", "--json"], 0);
    assert_eq!(up["state"], "up");
    assert_eq!(house.ps("parrot")["state"], "up");
    let port = house.variable("parrot", "web", "PORT").unwrap();
    assert_eq!(up["urls"][0], format!("http://127.0.0.1:{port}"));
    assert_eq!(
        house.variable("parrot", "store", "PORT"),
        house.variable("parrot", "web", "STORE_PORT")
    );
    assert_eq!(
        house.variable("parrot", "web", "API_KEY").as_deref(),
        Some(VALUE)
    );
    // Absent, not empty; and the other service is not named by the secret.
    assert_eq!(house.variable("parrot", "web", "EXTRA_KEY"), None);
    assert_eq!(house.variable("parrot", "store", "API_KEY"), None);
    let said = house.run(&["logs", "parrot"], 0).stdout_text();
    let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{said}"));
    assert!(at("store was started") < at("web was started"), "{said}");

    // A name is another instance's only if it is exactly that, not the beginning of its id.
    let id = house.ps("parrot")["id"].as_str().unwrap().to_owned();
    let beginning: String = id.chars().take(8).collect();
    house.run(&["open", &package, "-d", "--name", &beginning], 3);
    house.run(&["delete", &beginning, "--yes"], 0);
    assert_eq!(house.ps("parrot")["id"], id);

    let again = house.run(&["open", "parrot", "-d"], 1);
    assert!(again.stderr_text().contains("runs already"), "{again:?}");
    house.run(&["stop", "parrot"], 0);
    assert_eq!(house.ps("parrot")["state"], "stopped");
}

#[test]
fn a_rotated_secret_is_shown_as_stale_until_the_restart() {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("parrot", "API_KEY", VALUE);
    house.run(&["start", "parrot", "-d"], 0);
    let saved = house.save("parrot", "API_KEY", OTHER);
    assert!(saved.stderr_text().contains("parrot/web"), "{saved:?}");
    let ps = house.ps("parrot");
    assert_eq!(ps["stale"][0]["name"], "API_KEY", "{ps}");
    assert!(ps["stale"][0]["since"].is_string(), "{ps}");
    let shown = house.run(&["ps"], 0).stderr_text();
    assert!(shown.contains("mira restart parrot"), "{shown}");
    let ports = ps["ports"].clone();

    house.run(&["restart", "parrot", "-d"], 0);
    let ps = house.ps("parrot");
    assert_eq!(
        (&ps["stale"], &ps["ports"]),
        (&serde_json::json!([]), &ports)
    );
    assert_eq!(
        house.variable("parrot", "web", "API_KEY").as_deref(),
        Some(OTHER)
    );
}

#[test]
fn at_a_terminal_secrets_are_asked_for_and_ctrl_c_stops_everything() {
    let house = House::new();
    set(&house.home, "EXTRA_KEY", OTHER);
    let app = house.app("parrot", MANIFEST);
    let mut terminal = house.terminal(&["open", app.path()]);
    terminal.expect("needs API_KEY");
    terminal.expect("The key of the model.");
    terminal.expect("https://example.org/keys");
    terminal.expect("Value of API_KEY (not shown): ");
    terminal.send(format!("{VALUE}\n"));
    terminal.expect("can use EXTRA_KEY");
    terminal.expect("Ask somebody.");
    terminal.expect("You have a secret EXTRA_KEY. Use it here? [y/N] ");
    terminal.send("y\n");
    terminal.expect("web | web was started");
    terminal.expect("parrot is up at http://127.0.0.1:");
    assert_eq!(
        house.variable("parrot", "web", "EXTRA_KEY").as_deref(),
        Some(OTHER)
    );
    let services = [house.pid("parrot", "web"), house.pid("parrot", "store")];
    terminal.send(key::CTRL_C);
    terminal.expect("stopping parrot");
    assert_eq!(terminal.wait().code(), Some(0));
    for pid in services {
        super::house::until_gone(pid);
    }
    assert_eq!(house.ps("parrot")["state"], "stopped");
    assert!(!terminal.transcript().contains(VALUE));

    // Bound, not copied: what the user changes is what the instance gets.
    set(&house.home, "EXTRA_KEY", VALUE);
    let mut terminal = house.terminal(&["open", app.path()]);
    terminal.expect("parrot is up");
    assert_eq!(
        house.variable("parrot", "web", "EXTRA_KEY").as_deref(),
        Some(VALUE)
    );
    terminal.send(key::CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
    assert_eq!(
        house.json(&["ps", "--json"], 0).as_array().unwrap().len(),
        1
    );
}

#[test]
fn enter_leaves_an_optional_secret_out_and_it_is_not_asked_for_again() {
    let house = House::new();
    let app = house.app("parrot", MANIFEST);
    for name in ["parrot", "second"] {
        let mut terminal = house.terminal(&["open", app.path(), "--name", name, "-d"]);
        terminal.expect("Value of API_KEY (not shown): ");
        terminal.send(format!("{VALUE}\n"));
        terminal.expect("Value of EXTRA_KEY (not shown; Enter for none): ");
        terminal.send("\n");
        terminal.expect("is up");
        assert_eq!(terminal.wait().code(), Some(0));
        assert_eq!(house.variable(name, "web", "EXTRA_KEY"), None);
    }
    house.run(&["restart", "second", "-d"], 0);
    let mut terminal = house.terminal(&["restart", "second", "-d"]);
    terminal.expect("second is up");
    assert_eq!(terminal.wait().code(), Some(0));
    let both = house.run(&["open", app.path(), "-d"], 2);
    assert!(both.stderr_text().contains("--name says which"), "{both:?}");
}

#[test]
fn an_interrupted_prompt_starts_nothing_and_the_next_open_asks_again() {
    let house = House::new();
    let app = house.app("parrot", MANIFEST);
    let mut terminal = house.terminal(&["open", app.path()]);
    terminal.expect("Value of API_KEY (not shown): ");
    terminal.send(key::CTRL_C);
    let ended = std::os::unix::process::ExitStatusExt::signal(&terminal.wait());
    assert_eq!(ended, Some(2));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
    assert!(!house.runtime().join("supervisor.lock").exists());
    let mut terminal = house.terminal(&["open", app.path(), "-d"]);
    terminal.expect("Value of API_KEY (not shown): ");
    terminal.send(format!("{VALUE}\n"));
    terminal.expect("parrot is up");
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn names_of_secrets_are_checked_and_bindings_come_and_go() {
    let house = House::new();
    let package = house.app("parrot", MANIFEST).pack();
    house.run(&["open", &package, "-d"], 3);
    set(&house.home, "MINE", VALUE);
    let set_args = [
        "secret",
        "set",
        "--instance",
        "parrot",
        "UNKNOWN",
        "--stdin",
    ];
    let refused = house
        .mira(&set_args)
        .stdin_bytes("some-value")
        .run()
        .assert_code(2);
    assert!(refused.stderr_text().contains("API_KEY"), "{refused:?}");
    house.run(
        &[
            "secret",
            "bind",
            "--instance",
            "parrot",
            "API_KEY",
            "--to",
            "NOBODYS",
        ],
        3,
    );
    let own = "MIRA_GITHUB_PRIVATE_KEY";
    set(&house.home, own, OTHER);
    let bind = [
        "secret",
        "bind",
        "--instance",
        "parrot",
        "API_KEY",
        "--to",
        own,
    ];
    let refused = house.run(&bind, 2);
    assert!(
        refused.stderr_text().contains("server alone"),
        "{refused:?}"
    );
    house.run(
        &[
            "secret",
            "bind",
            "--instance",
            "parrot",
            "API_KEY",
            "--to",
            "MINE",
        ],
        0,
    );
    house.run(&["start", "parrot", "-d"], 0);
    assert_eq!(
        house.variable("parrot", "web", "API_KEY").as_deref(),
        Some(VALUE)
    );
    let listed = house.json(&["secret", "list", "--instance", "parrot", "--json"], 0);
    assert_eq!(
        (&listed[0]["source"], &listed[0]["boundTo"]),
        (&"bound".into(), &"MINE".into())
    );
    house.run(&["secret", "rm", "--instance", "parrot", "API_KEY"], 0);
    house.run(&["stop", "parrot"], 0);
    house.run(&["start", "parrot", "-d"], 3);
}
