//! Proxies, each started as its manual says, with no log and nothing kept: the gate, and others as far as they are installed.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use data_encoding::BASE64;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::origin::Origin;
use crate::{PLACEHOLDER, VALUE};

/// Who nobody is: a daemon that is started by root runs as this one.
const NOBODY: u32 = 65_534;

/// How to start a proxy again and again.
pub(crate) type Start = Box<dyn Fn(&Origin) -> Proxy>;

/// A proxy that runs, until it is dropped.
pub(crate) struct Proxy {
    child: Child,
    _input: Option<ChildStdin>,
    _folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Option<HeaderValue>,
    /// By which it speaks in the place of hosts, if not by the bench's own authority.
    pub(crate) authority: Option<CertificateDer<'static>>,
}

impl Proxy {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts the gate.
pub(crate) fn ours(origin: &Origin, is_brokered: bool) -> Proxy {
    let folder = folder();
    let root = write(&folder, "root.pem", &origin.authority_pem);
    let program = std::env::current_exe().expect("the system knows it");
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "--allow",
            &format!("localhost:{}", origin.address.port()),
        ])
        .arg("--root")
        .arg(root)
        .arg("--record")
        .arg(folder.path().join("record"))
        .stdin(Stdio::piped());
    if is_brokered {
        command.args(["--placeholder", PLACEHOLDER]);
    }
    let (child, mut lines) = start(&mut command);
    let mut proxy = Proxy {
        child,
        _input: None,
        _folder: folder,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        credentials: None,
        authority: None,
    };
    let mut input = proxy.child.stdin.take().expect("it was piped just above");
    writeln!(input, "{VALUE}").expect("the gate reads it");
    proxy._input = Some(input);
    let url = line(&mut lines);
    let shown = url
        .strip_prefix("http://")
        .and_then(|url| url.split_once('@'));
    let (shown, address) = shown.expect("the address has a token");
    let basic = format!("Basic {}", BASE64.encode(shown.as_bytes()));
    proxy.credentials = Some(basic.parse().expect("it is plain text"));
    proxy.address = address.trim().parse().expect("it is an address");
    let mut pem = String::new();
    while !pem.contains("END CERTIFICATE") {
        pem.push_str(&line(&mut lines));
    }
    proxy.authority = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    proxy
}

/// A proxy's name, and how to start it, where it is installed.
pub(crate) type Peer = (&'static str, Option<Start>);

/// Returns the proxies that pass tunnels on without looking into them.
pub(crate) fn tunnelling() -> Vec<Peer> {
    let tinyproxy = find(&["/usr/bin", "/usr/local/bin"], "tinyproxy").map(|program| {
        boxed(move |_| {
            let (folder, port) = (folder(), free_port());
            let config = format!(
                "Listen 127.0.0.1\nPort {port}\nMaxClients 2000\nTimeout 600\nLogLevel Critical\nLogFile \"{}\"\n",
                folder.path().join("log").display()
            );
            let config = write(&folder, "tinyproxy.conf", &config);
            let mut command = daemon(&program);
            command.arg("-d").arg("-c").arg(config);
            quiet(&mut command, folder, port)
        })
    });
    let squid = find(&["/usr/sbin", "/usr/local/sbin"], "squid").map(|program| {
        boxed(move |_| {
            let (folder, port) = (folder(), free_port());
            let config = format!(
                "http_port 127.0.0.1:{port}\nhttp_access allow all\naccess_log none\ncache_log /dev/null\n\
                 cache deny all\ncache_mem 0\npid_filename none\nshutdown_lifetime 0 seconds\n\
                 coredump_dir none\npinger_enable off\n"
            );
            let config = write(&folder, "squid.conf", &config);
            let mut command = daemon(&program);
            command.arg("-N").arg("-f").arg(config);
            quiet(&mut command, folder, port)
        })
    });
    vec![("tinyproxy", tinyproxy), ("squid", squid)]
}

/// Returns the proxies that look into connections and put the value in.
pub(crate) fn intercepting(installed: &Path) -> Vec<Peer> {
    let program = installed.join("hudsucker/release/hudsucker-peer");
    let hudsucker = program.is_file().then(|| {
        boxed(move |origin| {
            let folder = folder();
            let mut command = Command::new(&program);
            command
                .arg(write(&folder, "ca.pem", &origin.authority_pem))
                .arg(write(&folder, "ca.key", &origin.authority_key_pem))
                .args([PLACEHOLDER, VALUE]);
            let (child, mut lines) = start(&mut command);
            let port: u16 = line(&mut lines).trim().parse().expect("it prints its port");
            proxy(child, folder, port)
        })
    });
    let program = installed.join("python/bin/mitmdump");
    let mitmproxy = program.is_file().then(|| {
        boxed(move |origin| {
            let (folder, port) = (folder(), free_port());
            let root = write(&folder, "root.pem", &origin.authority_pem);
            let own = format!("{}{}", origin.authority_key_pem, origin.authority_pem);
            write(&folder, "mitmproxy-ca.pem", &own);
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gate/mitmproxy.py");
            let mut command = Command::new(&program);
            command
                .args(["--quiet", "--listen-host", "127.0.0.1"])
                .args(["--listen-port", &port.to_string(), "--scripts"])
                .arg(script);
            for (name, value) in [
                ("confdir", folder.path().display().to_string()),
                ("ssl_verify_upstream_trusted_ca", root.display().to_string()),
                ("placeholder", PLACEHOLDER.to_owned()),
                ("value", VALUE.to_owned()),
            ] {
                command.arg("--set").arg(format!("{name}={value}"));
            }
            quiet(&mut command, folder, port)
        })
    });
    vec![("hudsucker", hudsucker), ("mitmproxy", mitmproxy)]
}

fn boxed(start: impl Fn(&Origin) -> Proxy + 'static) -> Start {
    Box::new(start)
}

fn find(folders: &[&str], program: &str) -> Option<PathBuf> {
    let mut places = folders.iter().map(|folder| Path::new(folder).join(program));
    places.find(|file| file.is_file())
}

fn daemon(program: &Path) -> Command {
    let mut command = Command::new(program);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // What runs as nobody reads its settings there.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), open).expect("it is ours");
    folder
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    fs::write(&file, text).expect("a file in our folder");
    file
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    listener.local_addr().expect("it is bound").port()
}

/// Starts a proxy that says nothing.
fn quiet(command: &mut Command, folder: tempfile::TempDir, port: u16) -> Proxy {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.stderr(Stdio::null()).spawn();
    proxy(child.expect("the program was found"), folder, port)
}

fn proxy(child: Child, folder: tempfile::TempDir, port: u16) -> Proxy {
    Proxy {
        child,
        _input: None,
        _folder: folder,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        credentials: None,
        authority: None,
    }
}

/// Starts a proxy that says on which port it is.
fn start(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the program was found");
    let output = child.stdout.take().expect("it was piped just above");
    (child, BufReader::new(output))
}

fn line(lines: &mut impl BufRead) -> String {
    let mut text = String::new();
    lines.read_line(&mut text).expect("the proxy speaks");
    assert!(!text.is_empty(), "the proxy has ended");
    text
}
