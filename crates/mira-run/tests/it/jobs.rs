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

/// Presses Ctrl-Z and waits for the shell.
fn stop(terminal: &mut Terminal) {
    terminal.send(key::CTRL_Z);
    terminal.expect("Stopped");
    terminal.expect("PROMPT> ");
}

/// Continues the job in the foreground, and waits until it has the terminal.
fn fg(terminal: &mut Terminal) {
    enter(terminal, "fg");
    terminal.await_job();
}

#[test]
fn ctrl_z_stops_and_fg_continues() {
    for (_, launcher, redirect) in ways() {
        let mut terminal = shell();
        let line =
            launcher.script("trap 'echo continued' CONT; echo begun; while :; do sleep 0.05; done");
        enter(&mut terminal, &format!("{line}{redirect}"));
        terminal.expect("begun");
        for _ in 0..3 {
            stop(&mut terminal);
            fg(&mut terminal);
            terminal.expect("continued");
        }
        terminal.send(key::CTRL_C);
        terminal.expect("PROMPT> ");
        enter(&mut terminal, "echo code $?");
        terminal.expect("code 130");
    }
}

#[test]
fn bg_lets_it_go_on_and_output_still_is_redacted() {
    for (way, launcher, redirect) in ways() {
        if way == "bare" {
            continue;
        }
        let mut terminal = shell();
        let gate = launcher.folder().join("gate").display().to_string();
        let line = launcher.script(&format!(
            "trap 'echo continued' CONT; mkfifo {gate}; echo begun; \
             until read line <{gate}; do :; done; echo \"$line $API_KEY\"; while :; do sleep 0.05; done"
        ));
        enter(&mut terminal, &format!("{line}{redirect}"));
        terminal.expect("begun");
        stop(&mut terminal);
        enter(&mut terminal, "bg");
        enter(&mut terminal, &format!("echo behind >{gate}"));
        terminal.expect(&format!("behind {MARKER}"));
        fg(&mut terminal);
        stop(&mut terminal);
        fg(&mut terminal);
        terminal.expect("continued");
        terminal.send(key::CTRL_C);
        terminal.expect("PROMPT> ");
    }
}

#[test]
fn in_the_background_a_read_from_the_terminal_stops_it_until_fg() {
    for (way, launcher, redirect) in ways() {
        if way == "beside" {
            continue;
        }
        let mut terminal = shell();
        let line = launcher.script("read line; echo \"got $line\"");
        enter(&mut terminal, &format!("{line}{redirect} &"));
        // Waiting for a job ends when it stops, too.
        enter(&mut terminal, "wait %1");
        terminal.expect("Stopped");
        terminal.expect("PROMPT> ");
        fg(&mut terminal);
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
    let line = launcher.script(&format!(
        "read line <{gate}; echo asks; read line; echo \"got $line\""
    ));
    enter(&mut terminal, &format!("{line} &"));
    enter(&mut terminal, "fg %1");
    terminal.await_job();
    // No shell tells a running job that it is in the foreground now.
    std::fs::write(&gate, "go\n").unwrap();
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
    let script = launcher.folder().join("script").display().to_string();
    launcher.script("trap 'echo continued' CONT; echo begun; while :; do sleep 0.05; done");
    enter(
        &mut terminal,
        &format!(
            "PS1='INNER> ' {} bash --norc --noprofile -i",
            launcher.line()
        ),
    );
    terminal.expect("INNER> ");
    enter(&mut terminal, &format!("bash {script}"));
    terminal.expect("begun");
    terminal.send(key::CTRL_Z);
    terminal.expect("Stopped");
    terminal.expect("INNER> ");
    fg(&mut terminal);
    terminal.expect("continued");
    terminal.send(key::CTRL_C);
    terminal.expect("INNER> ");
    enter(&mut terminal, "echo key $API_KEY");
    terminal.expect(&format!("key {MARKER}"));
    terminal.expect("INNER> ");
    // The inner shell stops itself, and so the outer one has a stopped job.
    enter(&mut terminal, "suspend");
    terminal.expect("Stopped");
    terminal.expect("PROMPT> ");
    fg(&mut terminal);
    terminal.send("\r");
    terminal.expect("INNER> ");
    enter(&mut terminal, "exit 7");
    terminal.expect("PROMPT> ");
    enter(&mut terminal, "echo code $?");
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
    fg(&mut terminal);
    terminal.expect("~");
    terminal.send("atwo");
    terminal.send(key::ESCAPE);
    terminal.send(":wq\r");
    terminal.expect("PROMPT> ");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "onetwo\n");
}

#[test]
fn what_was_written_before_a_stop_is_shown_before_it() {
    for (way, launcher, redirect) in ways() {
        let mut terminal = shell();
        let script = "head -c 100000 /dev/zero | tr '\\0' x; echo last; kill -TSTP $$";
        let line = launcher.script(script);
        enter(&mut terminal, &format!("{line}{redirect}"));
        let shown = terminal.expect("Stopped");
        assert!(shown.contains("last"), "{way}");
        terminal.expect("PROMPT> ");
    }
}

#[test]
fn a_stop_leaves_the_terminal_as_it_was() {
    let launcher = Launcher::new();
    // A shell that does not repair the terminal itself.
    let mut command = Command::new("dash");
    command.arg("-i").env("PS1", "PROMPT> ").env_remove("ENV");
    let mut terminal = Terminal::start(command);
    terminal.expect("PROMPT> ");
    let line = launcher.script("stty raw -echo; echo begun; kill -TSTP $$; read line");
    enter(&mut terminal, &line);
    terminal.expect("begun");
    terminal.expect("PROMPT> ");
    assert_eq!(terminal.settings(), terminal.settings_at_start());
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
    // The group is that of the script, and the shell waits for the script, not for us.
    let line = launcher.script("echo begun; read line; echo \"got $line\"");
    let script = launcher.folder().join("outer");
    std::fs::write(&script, format!("{line}; echo after")).unwrap();
    enter(&mut terminal, &format!("bash {}", script.display()));
    terminal.expect("begun");
    stop(&mut terminal);
    fg(&mut terminal);
    terminal.send("words\r");
    terminal.expect("got words");
    terminal.expect("after");
    terminal.expect("PROMPT> ");
}
