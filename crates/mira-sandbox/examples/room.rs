//! Runs a program in a room, where each connection to port 80 or 443 of any address is answered with the address that was meant.
//!
//! ```sh
//! cargo run -p mira-sandbox --example room -- run bash -c 'cat < /dev/tcp/8.8.8.8/443'
//! ```
//!
//! With the word `porter` it is the helper of its own rooms, and with `probe` it says whether there can be any. The crate's integration tests drive this
//! example.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    //! The example itself.

    use std::error::Error;
    use std::ffi::OsString;
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, ExitCode};
    use std::thread;

    use mira_sandbox::{Confinement, Helper, Room, RoomSpec, probe};

    pub(super) fn main() -> ExitCode {
        let mut words = std::env::args_os().skip(1);
        let word = words.next().unwrap_or_default();
        let done = match word.to_str() {
            Some("porter") => return mira_sandbox::main(),
            Some("probe") => helper().and_then(|helper| {
                probe(&helper).map_err(|refusal| {
                    let hints = refusal.hint().join("\n");
                    format!("{refusal}\n{hints}").into()
                })
            }),
            Some("run") => run(&words.collect::<Vec<_>>()),
            _ => Err("usage: room run PROGRAM [ARGUMENT...] | room probe".into()),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Standard error may be gone; there is nowhere else to say it.
                writeln!(std::io::stderr(), "room: {error}").ok();
                ExitCode::FAILURE
            }
        }
    }

    fn helper() -> Result<Helper, Box<dyn Error>> {
        Ok(Helper {
            program: std::env::current_exe()?,
            arguments: vec!["porter".into()],
        })
    }

    fn run(words: &[OsString]) -> Result<(), Box<dyn Error>> {
        let (program, arguments) = words.split_first().ok_or("no program")?;
        let spec = RoomSpec {
            ports: vec![80, 443],
            ..RoomSpec::default()
        };
        let (room, openings) = Room::make(&helper()?, &spec)?;
        for listener in openings.listeners {
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(mut stream) = stream else { break };
                    let meant = stream.local_addr().map(|address| address.to_string());
                    // Whoever is gone again does not want to know.
                    writeln!(stream, "{}", meant.unwrap_or_default()).ok();
                }
            });
        }
        let entrance = room.entrance()?;
        let confinement = Confinement::new()?;
        let mut command = Command::new(program);
        command.args(arguments);
        #[expect(unsafe_code, reason = "the way into the room is between fork and exec")]
        // SAFETY: both make system calls only.
        unsafe {
            command.pre_exec(move || {
                entrance.enter()?;
                Ok(confinement.apply()?)
            });
        }
        let status = command.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the program ended with {status}").into())
        }
    }
}
