//! How a program ends, or does not begin.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use mira_testkit::terminal::Terminal;

use mira_testkit::signal::send;

use crate::launcher::{Launcher, MARKER, SECRET};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_exit_code_is_passed_on() {
    let launcher = Launcher::new();
    for code in 0..=255 {
        let status = launcher.sh(&format!("exit {code}")).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn death_by_a_signal_is_passed_on_without_a_core() {
    for launcher in [Launcher::new(), Launcher::bare()] {
        for signal in [1, 2, 3, 6, 8, 9, 11, 13, 14, 15, 10, 12] {
            let mut command = launcher.sh(&format!("kill -{signal} $$"));
            let status = command.current_dir(launcher.folder()).status().unwrap();
            assert_eq!(status.signal(), Some(signal));
            assert!(!status.core_dumped());
        }
    }
}

#[test]
fn the_variable_is_there_and_its_value_is_not_shown() {
    let launcher = Launcher::new();
    let output =
        launcher.output("echo \"key $API_KEY\"; echo \"again $API_KEY\" >&2; echo ${#API_KEY}");
    assert_eq!(
        text(&output.stdout),
        format!("key {MARKER}\n{}\n", SECRET.len())
    );
    assert_eq!(text(&output.stderr), format!("again {MARKER}\n"));
}

#[test]
fn what_is_not_found_ends_with_127_and_what_cannot_be_executed_with_126() {
    let launcher = Launcher::new();
    let file = |name: &str, content: &str, mode: u32| {
        let path = launcher.folder().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let check = |program: &str, code: i32, says: &str| {
        let output = launcher.command(&[program]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{program}: {stderr}");
        assert!(stderr.contains(says), "{program}: {stderr}");
        assert!(output.stdout.is_empty());
    };
    check("no-such-program", 127, "not found");
    check("./no-such-program", 127, "not found");
    check("", 127, "not found");
    check("/", 126, "is a folder");
    check("/etc/passwd/x", 126, "Not a directory");
    check(&file("plain", "echo hi\n", 0o644), 126, "is not executable");
    check(
        &file("lost", "#!/no/such/interpreter\n", 0o755),
        126,
        "needs an interpreter",
    );
}

#[test]
fn a_found_program_that_is_not_executable_does_not_hide_a_later_one() {
    let launcher = Launcher::new();
    let earlier = launcher.folder().join("echo");
    std::fs::write(&earlier, "").unwrap();
    let path = format!("{}:/usr/bin:/bin", launcher.folder().display());
    let mut command = launcher.command(&["echo", "hi"]);
    let output = command.env("PATH", &path).output().unwrap();
    assert_eq!(text(&output.stdout), "hi\n");
    let mut command = launcher.command(&["echo", "hi"]);
    let output = command.env("PATH", launcher.folder()).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn a_script_without_an_interpreter_line_is_run_by_the_shell() {
    let launcher = Launcher::new();
    let script = launcher.folder().join("script");
    std::fs::write(&script, "echo \"$0 $1 $#\"\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.display().to_string();
    let output = launcher.command(&[&script, "a b", "c"]).output().unwrap();
    assert_eq!(text(&output.stdout), format!("{script} a b 2\n"));
}

#[test]
fn too_much_for_the_system_has_its_own_message() {
    let launcher = Launcher::new();
    let mut line = std::fs::read_to_string(&launcher.words()[1]).unwrap();
    line.push_str(&format!("BIG={}\n", "x".repeat(200 * 1024)));
    std::fs::write(&launcher.words()[1], line).unwrap();
    let output = launcher.output("true");
    assert_eq!(output.status.code(), Some(126));
    assert!(
        text(&output.stderr).contains("too big"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_name_folder_mask_niceness_and_descriptors_are_as_they_were() {
    let launcher = Launcher::new();
    let asks =
        "pwd; umask; nice; ulimit -n; ulimit -c; ulimit -Hc; echo through >&7; cat extra; echo $0";
    // The same questions without us in between, where the program's own limit on core files is set by hand.
    let shell = |words: &str| {
        let script = format!(
            "cd {}; umask 027; ulimit -n 99; ulimit -Sc $(ulimit -Hc); exec 7>extra; {words} sh -c '{asks}'",
            launcher.folder().display(),
        );
        let nice = ["-n", "3", "sh", "-c", &script];
        text(&Command::new("nice").args(nice).output().unwrap().stdout)
    };
    let alone = shell("ulimit -Sc 0; exec");
    assert_eq!(alone.lines().count(), 8, "{alone}");
    assert_eq!(shell(&format!("exec {}", launcher.line())), alone);
}

#[test]
fn it_dies_with_us_even_when_we_are_killed() {
    let launcher = Launcher::new();
    let gate = launcher.folder().join("gate");
    assert!(
        Command::new("mkfifo")
            .arg(&gate)
            .status()
            .unwrap()
            .success()
    );
    // The program alone holds the gate open, so that its end is the program's.
    let script = format!("exec 3>{}; exec sleep 1000", gate.display());
    let ends = |killed: u32| {
        let mut held = std::fs::File::open(&gate).unwrap();
        send(killed, "KILL");
        assert_eq!(held.read_to_end(&mut Vec::new()).unwrap(), 0);
    };
    let mut child = launcher.sh(&script).spawn().unwrap();
    ends(child.id());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let mut terminal = Terminal::start(launcher.sh(&script));
    ends(terminal.child().id());
    assert_eq!(terminal.wait().signal(), Some(9));
}
