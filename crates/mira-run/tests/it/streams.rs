//! What passes through the streams, and what the streams are to the program.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use mira_testkit::terminal::Terminal;

use mira_testkit::signal::send;

use crate::launcher::{Launcher, MARKER, Running, SECRET, end_unharmed};

/// All bytes, in runs that no pipe or line discipline would leave alone.
fn binary() -> Vec<u8> {
    (0..300_000u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn binary_input_and_output_pass_untouched() {
    for launcher in [Launcher::new(), Launcher::bare()] {
        let mut running = Running::start({
            let mut command = launcher.command(&["cat"]);
            command.stdin(Stdio::piped());
            command
        });
        let mut stdin = running.child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&binary()));
        let mut passed = Vec::new();
        running.stdout.read_to_end(&mut passed).unwrap();
        writer.join().unwrap().unwrap();
        assert!(passed == binary());
        assert!(running.child.wait().unwrap().success());
    }
}

#[test]
fn both_streams_may_flood_at_once() {
    let launcher = Launcher::new();
    let output = launcher.output(
        "head -c 3000000 /dev/zero | tr '\\0' x & head -c 3000000 /dev/zero | tr '\\0' y >&2; wait",
    );
    assert_eq!(output.stdout.len(), 3_000_000);
    assert_eq!(output.stderr.len(), 3_000_000);
    assert!(output.stdout.iter().all(|&byte| byte == b'x'));
    assert!(output.stderr.iter().all(|&byte| byte == b'y'));
}

#[test]
fn a_slow_reader_holds_the_program_back_and_gets_everything() {
    let launcher = Launcher::new();
    // The program says on the other stream when it is through, which it must not be before somebody reads.
    let mut command = launcher.sh("head -c 5000000 /dev/zero; echo through >&2");
    let mut running = Running::start({
        command.stderr(Stdio::piped());
        command
    });
    let mut stderr = running.child.stderr.take().unwrap();
    let mut first = [0; 1000];
    running.stdout.read_exact(&mut first).unwrap();
    let mut rest = Vec::new();
    running.stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(first.len() + rest.len(), 5_000_000);
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(said, "through\n");
}

#[test]
fn what_was_written_before_the_end_is_not_lost_when_something_holds_the_stream_open() {
    let launcher = Launcher::new();
    let mut running = Running::start(launcher.sh("sleep 1000 & echo $!; head -c 120000 /dev/zero"));
    let left = running.line().parse().unwrap();
    let mut all = Vec::new();
    running.stdout.read_to_end(&mut all).unwrap();
    send(left, "KILL");
    assert_eq!(all.len(), 120_000);
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn a_reader_that_goes_away_is_seen_by_the_program() {
    let launcher = Launcher::new();
    let mut running = Running::start(launcher.command(&["yes"]));
    assert_eq!(running.line(), "y");
    drop(running.stdout);
    assert_eq!(running.child.wait().unwrap().signal(), Some(13));
}

#[test]
fn a_reader_that_goes_away_is_seen_by_a_program_that_only_waits_for_that() {
    let launcher = Launcher::new();
    // As `tail -f` does it: no write, only a poll for the end of the reader.
    let script = "import select,sys\nprint('ready',flush=True)\np=select.poll()\np.register(1,0)\np.poll()\nsys.exit(9)";
    let mut running = Running::start(launcher.command(&["python3", "-c", script]));
    assert_eq!(running.line(), "ready");
    drop(running.stdout);
    assert_eq!(running.child.wait().unwrap().code(), Some(9));
}

#[test]
fn a_stream_that_the_program_closes_is_closed_to_its_reader() {
    let launcher = Launcher::new();
    let mut command = launcher.sh("echo last; exec >&-; read line; exit 5");
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.rest(), "last\n");
    // Only now may it end.
    running
        .child
        .stdin
        .take()
        .unwrap()
        .write_all(b"go\n")
        .unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_standard_input_that_the_program_closes_is_closed_to_its_writer() {
    let launcher = Launcher::new();
    let mut command = launcher.sh("exec <&-; echo closed; exec sleep 1000");
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.line(), "closed");
    let mut stdin = running.child.stdin.take().unwrap();
    let error = stdin.write_all(&vec![0; 1_000_000]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    running.signal("TERM");
    assert_eq!(running.child.wait().unwrap().signal(), Some(15));
}

#[test]
fn two_streams_into_one_keep_their_order() {
    let launcher = Launcher::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done";
    let shell = format!("{} sh -c '{script}' 2>&1", launcher.line());
    let together = Command::new("sh").args(["-c", &shell]).output().unwrap();
    let alone = Command::new("sh")
        .args(["-c", &format!("({script}) 2>&1")])
        .output()
        .unwrap();
    assert_eq!(together.stdout, alone.stdout);
    let file = launcher.folder().join("log");
    let shell = format!(
        "{} sh -c '{script}' >{} 2>&1",
        launcher.line(),
        file.display()
    );
    assert!(
        Command::new("sh")
            .args(["-c", &shell])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(std::fs::read(file).unwrap(), alone.stdout);
}

#[test]
fn the_null_device_stays_the_null_device() {
    let launcher = Launcher::new();
    let mut command = launcher.sh("is=$(readlink /proc/$$/fd/1); echo $is >&2");
    let output = command.stdout(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "/dev/null\n");
}

#[test]
fn something_left_behind_does_not_keep_us() {
    let launcher = Launcher::new();
    let mut running = Running::start(launcher.sh("sleep 1000 & echo $!; exit 4"));
    let left: u32 = running.line().parse().unwrap();
    let status = running.child.wait().unwrap();
    end_unharmed(left);
    assert_eq!(status.code(), Some(4));
}

#[test]
fn a_value_is_redacted_however_it_is_written() {
    let launcher = Launcher::new();
    let (head, tail) = SECRET.split_at(7);
    let script = format!("printf %s 'x{head}'; printf %s '{tail}y'; printf %s '{SECRET}{SECRET}'");
    let output = launcher.output(&script);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("x{MARKER}y{MARKER}{MARKER}")
    );
}

#[test]
fn a_prompt_without_a_newline_is_shown_while_the_program_waits() {
    let launcher = Launcher::new();
    // It ends in what could be the beginning of the value, so it is held back, but not for long.
    let (head, _) = SECRET.split_at(6);
    let mut command = launcher.sh(&format!(
        "printf 'Password {head}'; read line; echo \"got $line\""
    ));
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut prompt = vec![0; 9 + head.len()];
    running.stdout.read_exact(&mut prompt).unwrap();
    assert_eq!(String::from_utf8_lossy(&prompt), format!("Password {head}"));
    running
        .child
        .stdin
        .take()
        .unwrap()
        .write_all(b"it\n")
        .unwrap();
    assert_eq!(running.line(), "got it");
}

#[test]
fn each_stream_is_a_terminal_to_the_program_if_it_is_one_to_us() {
    for launcher in [Launcher::new(), Launcher::bare()] {
        for combination in 0..8 {
            let is_terminal = |stream: usize| combination & (1 << stream) != 0;
            let report = launcher.folder().join(format!("report{combination}"));
            let script = format!(
                "exec 3>{0}; for fd in 0 1 2; do test -t $fd && echo yes >&3 || echo no >&3; done",
                report.display()
            );
            let streams = [0, 1, 2].map(|stream| match stream {
                _ if is_terminal(stream) => None,
                0 => Some(Stdio::null()),
                _ => Some(Stdio::piped()),
            });
            let mut terminal = Terminal::start_with(launcher.sh(&script), streams);
            assert!(terminal.wait().success(), "{}", terminal.transcript());
            let expect = [0, 1, 2].map(|stream| if is_terminal(stream) { "yes\n" } else { "no\n" });
            assert_eq!(
                std::fs::read_to_string(report).unwrap(),
                expect.concat(),
                "{combination}"
            );
        }
    }
}
