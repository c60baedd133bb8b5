//! Programs at a terminal: keys, colours, prompts, sizes, settings.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use mira_testkit::terminal::{Terminal, key};

use mira_testkit::signal::send;

use crate::launcher::{Launcher, MARKER, SECRET, end_unharmed};

#[test]
fn output_is_redacted_and_lines_end_as_at_a_terminal() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(
        launcher.sh("echo \"key $API_KEY\"; echo \"tty $API_KEY\" >/dev/tty; exit 5"),
    );
    assert_eq!(terminal.wait().code(), Some(5));
    assert_eq!(
        terminal.transcript(),
        format!("key {MARKER}\r\ntty {MARKER}\r\n")
    );
}

#[test]
fn beside_us_lines_end_as_at_a_terminal_too() {
    let launcher = Launcher::new();
    let script = launcher.sh("echo \"key $API_KEY\"; echo second >&2; printf 'no end'");
    let mut terminal = Terminal::start_with(script, [Some(Stdio::null()), None, None]);
    assert!(terminal.wait().success());
    let expect = format!("key {MARKER}\r\nsecond\r\nno end");
    assert_eq!(terminal.transcript(), expect);
}

#[test]
fn colours_are_kept() {
    let launcher = Launcher::new();
    std::fs::create_dir(launcher.folder().join("folder")).unwrap();
    let mut command = launcher.command(&["ls", "--color=auto"]);
    command
        .current_dir(launcher.folder())
        .env("LS_COLORS", "di=01;34");
    let mut terminal = Terminal::start(command);
    terminal.expect("\u{1b}[01;34mfolder");
    assert!(terminal.wait().success());
}

#[test]
fn the_terminals_settings_and_size_reach_the_program_and_come_back() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.sh("stty -g; stty size; read line; stty size"));
    let mut plain = Terminal::start({
        let mut command = Command::new("sh");
        command.args(["-c", "stty -g; stty size; read line; stty size"]);
        command
    });
    assert_eq!(terminal.expect("24 80"), plain.expect("24 80"));
    terminal.resize(33, 99);
    terminal.send("\r");
    terminal.expect("33 99");
    assert!(terminal.wait().success());
    assert_eq!(terminal.settings(), terminal.settings_at_start());
}

#[test]
fn a_new_size_is_told_to_the_program() {
    for (name, streams) in [("session", [false; 3]), ("beside", [true, false, false])] {
        let launcher = Launcher::new();
        let script = "trap 'stty size <&1; exit 3' WINCH; echo ready; while :; do sleep 0.1; done";
        let streams = streams.map(|null| null.then(Stdio::null));
        let mut terminal = Terminal::start_with(launcher.command(&["bash", "-c", script]), streams);
        terminal.expect("ready");
        terminal.resize(41, 102);
        terminal.expect("41 102");
        assert_eq!(terminal.wait().code(), Some(3), "{name}");
    }
}

#[test]
fn keys_that_interrupt_and_quit_reach_the_program() {
    let launcher = Launcher::new();
    for (keys, signal) in [(key::CTRL_C, 2), (key::CTRL_BACKSLASH, 3)] {
        let mut terminal = Terminal::start(launcher.sh("echo ready; exec sleep 1000"));
        terminal.expect("ready");
        terminal.send(keys);
        let status = terminal.wait();
        assert_eq!(status.signal(), Some(signal));
        assert_eq!(terminal.settings(), terminal.settings_at_start());
    }
    let mut terminal =
        Terminal::start(launcher.sh("trap 'echo caught; exit 8' INT; echo ready; read line"));
    terminal.expect("ready");
    terminal.send(key::CTRL_C);
    terminal.expect("caught");
    assert_eq!(terminal.wait().code(), Some(8));
}

#[test]
fn the_end_of_input_is_a_key_too() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.command(&["cat"]));
    terminal.send("line\r");
    terminal.expect("line\r\nline\r\n");
    terminal.send(key::CTRL_D);
    assert!(terminal.wait().success());
}

#[test]
fn a_password_prompt_hides_what_is_typed() {
    let launcher = Launcher::new();
    // As ssh and sudo ask: on /dev/tty, with the echo off.
    let script = "stty -echo </dev/tty; printf 'Password: ' >/dev/tty; read word </dev/tty; \
                  stty echo </dev/tty; echo; echo \"${#word} $word $API_KEY\"";
    let mut terminal = Terminal::start(launcher.sh(script));
    terminal.expect("Password: ");
    terminal.send("hunter2\r");
    terminal.expect(&format!("\r\n7 hunter2 {MARKER}\r\n"));
    assert!(terminal.wait().success());
    assert_eq!(terminal.transcript().matches("hunter2").count(), 1);
}

#[test]
fn with_its_output_in_a_file_a_program_still_has_the_terminal_to_ask_at() {
    let launcher = Launcher::new();
    let path = launcher.folder().join("out");
    let file = std::fs::File::create(&path).unwrap();
    let script = "echo \"out $API_KEY\"; printf 'name? %s' \"$API_KEY\" >/dev/tty; read line </dev/tty; \
                  echo \"$line\"";
    let streams = [None, Some(Stdio::from(file)), None];
    let mut terminal = Terminal::start_with(launcher.sh(script), streams);
    terminal.expect(&format!("name? {MARKER}"));
    terminal.send("words\r");
    assert!(terminal.wait().success());
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!(written, format!("out {MARKER}\nwords\n"));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
}

#[test]
fn the_echo_of_a_typed_value_is_redacted() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.sh("echo ready; read line; echo done"));
    terminal.expect("ready");
    terminal.send(format!("{SECRET}\r"));
    terminal.expect("done");
    assert!(terminal.wait().success());
    assert!(!terminal.transcript().contains(SECRET));
    assert!(terminal.transcript().contains(MARKER));
}

#[test]
fn the_terminal_is_put_back_when_we_are_ended_by_a_signal() {
    let launcher = Launcher::new();
    for signal in ["TERM", "HUP", "INT", "QUIT", "USR1"] {
        // Raw, so that a program that does not clean up would leave it so.
        let mut terminal =
            Terminal::start(launcher.sh("stty raw -echo; echo ready; exec sleep 1000"));
        terminal.expect("ready");
        assert_ne!(terminal.settings(), terminal.settings_at_start());
        send(terminal.child().id(), signal);
        assert!(!terminal.wait().success());
        assert_eq!(
            terminal.settings(),
            terminal.settings_at_start(),
            "{signal}"
        );
    }
}

#[test]
fn settings_that_the_program_leaves_on_purpose_stay() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.sh("stty -echo intr ^A"));
    assert!(terminal.wait().success());
    let left = terminal.settings();
    let mut command = Command::new("sh");
    command.args(["-c", "stty -echo intr ^A"]);
    let mut plain = Terminal::start(command);
    assert!(plain.wait().success());
    assert_eq!(left, plain.settings());
}

#[test]
fn something_left_behind_at_the_terminal_neither_keeps_us_nor_dies() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.sh("sleep 1000 & echo $!; exit 4"));
    terminal.expect("\r\n");
    let left: u32 = terminal.transcript().trim().parse().unwrap();
    let status = terminal.wait();
    end_unharmed(left);
    assert_eq!(status.code(), Some(4));
}

#[test]
fn the_last_output_is_not_lost() {
    let launcher = Launcher::new();
    let mut terminal =
        Terminal::start(launcher.sh("head -c 200000 /dev/zero | tr '\\0' x; echo end"));
    assert!(terminal.wait().success());
    let transcript = terminal.transcript();
    assert_eq!(transcript.matches('x').count(), 200_000);
    assert!(transcript.ends_with("end\r\n"));
}

#[test]
fn an_editor_starts_edits_and_quits() {
    let launcher = Launcher::new();
    let file = launcher.folder().join("note");
    let mut command = launcher.command(&["vim.tiny", "-u", "NONE", "note"]);
    command.current_dir(launcher.folder()).env("TERM", "xterm");
    let mut terminal = Terminal::start(command);
    terminal.expect("~");
    terminal.send("ihello");
    terminal.send(key::ESCAPE);
    terminal.send(":wq\r");
    assert!(terminal.wait().success());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hello\n");
    assert_eq!(terminal.settings(), terminal.settings_at_start());
}

#[test]
fn a_full_screen_display_starts_and_quits() {
    let launcher = Launcher::new();
    let mut command = launcher.command(&["top"]);
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command);
    terminal.expect("load average");
    terminal.expect("PID");
    terminal.send("q");
    assert!(terminal.wait().success());
    assert_eq!(terminal.settings(), terminal.settings_at_start());
    let output = launcher
        .command(&["top", "-b", "-n", "1"])
        .env("TERM", "xterm")
        .output()
        .unwrap();
    assert!(output.status.success());
}

#[test]
fn a_terminal_that_goes_away_hangs_the_program_up() {
    for (name, streams) in [("session", [false; 3]), ("beside", [true, false, false])] {
        let launcher = Launcher::new();
        let streams = streams.map(|null| null.then(Stdio::null));
        let script = launcher.sh("echo ready; exec sleep 1000");
        let mut terminal = Terminal::start_with(script, streams);
        terminal.expect("ready");
        terminal.hang_up();
        let status = terminal.wait();
        assert_eq!(status.signal(), Some(1), "{name}: {status}");
    }
}

#[test]
fn a_program_that_ignores_the_hang_up_sees_its_input_end_and_goes_on() {
    let launcher = Launcher::new();
    let script = "trap '' HUP; echo ready; while read line; do :; done; echo lost; echo end >end";
    let mut command = launcher.sh(script);
    command.current_dir(launcher.folder());
    let mut terminal = Terminal::start(command);
    terminal.expect("ready");
    terminal.hang_up();
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(launcher.folder().join("end").exists());
}

#[test]
fn keys_stay_with_the_rest_of_a_pipeline() {
    let launcher = Launcher::new();
    // The reader of our output reads the keys; were we to take them, it would wait in vain.
    let shell = format!(
        "{} sh -c 'echo \"$API_KEY\"; exec sleep 1000' | (read line; echo \"line $line\"; read key </dev/tty; echo \"key $key\"; kill 0)",
        launcher.line()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &shell]);
    let mut terminal = Terminal::start(command);
    terminal.expect(&format!("line {MARKER}"));
    terminal.send("q\r");
    terminal.expect("key q");
}

#[test]
fn a_program_that_is_not_there_leaves_the_terminal_alone() {
    let launcher = Launcher::new();
    let mut terminal = Terminal::start(launcher.command(&["no-such-program"]));
    assert_eq!(terminal.wait().code(), Some(127));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
    assert!(terminal.transcript().contains("not found"));
}
