//! A home, what is in it, and a server on it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mira_desk::hash_password;
use mira_secret::SecretBytes;
use mira_store::{Location, NewApiToken, NewUser, Role, Shared, TokenScope};
use mira_testkit::home::TestHome;
use nix::time::ClockId;
use nix::unistd::Pid;

const MIRA: &str = env!("CARGO_BIN_EXE_mira");

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Ground {
    home: TestHome,
    _memory: tempfile::TempDir,
}

/// A server that is ended when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    child: Option<Child>,
    pid: u32,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let mut home = TestHome::new();
        let memory = tempfile::tempdir_in("/dev/shm").expect("memory");
        home.set("XDG_RUNTIME_DIR", memory.path());
        let ground = Self {
            home,
            _memory: memory,
        };
        ground.mira(&["init", "--provider", "keyfile"], "", 0);
        ground.mira(&["user", "add", "first", "--no-password"], "", 0);
        ground
    }

    fn mira(&self, args: &[&str], input: &str, code: i32) {
        let run = self.home.mira(MIRA).args(args).stdin_bytes(input);
        run.run().assert_code(code);
    }

    /// Saves secrets, makes instances that are not started, and a token.
    pub(crate) fn fill(&self, secrets: usize, instances: usize) {
        let lines = (0..secrets).map(|n| format!("SECRET_{n}=sk-proj-7Fq2mXv9LrT4bWc8Zn{n}\n"));
        self.mira(&["import", "--yes", "-"], &lines.collect::<String>(), 0);
        let app = self.home.path().join("app");
        fs::create_dir_all(&app).expect("a folder");
        let manifest = "kind: mira.app/v1\nid: org.example.app\nname: app\nversion: 1.0.0\nservices:\n  - {name: idle, command: [sleep, infinity]}\n\
                        secrets: [{name: KEY, required: true}]\n";
        fs::write(app.join("mira.yaml"), manifest).expect("a file");
        let app = app.to_str().expect("a path of ours").to_owned();
        for number in 0..instances {
            let name = format!("app-{number}");
            // Its secret is missing, so it is made and not started.
            self.mira(&["open", &app, "-d", "--name", &name], "", 3);
        }
    }

    /// Makes a token of an admin's, in the home's own database.
    async fn make_token(&self) -> String {
        let home = self.home.mira_home();
        let shared = Shared::open(Location::File(&home)).await.expect("it opens");
        let name = "bench".parse().expect("a name");
        let user = match shared.user_named(&name).await.expect("it answers") {
            Some(user) => user,
            None => {
                let password = SecretBytes::copy_from(b"four words that hold");
                let new = NewUser {
                    password: Some(hash_password(&name, &password).expect("it is good")),
                    name,
                    role: Role::Admin,
                };
                let made = shared.create_user(&new, Timestamp::now()).await;
                made.expect("a user")
            }
        };
        let new = NewApiToken {
            user: &user.id,
            name: "bench",
            scope: TokenScope::Admin,
            expires: None,
        };
        let made = shared.create_api_token(&new, Timestamp::now()).await;
        let token = made.expect("a token").0.expose().to_owned();
        shared.close().await;
        token
    }

    /// Starts a server, with a token for who asks it.
    pub(crate) fn serve(&self) -> Server {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut server = self.begin();
        server.token = runtime.block_on(self.make_token());
        server
    }

    fn begin(&self) -> Server {
        let address = free_address();
        let child = Command::new(MIRA)
            .args(["serve", "--listen", &address.to_string()])
            .env_clear()
            .envs(self.home.env().iter().cloned())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Server::of(child, address, String::new())
    }

    /// Returns how long it takes from the start to the first answer, as a median.
    pub(crate) fn starts(&self, rounds: usize) -> Duration {
        let mut taken = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let begun = Instant::now();
            let server = self.begin();
            server.wait();
            taken.push(begun.elapsed());
        }
        taken.sort_unstable();
        taken.get(rounds / 2).copied().unwrap_or_default()
    }
}

/// Returns an address on loopback that nobody has now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it is bound")
}

impl Server {
    pub(crate) fn of(child: Child, address: SocketAddr, token: String) -> Self {
        let pid = child.id();
        Self {
            address,
            token,
            child: Some(child),
            pid,
        }
    }

    /// Returns the same server, for another client.
    pub(crate) fn reached(&self) -> Self {
        Self {
            address: self.address,
            token: self.token.clone(),
            child: None,
            pid: self.pid,
        }
    }

    /// Waits for the first answer.
    pub(crate) fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.address)?;
            let request = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200"))
        };
        while !ask().unwrap_or(false) {
            assert!(Instant::now() < deadline, "the server did not begin");
            std::thread::yield_now();
        }
    }

    /// Returns the CPU time that it took so far.
    pub(crate) fn cpu(&self) -> Duration {
        let pid = Pid::from_raw(i32::try_from(self.pid).expect("process ids are positive"));
        let now = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
        now.expect("the process runs").into()
    }

    /// Returns the memory that no other process shares.
    pub(crate) fn private_kib(&self) -> u64 {
        let map =
            fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).unwrap_or_default();
        let private = map.lines().filter(|line| line.starts_with("Private_"));
        private
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
