//! `mira` at a real terminal: hidden prompts, questions, and programs that need one.

use std::process::Command;

use mira_testkit::home::TestHome;
use mira_testkit::terminal::{Terminal, key};

use crate::support::{MIRA, VALUE, keyfile_home, list, mira, set};

fn start(home: &TestHome, args: &[&str]) -> Terminal {
    let mut command = Command::new(MIRA);
    command
        .args(args)
        .env_clear()
        .envs(home.env().iter().cloned());
    Terminal::start(command)
}

#[test]
fn a_value_is_asked_for_and_not_shown() {
    let home = keyfile_home();
    let mut terminal = start(&home, &["set", "KEY"]);
    terminal.expect("Value of KEY (not shown): ");
    terminal.send(format!("{VALUE}\n"));
    terminal.expect("saved KEY in scope user");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(!terminal.transcript().contains(VALUE));
    let ran = mira(&home, &["run", "--", "sh", "-c", "printf %s $KEY | wc -c"]).run();
    assert_eq!(ran.stdout_text(), format!("{}\n", VALUE.len()));
}

#[test]
fn replacing_and_removing_ask_first_and_no_means_no() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let mut terminal = start(&home, &["set", "KEY"]);
    terminal.expect("Replace its value? [y/N] ");
    terminal.send("\n");
    terminal.expect("left as it is");
    assert_eq!(terminal.wait().code(), Some(1));
    let mut terminal = start(&home, &["rm", "KEY"]);
    terminal.expect("Remove KEY from scope user for good? [y/N] ");
    terminal.send("n\n");
    assert_eq!(terminal.wait().code(), Some(1));
    assert_eq!(list(&home)[0]["version"], 1);
    let mut terminal = start(&home, &["rm", "KEY"]);
    terminal.expect("[y/N] ");
    terminal.send("y\n");
    terminal.expect("removed KEY");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(list(&home).is_empty());
}

#[test]
fn init_offers_the_providers_and_takes_the_choice() {
    let home = TestHome::new();
    let mut terminal = start(&home, &["init"]);
    terminal.expect("1  keyring     not here");
    terminal.expect("Choice [2]: ");
    terminal.send("2\n");
    terminal.expect("New passphrase: ");
    terminal.send("correct horse battery\n");
    terminal.expect("The same again: ");
    terminal.send("correct horse batter\n");
    terminal.expect("the two were not the same");
    assert_eq!(terminal.wait().code(), Some(1));
    assert!(!home.mira_home().join("credentials.json").exists());

    let mut terminal = start(&home, &["init"]);
    terminal.expect("Choice [2]: ");
    terminal.send("\n");
    for prompt in ["New passphrase: ", "The same again: "] {
        terminal.expect(prompt);
        terminal.send("correct horse battery\n");
    }
    terminal.expect("made a vault in");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(!terminal.transcript().contains("correct horse"));

    mira(&home, &["lock"]).run().assert_code(0);
    let mut terminal = start(&home, &["list"]);
    terminal.expect("Passphrase of the vault: ");
    terminal.send("wrong horse battery\n");
    terminal.expect("that is not the passphrase");
    assert_eq!(terminal.wait().code(), Some(4));
    mira(&home, &["lock"]).run().assert_code(0);
}

#[test]
fn an_interrupted_prompt_changes_nothing_and_leaves_the_terminal_as_it_was() {
    let home = keyfile_home();
    let mut terminal = start(&home, &["set", "KEY"]);
    terminal.expect("(not shown): ");
    terminal.send(key::CTRL_C);
    let signal = std::os::unix::process::ExitStatusExt::signal(&terminal.wait());
    assert_eq!(signal, Some(2));
    assert_eq!(terminal.settings(), terminal.settings_at_start());
    assert!(list(&home).is_empty());
}

#[test]
fn a_program_has_its_terminal_and_the_terminal_shows_no_value() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all terminals; stty size; \
                  printf '\\033[31m%s\\033[0m\\n' \"$KEY\"; printf 'and? '; read answer; \
                  echo \"got $answer $KEY\" >&2; exit 7";
    let mut terminal = start(&home, &["run", "--", "sh", "-c", script]);
    terminal.expect("all terminals");
    terminal.expect("24 80");
    terminal.expect("\u{1b}[31m[redacted:KEY]\u{1b}[0m");
    terminal.expect("and? ");
    terminal.send("yes\n");
    terminal.expect("got yes [redacted:KEY]");
    assert_eq!(terminal.wait().code(), Some(7));
    assert!(!terminal.transcript().contains(VALUE));
}

#[test]
fn a_typed_value_is_redacted_in_its_echo() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let mut terminal = start(&home, &["run", "--", "sh", "-c", "echo ready; exec cat"]);
    terminal.expect("ready");
    terminal.send(format!("{VALUE}\n"));
    // Once as the terminal's echo, once as what `cat` writes.
    terminal.expect("[redacted:KEY]");
    terminal.expect("[redacted:KEY]");
    terminal.send(key::CTRL_D);
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(!terminal.transcript().contains(VALUE));
}
