//! What is said where there can be no room.

use std::process::Command;

use mira_sandbox::{Helper, Step, probe};

use super::house::{example, helper};

#[test]
fn a_machine_with_namespaces_has_rooms() {
    probe(&helper()).unwrap();
}

#[test]
fn a_step_that_is_refused_is_named_with_what_to_do() {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg("echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" probe")
        .arg(example())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "room: cannot unshare the user namespace: No space left on device (os error 28)\n\
         the system allows no user namespaces, or no more of them\n\
         see `sysctl user.max_user_namespaces`: it must not be 0\n"
    );
}

#[test]
fn a_helper_that_is_none_is_told_apart() {
    let check = |program: &str, step: Step| {
        let refusal = probe(&Helper {
            program: program.into(),
            arguments: Vec::new(),
        })
        .unwrap_err();
        assert_eq!(refusal.step(), step, "{refusal}");
    };
    check("/nonexistent/helper", Step::Start);
    check("/bin/true", Step::Talk);
}
