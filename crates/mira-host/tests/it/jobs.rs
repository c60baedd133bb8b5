//! Job control: a shell in the driven terminal runs us as its job.

use std::process::Command;

use mira_testkit::terminal::{Terminal, key};

use crate::launcher::{Launcher, MARKER};

/// An interactive shell whose prompt cannot be mistaken.
fn shell() -> Terminal {
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "PROMPT> ")
        .env("TERM", "xterm")
        .env_remove("PROMPT_COMMAND")
        .env("HISTFILE", "");
    let mut terminal = Terminal::start(command);
    terminal.expect("PROMPT> ");
    terminal
}

/// Types a line and passes over its echo.
fn enter(terminal: &mut Terminal, line: &str) {
    terminal.send(line);
    terminal.send("\r");
    terminal.expect("\r\n");
}

/// The ways to be a job: with a session of its own for the program, beside us, and with our own streams.
fn ways() -> [(&'static str, Launcher, &'static str); 3] {
    [
        ("session", Launcher::new(), ""),
        ("beside", Launcher::new(), " </dev/null"),
        ("bare", Launcher::bare(), ""),
    ]
}

#[test]
fn ctrl_z_stops_and_fg_continues() {
    for (way, launcher, redirect) in ways() {
        let mut terminal = shell();
        let script = "trap \"echo continued\" CONT; echo begun; while :; do sleep 0.1; done";
        enter(
            &mut terminal,
            &format!("{} bash -c '{script}'{redirect}", launcher.line()),
        );
        terminal.expect("begun");
        for _ in 0..3 {
            terminal.send(key::CTRL_Z);
            terminal.expect("Stopped");
            terminal.expect("PROMPT> ");
            enter(&mut terminal, "fg");
            terminal.expect("continued");
        }
        terminal.send(key::CTRL_C);
        terminal.expect("PROMPT> ");
        enter(&mut terminal, "echo \"code $?\"");
        terminal.expect("code 130");
        drop(way);
    }
}

#[test]
fn bg_lets_it_go_on_and_output_still_is_redacted() {
    for (way, launcher, redirect) in ways() {
        if way == "bare" {
            continue;
        }
        let mut terminal = shell();
        let wait = launcher.folder().join("wait").display().to_string();
        let script = format!(
            "mkfifo {wait}; echo begun; read line <{wait}; echo \"$line $API_KEY\"; exec sleep 1000"
        );
        enter(
            &mut terminal,
            &format!("{} sh -c '{script}'{redirect}", launcher.line()),
        );
        terminal.expect("begun");
        terminal.send(key::CTRL_Z);
        terminal.expect("Stopped");
        terminal.expect("PROMPT> ");
        enter(&mut terminal, "bg");
        terminal.expect("PROMPT> ");
        enter(&mut terminal, &format!("echo behind >{wait}"));
        terminal.expect(&format!("behind {MARKER}"));
        enter(&mut terminal, "fg");
        terminal.expect("sleep 1000");
        terminal.send(key::CTRL_C);
        terminal.expect("PROMPT> ");
    }
}

#[test]
fn in_the_background_a_read_from_the_terminal_stops_it_until_fg() {
    for (_, launcher, redirect) in ways() {
        if !redirect.is_empty() {
            continue;
        }
        let mut terminal = shell();
        enter(
            &mut terminal,
            &format!(
                "{} sh -c 'read line; echo \"got $line\"' &",
                launcher.line()
            ),
        );
        terminal.expect("PROMPT> ");
        // The shell tells of the stop at its next prompt, and waits for a job's news without being asked to.
        enter(&mut terminal, "wait -f %1; jobs");
        terminal.expect("Stopped");
        terminal.expect("PROMPT> ");
        enter(&mut terminal, "fg");
        terminal.expect("\n");
        terminal.send("words\r");
        terminal.expect("got words");
        terminal.expect("PROMPT> ");
    }
}

#[test]
fn a_running_background_job_gets_the_terminal_by_fg_when_it_wants_it() {
    let launcher = Launcher::new();
    let mut terminal = shell();
    let gate = launcher.folder().join("gate").display().to_string();
    enter(&mut terminal, &format!("mkfifo {gate}"));
    terminal.expect("PROMPT> ");
    let script = format!("read line <{gate}; echo asks; read line; echo \"got $line\"");
    enter(
        &mut terminal,
        &format!("{} sh -c '{script}' &", launcher.line()),
    );
    terminal.expect("PROMPT> ");
    enter(
        &mut terminal,
        "(sleep 0; exec 3>{gate}; echo go >&3) 2>/dev/null &"
            .replace("{gate}", &gate)
            .as_str(),
    );
    enter(&mut terminal, "fg %1");
    terminal.expect("asks");
    terminal.send("words\r");
    terminal.expect("got words");
    terminal.expect("PROMPT> ");
}

#[test]
fn a_shell_inside_has_jobs_of_its_own() {
    let launcher = Launcher::new();
    let mut terminal = shell();
    let settings = terminal.settings();
    enter(
        &mut terminal,
        &format!(
            "PS1='INNER> ' {} bash --norc --noprofile -i",
            launcher.line()
        ),
    );
    terminal.expect("INNER> ");
    enter(&mut terminal, "sleep 1000");
    terminal.send(key::CTRL_Z);
    terminal.expect("Stopped");
    terminal.expect("INNER> ");
    enter(&mut terminal, "fg");
    terminal.expect("sleep 1000");
    terminal.send(key::CTRL_C);
    terminal.expect("INNER> ");
    enter(&mut terminal, "echo \"key $API_KEY\"");
    terminal.expect(&format!("key {MARKER}"));
    terminal.expect("INNER> ");
    // The inner shell stops itself, and so the outer one has a stopped job.
    enter(&mut terminal, "suspend");
    terminal.expect("Stopped");
    terminal.expect("PROMPT> ");
    enter(&mut terminal, "fg");
    terminal.send("\r");
    terminal.expect("INNER> ");
    enter(&mut terminal, "exit 7");
    terminal.expect("PROMPT> ");
    enter(&mut terminal, "echo \"code $?\"");
    terminal.expect("code 7");
    terminal.expect("PROMPT> ");
    assert_eq!(terminal.settings(), settings);
}

#[test]
fn an_editor_is_stopped_and_continued() {
    let launcher = Launcher::new();
    let mut terminal = shell();
    let file = launcher.folder().join("note").display().to_string();
    enter(
        &mut terminal,
        &format!("{} vim.tiny -u NONE {file}", launcher.line()),
    );
    terminal.expect("~");
    terminal.send("ione");
    terminal.send(key::ESCAPE);
    terminal.send(key::CTRL_Z);
    terminal.expect("Stopped");
    terminal.expect("PROMPT> ");
    enter(&mut terminal, "fg");
    terminal.expect("~");
    terminal.send("atwo");
    terminal.send(key::ESCAPE);
    terminal.send(":wq\r");
    terminal.expect("PROMPT> ");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "onetwo\n");
}

#[test]
fn where_nobody_could_continue_it_ctrl_z_does_not_hang() {
    // The launcher leads the session itself: its group is orphaned, as in `xterm -e mira run -- …`.
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.sh("echo begun; read line; echo \"got $line\""));
    terminal.expect("begun");
    terminal.send(key::CTRL_Z);
    terminal.send("words\r");
    terminal.expect("got words");
    assert!(terminal.wait().success());
}

#[test]
fn a_script_of_ours_is_stopped_whole() {
    let launcher = Launcher::new();
    let mut terminal = shell();
    // The group is that of the script; the command that we run is not the one that the shell waits for.
    let script = format!(
        "{} sh -c \"echo begun; read line; echo got \\$line\"; echo after",
        launcher.line()
    );
    enter(&mut terminal, &format!("bash -c '{script}'"));
    terminal.expect("begun");
    terminal.send(key::CTRL_Z);
    terminal.expect("Stopped");
    terminal.expect("PROMPT> ");
    enter(&mut terminal, "fg");
    terminal.send("words\r");
    terminal.expect("got words");
    terminal.expect("after");
    terminal.expect("PROMPT> ");
}
