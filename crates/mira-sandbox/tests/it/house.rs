//! What the tests share: making a room, and running Python in it.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use mira_sandbox::{Confinement, Helper, Openings, Room, RoomSpec, View};

/// Returns the path of the example, which Cargo builds beside the tests.
pub(crate) fn example() -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let built = built.parent().unwrap().parent().unwrap();
    let example = built.join("examples/room");
    assert!(
        example.exists(),
        "{example:?} is not built: run all tests of the package, or build --examples"
    );
    example
}

pub(crate) fn helper() -> Helper {
    Helper {
        program: example(),
        arguments: vec!["porter".into()],
    }
}

pub(crate) fn room(ports: &[u16]) -> (Room, Openings) {
    let spec = RoomSpec {
        ports: ports.to_vec(),
        ..RoomSpec::default()
    };
    Room::make(&helper(), &spec).unwrap()
}

pub(crate) fn room_with(view: View) -> (Room, Openings) {
    let spec = RoomSpec {
        ports: Vec::new(),
        view,
    };
    Room::make(&helper(), &spec).unwrap()
}

/// What each script begins with: `attempt` says how a call ended, in one line.
const PRELUDE: &str = "
import ctypes, errno, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, call):
    try:
        print(what, 'done', call())
    except OSError as error:
        print(what, errno.errorcode.get(error.errno, error))
def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), '')
    return result
def tcp(address, port, family=socket.AF_INET):
    with socket.socket(family) as s:
        s.settimeout(20)
        s.connect((address, port))
def unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
def udp(address, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        return s.sendto(b'x', (address, port))
";

/// Starts Python inside of a room, confined.
pub(crate) fn start(room: &Room, script: &str) -> Child {
    let entrance = room.entrance().unwrap();
    let confinement = Confinement::new().unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-u", "-c", &format!("{PRELUDE}{script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    #[expect(unsafe_code, reason = "the way into the room is between fork and exec")]
    // SAFETY: both make system calls only.
    unsafe {
        command.pre_exec(move || {
            entrance.enter()?;
            Ok(confinement.apply()?)
        });
    }
    command.spawn().unwrap()
}

/// Runs Python inside of a room, confined, and returns what it said.
pub(crate) fn python(room: &Room, script: &str) -> String {
    let output = start(room, script).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
