//! A world with three hosts in it: one that may be called, one whose requests carry a secret, and one that is refused.

use std::process::{Command, Output, Stdio};

use mira_testkit::home::TestHome;
use mira_testkit::origin::{Origin, Seen};
use mira_testkit::world::World;
use serde_json::Value;

use crate::support::{MIRA, VALUE, keyfile_home, set};

pub(crate) const ALLOWED: (&str, &str) = ("api.allowed.test", "93.184.216.34");
pub(crate) const BROKERED: (&str, &str) = ("api.brokered.test", "93.184.216.35");
pub(crate) const REFUSED: (&str, &str) = ("api.refused.test", "93.184.216.36");

/// What makes rooms impossible for whatever is started after it in the same world, and lets all in it trust the world's certificates as programs trust the
/// system's: some look at no variable.
const WITHOUT_ROOMS: &str = "
echo 0 > /proc/sys/user/max_user_namespaces
mount --bind \"$SSL_CERT_FILE\" /etc/ssl/certs/ca-certificates.crt
";

/// The three hosts, and a home with a secret `KEY`.
pub(crate) struct Street {
    pub(crate) home: TestHome,
    pub(crate) allowed: Origin,
    pub(crate) brokered: Origin,
    pub(crate) refused: Origin,
    // Last: what still runs in it ends with it.
    pub(crate) world: World,
}

impl Street {
    /// Makes them; in a street without rooms, the system makes none.
    pub(crate) fn new(rooms: bool) -> Self {
        let home = keyfile_home();
        set(&home, "KEY", VALUE);
        let world = World::new(&[ALLOWED, BROKERED, REFUSED]);
        let origin = |(name, address): (&str, &str)| {
            let listener = world.listen(&format!("{address}:443"));
            Origin::start(listener, Some(world.ca().server(&[name])))
        };
        let street = Self {
            home,
            allowed: origin(ALLOWED),
            brokered: origin(BROKERED),
            refused: origin(REFUSED),
            world,
        };
        if !rooms {
            let mut prepare = street.powerful("sh");
            let prepared = prepare.args(["-ec", WITHOUT_ROOMS]).status();
            assert!(prepared.unwrap().success());
        }
        street
    }

    /// Prepares a program that runs in the world, outside of any gate, in the home.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.prepared(self.world.command(program))
    }

    /// Prepares one that may do everything to the world.
    pub(crate) fn powerful(&self, program: &str) -> Command {
        self.prepared(self.world.powerful(program))
    }

    fn prepared(&self, mut command: Command) -> Command {
        command
            .env_clear()
            .envs(self.home.env().iter().cloned())
            .env("SSL_CERT_FILE", self.world.ca().bundle())
            .current_dir(self.home.path().join("home"))
            .stdin(Stdio::null());
        command
    }

    /// Prepares `mira run`, with a gate that lets the allowed host be called.
    pub(crate) fn run(&self) -> Command {
        let mut command = self.command(MIRA);
        command.args(["run", "--gate", "--allow", ALLOWED.0]);
        command
    }

    /// Returns the rows of what runs called.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let log = self.command(MIRA).args(["net", "log", "--json"]).output();
        let log = log.unwrap();
        assert!(log.status.success(), "{log:?}");
        let text = String::from_utf8(log.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Sends each event once the one before it has arrived: the client says so to the allowed host, where it has made `before` requests until then.
    pub(crate) fn emit(&self, events: &[String], before: usize) {
        for (index, event) in events.iter().enumerate() {
            self.brokered.emit(event);
            let said = self.allowed.wait_for_requests(before + index + 1);
            let target = &said.last().unwrap().target;
            assert!(target.contains("ack="), "{target}");
        }
        self.brokered.end_events();
    }
}

/// Returns what a program said on its output.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what Mira and a program said beside it.
pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns whether anything of a request holds a text.
pub(crate) fn holds(request: &Seen, text: &str) -> bool {
    let mut headers = request.headers.iter();
    request.target.contains(text)
        || request.body.contains(text)
        || headers.any(|(_, value)| value.contains(text))
}
