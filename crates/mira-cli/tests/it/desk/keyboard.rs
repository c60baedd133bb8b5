//! The desk by the keyboard alone, as who has no mouse uses it: every stop is reached, in the order of the page, and is seen; and a form
//! that is refused is mended where it is.

use serde_json::{Value, json};

use super::browser::Browser;
use super::served::Served;
use super::{PAGES, TALKER, until_there};
use crate::apps::house::House;
use crate::support::{VALUE, set};

/// Keys, as WebDriver has them (W3C WebDriver, section 17.4.2).
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SHIFT: char = '\u{e008}';
const CONTROL: char = '\u{e009}';

const PASSWORD: &str = "four words that hold";

/// Notes each stop that gets the focus: which of the page's it is, and whether it can be seen that it has it.
const NOTE: &str = r#"
    const all = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    window.stops = [...document.querySelectorAll(all)]
        .filter(stop => !stop.disabled && stop.type !== "hidden" && stop.checkVisibility());
    window.reached = [];
    addEventListener("focusin", event => {
        const stop = event.target, style = getComputedStyle(stop);
        const at = stops.findIndex(known => known === stop || (stop.id && known.id === stop.id));
        const seen = stop.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
        // What was loaded anew has its focus back.
        if (reached.at(-1)?.at !== at) reached.push({ at, seen, what: stop.outerHTML.slice(0, 120) });
    });
    arguments[arguments.length - 1](stops.length);"#;

#[test]
fn every_page_is_walked_by_the_keyboard_forth_and_back() {
    let (house, desk) = served();
    for (width, dark) in [(1400, true), (360, false)] {
        let browser = Browser::start(&house.home.path().join(width.to_string()), width, dark);
        sign_in(&browser, &desk);
        for path in PAGES {
            browser.open(&format!("{}{path}", desk.url));
            let stops = browser.run(NOTE).as_u64().unwrap();
            let count = usize::try_from(stops).unwrap();
            assert!(count > 0, "{path} has no stop");
            browser.press(None, &vec![TAB; count]);
            check(&browser, (0..stops).collect(), path);
            browser.run("reached = []; arguments[arguments.length - 1](0)");
            browser.press(Some(SHIFT), &vec![TAB; count - 1]);
            check(&browser, (0..stops - 1).rev().collect(), path);
        }
    }
}

/// Compares what was reached with what there is.
#[track_caller]
fn check(browser: &Browser, expect: Vec<u64>, path: &str) {
    let reached = browser.run("arguments[arguments.length - 1](reached)");
    let reached = reached.as_array().unwrap();
    let at: Vec<_> = reached.iter().map(|stop| stop["at"].clone()).collect();
    assert_eq!(at, expect, "{path}: {reached:#?}");
    let unseen: Vec<_> = reached.iter().filter(|stop| stop["seen"] != true).collect();
    assert_eq!(unseen, [] as [&Value; 0], "{path}");
}

#[test]
fn a_form_that_is_refused_keeps_what_was_typed_and_is_mended_by_the_keyboard() {
    let (house, desk) = served();
    let browser = Browser::start(&house.home.path().join("browser"), 1000, false);
    sign_in(&browser, &desk);
    browser.open(&format!("{}/", desk.url));
    // Over the bar, to the content.
    browser.press(None, &[TAB, ENTER]);
    assert_eq!(active(&browser, "id"), "main");
    tab_to(&browser, "[name=name]");
    browser.type_keys("OPENAI_API_KEY");
    tab_to(&browser, "[name=label]");
    browser.type_keys("Mine");
    tab_to(&browser, "[name=value]");
    browser.type_keys(VALUE);
    tab_to(&browser, "main form button");
    browser.press(None, &[ENTER]);
    until_there(&browser, "is saved already");
    assert_eq!(active(&browser, "className"), "refusal");
    browser.press(None, &[TAB]);
    assert_eq!(active(&browser, "value"), "OPENAI_API_KEY");
    browser.press(Some(CONTROL), &['a']);
    browser.type_keys("ANOTHER_KEY");
    // The session ends meanwhile; nothing is lost.
    let cookie = browser.take_cookie();
    browser.press(None, &[ENTER]);
    until_there(&browser, "Sign in in another tab");
    assert!(!browser.source().contains(VALUE));
    browser.give_cookie(&cookie);
    browser.press(None, &[TAB, TAB]);
    assert_eq!(active(&browser, "value"), "ANOTHER_KEY");
    browser.press(None, &[ENTER]);
    until_there(&browser, "Its value is encrypted");
    let source = browser.source();
    assert!(source.contains("ANOTHER_KEY") && source.contains("Mine"));
    // Back, the page is as it is now, and sends nothing again.
    browser.back();
    until_there(&browser, "/secrets/ANOTHER_KEY");
    // Asked, and then not.
    browser.open(&format!("{}/secrets/ANOTHER_KEY", desk.url));
    tab_to(&browser, "button.danger");
    browser.press(None, &[ENTER]);
    browser.dismiss();
    assert_eq!(active(&browser, "className"), "danger");
    browser.press(None, &[' ']);
    browser.agree();
    until_there(&browser, "and its ciphertext");
    // What folds out, folds in.
    browser.open(&format!("{}/users", desk.url));
    tab_to(&browser, "summary");
    browser.press(None, &[' ', TAB]);
    assert_eq!(active(&browser, "name"), "password");
    browser.press(Some(SHIFT), &[TAB]);
    browser.press(None, &[ENTER, TAB]);
    assert_ne!(active(&browser, "name"), "password");
    // Sent twice by a nervous finger, it is sent once.
    let twice = "const real = window.fetch; let sent = 0;
        window.fetch = (...all) => { sent += 1; return real(...all); };
        const form = document.querySelector(\"form[action='/users']\");
        form.name.value = 'bob'; form.password.value = 'long enough to be one';
        form.requestSubmit(); form.requestSubmit();
        arguments[arguments.length - 1](sent)";
    browser.open(&format!("{}/users", desk.url));
    assert_eq!(browser.run(twice), 1);
    until_there(&browser, "Role of bob");
    // The server is gone.
    assert_eq!(desk.end(), Some(0));
    tab_to(&browser, "form[action='/users'] [name=name]");
    browser.type_keys("eve");
    tab_to(&browser, "form[action='/users'] [name=password]");
    browser.type_keys("long enough to be one");
    browser.press(None, &[ENTER]);
    until_there(&browser, "cannot be reached");
    let typed = "document.querySelector(\"form[action='/users']\").elements.name.value";
    let typed = browser.run(&format!("arguments[arguments.length - 1]({typed})"));
    assert_eq!(typed, "eve");
}

/// Serves a home that has something on each page.
fn served() -> (House, Served) {
    let house = House::new();
    set(&house.home, "OPENAI_API_KEY", VALUE);
    let package = house.app("talker", TALKER).pack();
    house.run(&["open", &package, "-d"], 3);
    house.save("talker", "TALKER_KEY", VALUE);
    let add = ["mcp", "add", "echo", "--with", "LEVEL=1", "--", "cat"];
    house.run(&add, 0);
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let desk = Served::start(&house, &listen, &[("ADMIN_PASSWORD", PASSWORD)]);
    house.run(&["start", "-d", "talker"], 0);
    (house, desk)
}

/// Signs in; the name has the focus from the beginning.
fn sign_in(browser: &Browser, desk: &Served) {
    browser.open(&format!("{}/users", desk.url));
    browser.type_keys("admin");
    browser.press(None, &[TAB]);
    browser.type_keys("not my password");
    browser.press(None, &[ENTER]);
    until_there(browser, "name or password is wrong");
    tab_to(browser, "[name=password]");
    browser.press(Some(CONTROL), &['a']);
    browser.type_keys(PASSWORD);
    browser.press(None, &[ENTER]);
    until_there(browser, "Sign out");
}

/// Presses Tab until this has the focus.
#[track_caller]
fn tab_to(browser: &Browser, css: &str) {
    let wanted = json!(css);
    let is_there =
        format!("arguments[arguments.length - 1](document.activeElement.matches({wanted}))");
    for _ in 0..100 {
        if browser.run(&is_there) == true {
            return;
        }
        browser.press(None, &[TAB]);
    }
    panic!("{css} is not reached");
}

/// Returns a property of what has the focus.
fn active(browser: &Browser, property: &str) -> Value {
    browser.run(&format!(
        "arguments[arguments.length - 1](document.activeElement.{property})"
    ))
}
