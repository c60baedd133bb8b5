//! What the processes of a room see of the file system.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mira_sandbox::{Confinement, Room, RoomSpec, Shown, Step, View, mount_proc};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::house::{helper, python, room, room_with};

fn shown(path: impl AsRef<Path>, writable: bool) -> Shown {
    Shown {
        path: path.as_ref().to_owned(),
        writable,
    }
}

#[test]
fn a_hidden_folder_is_empty_but_for_what_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("a/b")).unwrap();
    fs::create_dir_all(at.join("state")).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(at.join("secret"), "s").unwrap();
    fs::write(at.join("a/b/file"), "f").unwrap();
    std::os::unix::fs::symlink("a/b", at.join("link")).unwrap();
    let (room, _openings) = room_with(View {
        hide: vec![at.to_owned(), "/nonexistent/folder".into()],
        show: vec![
            shown(at.join("a/b"), false),
            shown(at.join("state"), true),
            shown(at.join("link"), false),
        ],
        ..View::default()
    });
    let said = python(
        &room,
        &format!(
            "
os.chdir({at:?})
print(sorted(os.listdir()), oct(os.stat('.').st_mode))
print(open('link/file').read())
attempt('read-only', lambda: open('a/b/new', 'w'))
open('state/new', 'w').write('n')
open('own', 'w').write('o')
"
        ),
    );
    assert_eq!(said, "['a', 'link', 'state'] 0o40750\nf\nread-only EROFS\n");
    assert_eq!(fs::read_to_string(at.join("state/new")).unwrap(), "n");
    assert!(!at.join("own").exists());
    assert!(at.join("secret").exists());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(at.to_str().unwrap()), "{mounts}");
}

#[test]
fn a_hidden_file_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    fs::write(&file, "s").unwrap();
    let (room, _openings) = room_with(View {
        hide: vec![file.clone()],
        ..View::default()
    });
    let said = python(&room, &format!("print(repr(open({file:?}).read()))"));
    assert_eq!(said, "''\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "s");
}

#[test]
fn files_are_put_where_they_are_or_into_hidden_folders_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("run")).unwrap();
    fs::write(at.join("hosts"), "old").unwrap();
    std::os::unix::fs::symlink("run/resolve/stub", at.join("resolv.conf")).unwrap();
    let large = vec![b'x'; 300_000];
    let (room, _openings) = room_with(View {
        hide: vec![at.join("run")],
        files: vec![
            (at.join("hosts"), b"new".to_vec()),
            (at.join("resolv.conf"), b"nameserver".to_vec()),
            (at.join("run/bundle"), large),
            (at.join("absent"), b"a".to_vec()),
        ],
        ..View::default()
    });
    let said = python(
        &room,
        &format!(
            "
os.chdir({at:?})
print(open('hosts').read(), open('resolv.conf').read(), len(open('run/bundle').read()), os.path.exists('absent'))
attempt('write', lambda: open('hosts', 'w'))
attempt('replace', lambda: os.rename('run/bundle', 'run/other'))
"
        ),
    );
    assert_eq!(
        said,
        "new nameserver 300000 False\nwrite EROFS\nreplace EBUSY\n"
    );
    assert_eq!(fs::read_to_string(at.join("hosts")).unwrap(), "old");
    assert!(!at.join("run/resolve").exists());
    assert!(!at.join("absent").exists());
}

#[test]
fn sockets_of_the_host_are_masked_where_they_are_not_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("hidden")).unwrap();
    let _seen = UnixListener::bind(at.join("seen sock")).unwrap();
    let _hidden = UnixListener::bind(at.join("hidden/sock")).unwrap();
    let (room, _openings) = room_with(View {
        hide: vec![at.join("hidden")],
        ..View::default()
    });
    let said = python(
        &room,
        &format!(
            "
os.chdir({at:?})
attempt('seen', lambda: unix('seen sock'))
attempt('hidden', lambda: unix('hidden/sock'))
attempt('away', lambda: os.unlink('seen sock'))
s = socket.socket(socket.AF_UNIX); s.bind('own'); s.listen()
attempt('own', lambda: unix('own'))
"
        ),
    );
    assert_eq!(
        said,
        "seen ECONNREFUSED\nhidden ENOENT\naway EBUSY\nown done None\n"
    );
}

/// A program of the host that listens on a unix socket.
struct Daemon(std::process::Child);

impl Daemon {
    /// Starts it in a folder, and in a network namespace of its own if `apart`; the script binds `s`.
    fn start(folder: &Path, apart: bool, script: &str) -> Self {
        let mut words = vec!["python3", "-c"];
        let script = format!(
            "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\n{script}\ns.listen()\nprint(flush=True)\nsys.stdin.read()"
        );
        words.push(&script);
        if apart {
            // A user namespace as well, for whoever is not root.
            words.splice(0..0, ["unshare", "-rn"]);
        }
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "\n", "it is bound");
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its input ends, and it does.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn sockets_are_masked_however_they_came_to_be_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["apart", "renamed", "relative", "linked"] {
        fs::create_dir(at.join(name)).unwrap();
    }
    let bound = |name: &str| format!("s.bind({:?})", at.join(name));
    let _daemons = [
        Daemon::start(Path::new("/"), true, &bound("apart/sock")),
        Daemon::start(
            Path::new("/"),
            false,
            &format!(
                "{}; os.rename({:?}, {:?})",
                bound("renamed/sock.tmp"),
                at.join("renamed/sock.tmp"),
                at.join("renamed/sock")
            ),
        ),
        Daemon::start(
            at,
            true,
            "s.bind('relative/sock.tmp'); os.rename('relative/sock.tmp', 'relative/sock')",
        ),
        Daemon::start(
            Path::new("/"),
            false,
            &format!(
                "{}; os.link({:?}, {:?})",
                bound("linked/first"),
                at.join("linked/first"),
                at.join("linked/sock")
            ),
        ),
    ];
    let script = "
for name in ['apart', 'renamed', 'relative', 'linked']:
    attempt(name, lambda: unix(name + '/sock'))
";
    let (room, _openings) = room_with(View::default());
    let said = python(&room, &format!("os.chdir({at:?}){script}"));
    assert_eq!(
        said,
        "apart ECONNREFUSED\nrenamed ECONNREFUSED\nrelative ECONNREFUSED\nlinked ECONNREFUSED\n"
    );
    // They are there for whoever is in no room.
    for name in ["apart", "renamed", "relative", "linked"] {
        UnixStream::connect(at.join(name).join("sock")).unwrap();
    }
}

#[test]
fn a_room_with_devices_of_its_own_has_no_disk_and_no_terminal_of_the_host() {
    let (room, _openings) = room_with(View {
        own_devices: true,
        ..View::default()
    });
    let said = python(
        &room,
        "
import multiprocessing.shared_memory, pty
print(sorted(os.listdir('/dev')), os.listdir('/dev/pts'))
open('/dev/null', 'w').write('x')
print(len(open('/dev/urandom', 'rb').read(4)))
print(open('/dev/fd/0').close())
main, side = pty.openpty()
print(os.ttyname(side))
memory = multiprocessing.shared_memory.SharedMemory(name='room', create=True, size=10)
print(os.listdir('/dev/shm'))
memory.unlink()
attempt('disk', lambda: os.mknod('/dev/disk', 0o60600, os.makedev(8, 0)))
",
    );
    assert_eq!(
        said,
        "['fd', 'full', 'null', 'ptmx', 'pts', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'tty', 'urandom', 'zero'] ['ptmx']\n\
         4\nNone\n/dev/pts/0\n['room']\ndisk EPERM\n"
    );
    assert!(!Path::new("/dev/shm/room").exists());
}

#[test]
fn the_first_process_of_a_room_sees_its_own_processes_only() {
    let (room, _openings) = room(&[]);
    let entrance = room.entrance().unwrap();
    let confinement = Confinement::new().unwrap();
    let mut command = Command::new("python3");
    command.arg("-c").arg(
        "
import os
print([name for name in os.listdir('/proc') if name.isdigit()])
try:
    open('/proc/sys/kernel/core_pattern', 'w')
except OSError as error:
    print(error.errno in (30, 13))
",
    );
    #[expect(unsafe_code, reason = "the way into the room is between fork and exec")]
    // SAFETY: only system calls are made.
    unsafe {
        command.pre_exec(move || {
            entrance.enter()?;
            unshare_unsafe(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
            match libc::fork() {
                0 => {
                    mount_proc()?;
                    Ok(confinement.apply()?)
                }
                child => {
                    let mut status = 0;
                    libc::waitpid(child, &raw mut status, 0);
                    libc::_exit(status >> 8)
                }
            }
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "['1']\nTrue\n");
}

#[test]
fn the_settings_of_the_kernel_are_read_only() {
    let (room, _openings) = room(&[]);
    let said = python(
        &room,
        "
for path in ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger']:
    try:
        open(path, 'w')
        print('open', path)
    except OSError as error:
        # A kernel may be without the second.
        print(error.errno in (errno.EROFS, errno.EACCES, errno.ENOENT))
print(bool(os.statvfs('/sys').f_flag & os.ST_RDONLY))
",
    );
    assert_eq!(said, "True\nTrue\nTrue\n");
}

#[test]
fn a_path_that_cannot_be_shown_is_named() {
    let spec = RoomSpec {
        ports: Vec::new(),
        view: View {
            hide: vec!["/tmp".into()],
            show: vec![shown("/tmp", true), shown("/nonexistent/shown", true)],
            ..View::default()
        },
    };
    let refusal = Room::make(&helper(), &spec).unwrap_err();
    assert_eq!(refusal.step(), Step::Show);
    assert_eq!(
        refusal.to_string(),
        "cannot show a path in the room, \"/nonexistent/shown\": No such file or directory (os error 2)"
    );
}
