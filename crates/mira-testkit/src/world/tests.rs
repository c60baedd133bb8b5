//! Tests of what is reached from inside of a world, and of its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use super::*;

fn output(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Says a line to whoever comes, and returns what was said first.
fn answer_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"from the test\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

const TALK: &str = "
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as stream:
    stream.sendall(b'from inside\\n')
    sys.stdout.write(stream.makefile().readline())
";

#[test]
fn names_lead_to_public_addresses_which_are_the_tests_own() {
    let world = World::new(&[
        ("api.example.com", "93.184.216.34"),
        ("six.example.com", "2001:500::1"),
    ]);
    for (name, address) in [
        ("api.example.com", "93.184.216.34:443"),
        ("six.example.com", "[2001:500::1]:443"),
    ] {
        let listener = world.listen(address);
        assert_eq!(listener.local_addr().unwrap().to_string(), address);
        let mut talk = world.command("python3");
        let child = talk
            .args(["-c", TALK, name, "443"])
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        assert_eq!(answer_one(&listener), "from inside\n");
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "from the test\n");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn there_is_no_way_out() {
    let world = World::new(&[]);
    let (_, devices) = output(world.command("ip").args(["-o", "link"]));
    assert_eq!(devices.lines().count(), 1, "{devices}");
    assert!(devices.contains("lo:"), "{devices}");
    for address in ["1.1.1.1", "169.254.169.254", "10.0.0.1", "2606:4700::1111"] {
        let (reached, text) = output(world.command("python3").args(["-c", TALK, address, "443"]));
        assert!(
            !reached && text.contains("Connection refused"),
            "{address}: {text}"
        );
    }
    let (found, text) = output(world.command("getent").args(["hosts", "example.com"]));
    assert!(!found, "{text}");
}

#[test]
fn datagrams_arrive_where_the_test_receives_them() {
    let world = World::new(&[]);
    let socket = world.datagrams("8.8.8.8:53");
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let send =
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'question', ('8.8.8.8', 53))";
    let (sent, text) = output(world.command("python3").args(["-c", send]));
    assert!(sent, "{text}");
    let mut datagram = [0; 64];
    let length = socket.recv(&mut datagram).unwrap();
    assert_eq!(&datagram[..length], b"question");
}

#[test]
fn a_command_keeps_its_user_its_folder_and_its_environment() {
    let world = World::new(&[]);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let mut command = world.command("sh");
    command
        .args(["-c", "id -u; pwd -P; echo $MINE $SSL_CERT_FILE"])
        .current_dir(&place)
        .env("MINE", "mine");
    let (_, text) = output(&mut command);
    let user = rustix::process::getuid().as_raw();
    let bundle = world.ca().bundle();
    let expected = format!("{user}\n{}\nmine {}\n", place.display(), bundle.display());
    assert_eq!(text, expected);
}

#[test]
fn what_still_runs_in_a_world_ends_with_it() {
    let world = World::new(&[]);
    let other = World::new(&[]);
    let start = |world: &World| {
        let mut command = world.command("sh");
        // A session of its own, which no signal to a group reaches.
        command.args(["-c", "echo here; exec setsid cat"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "here\n");
        child
    };
    let [mut ends, mut stays] = [start(&world), start(&other)];
    drop(world);
    assert_eq!(ends.wait().unwrap().signal(), Some(9));
    assert!(stays.try_wait().unwrap().is_none());
    drop(other);
    assert_eq!(stays.wait().unwrap().signal(), Some(9));
}

#[test]
#[should_panic(expected = "93.184.216.34:443: [Errno 98] Address already in use")]
fn an_address_that_is_taken_is_told() {
    let world = World::new(&[]);
    let _first = world.listen("93.184.216.34:443");
    drop(world.listen("93.184.216.34:443"));
}
