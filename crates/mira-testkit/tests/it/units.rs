//! The apps' own unit tests, and what keeps an app a package that is complete in itself.

use std::fs;

use mira_testkit::home::TestHome;

use crate::service::app;

fn check(name: &str) {
    let run = TestHome::new()
        .mira("python3")
        .args(["-B", "-W", "error::SyntaxWarning", "-m", "unittest"])
        .current_dir(app(name))
        .run()
        .assert_code(0);
    // No test found is a success to Python.
    let last = run.stderr_text();
    assert!(
        last.contains("\nRan ") && !last.contains("\nRan 0 tests"),
        "{last}"
    );
}

#[test]
fn minutes_passes_its_own_tests() {
    check("minutes");
}

#[test]
fn readlater_passes_its_own_tests() {
    check("readlater");
}

#[test]
fn what_both_apps_have_is_the_same() {
    for file in ["httpd.py", "model.py", "static/base.css"] {
        assert!(
            fs::read(app("minutes").join(file)).unwrap()
                == fs::read(app("readlater").join(file)).unwrap(),
            "apps/minutes/{file} and apps/readlater/{file} differ: copy the one that you changed over the other"
        );
    }
}
