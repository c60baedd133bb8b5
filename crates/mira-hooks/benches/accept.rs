//! What a webhook costs the server that takes it, over HTTP on loopback: processor time and waiting, signed and durable, and wrongly signed; and
//! the memory that the largest bodies add which nobody has signed.
//!
//! Beside it, with `--peers FOLDER`, two receivers in Python that check the signature and keep nothing, under uvicorn: one without a framework, one
//! of FastAPI's. The requests come from a process of its own, some at a time.

use std::convert::Infallible;
use std::future::ready;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mira_hooks::{Endpoint, Ingress, IngressOptions, Later, Secrets, Targets, WebhookSecret, sign};
use mira_secret::SecretBytes;
use mira_store::{Location, Shared};
use mira_testkit::home::TestHome;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How many requests are measured.
const REQUESTS: usize = 4_000;

/// How many connections there are at once.
const CONNECTIONS: usize = 16;

/// As large as an event of a pull request.
const BODY_BYTES: usize = 24 * 1024;

/// As large as a body may be.
const LARGE_BYTES: usize = 25 * 1024 * 1024;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A receiver that only checks, and uses nothing but what every server of the kind gives.
const BARE: &str = r#"
import hashlib, hmac
SECRET = b"0123456789abcdef0123456789abcdef"
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    given = dict(scope["headers"]).get(b"x-hub-signature-256", b"").decode("latin-1")
    right = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    status = 202 if hmac.compare_digest(given, right) else 401
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
"#;

/// The same as it is usually written.
const FASTAPI: &str = r#"
import hashlib, hmac
from fastapi import FastAPI, Request, Response
SECRET = b"0123456789abcdef0123456789abcdef"
app = FastAPI()
@app.post("/webhooks/github")
async def take(request: Request):
    body = await request.body()
    given = request.headers.get("x-hub-signature-256", "")
    right = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return Response(status_code=202 if hmac.compare_digest(given, right) else 401)
"#;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["client", address, how] => runtime.block_on(client(address.parse()?, how)),
        ["flood", address, how, at_once] => flood(address.parse()?, how, at_once.parse()?),
        other => {
            let mut rest = other.iter().skip_while(|word| **word != "--peers");
            runtime.block_on(measure(rest.nth(1).map(Path::new)))
        }
    }
}

async fn measure(peers: Option<&Path>) -> Result<(), Failure> {
    let home = TestHome::new();
    let shared = Shared::open(Location::File(&home.mira_home())).await?;
    let secret = WebhookSecret {
        name: "MIRA_WEBHOOK_SECRET".to_owned(),
        value: SecretBytes::copy_from(SECRET),
        is_previous: false,
    };
    let mut options = IngressOptions::new(home.mira_home());
    options.deliveries_max = u64::MAX;
    let ingress = Arc::new(Ingress::new(
        shared,
        Secrets::new([(None, secret)])?,
        Arc::new(Somebody),
        None,
        Arc::new(Notify::new()),
        options,
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener, ingress));
    memory(address).await?;
    writeln!(
        io::stdout(),
        "\na webhook of {} KiB: microseconds of the server's processor time, mean of {REQUESTS}; milliseconds until the answer, of {CONNECTIONS} clients at once\n\n\
         {:<32} {:>9} {:>7} {:>7} {:>10}",
        BODY_BYTES / 1024,
        "",
        "processor",
        "p50",
        "p99",
        "requests/s"
    )?;
    row("Mira, signed and durable", address, "signed", processor_s).await?;
    row("Mira, wrongly signed", address, "wrong", processor_s).await?;
    let Some(peers) = peers else { return Ok(()) };
    for (peer, program) in [("uvicorn", BARE), ("FastAPI", FASTAPI)] {
        let receiver = Receiver::start(peers, program).await?;
        let spent = || receiver.processor_s();
        for (title, how) in [
            ("signed and not kept", "signed"),
            ("wrongly signed", "wrong"),
        ] {
            row(&format!("{peer}, {title}"), receiver.address, how, spent).await?;
        }
    }
    Ok(())
}

async fn row(
    title: &str,
    address: SocketAddr,
    how: &str,
    spent: impl Fn() -> f64,
) -> Result<(), Failure> {
    let (begun, before) = (Instant::now(), spent());
    let program = std::env::current_exe()?;
    let client = Command::new(program)
        .args(["client", &address.to_string(), how])
        .stdout(Stdio::piped())
        .spawn()?;
    let ended = tokio::task::spawn_blocking(move || client.wait_with_output()).await??;
    if !ended.status.success() {
        return Err(format!("{title}: not all were answered as they should be").into());
    }
    let each = (spent() - before) / REQUESTS as f64 * 1e6;
    let rate = REQUESTS as f64 / begun.elapsed().as_secs_f64();
    let waited = String::from_utf8(ended.stdout)?;
    writeln!(
        io::stdout(),
        "{title:<32} {each:>9.1} {waited:>15} {rate:>10.0}"
    )?;
    Ok(())
}

/// Tells what bodies of nobody add to the memory of this process, which is the server's.
async fn memory(address: SocketAddr) -> Result<(), Failure> {
    writeln!(
        io::stdout(),
        "KiB of memory that bodies of 25 MiB add at most, which nobody has signed\n"
    )?;
    // What the first request of each kind makes once is not theirs.
    for how in ["unsigned", "wrong"] {
        flooded(address, how, 1).await?;
    }
    for (title, how, at_once) in [
        ("no signature", "unsigned", 1),
        ("no signature, 16 at once", "unsigned", 16),
        ("wrong signature", "wrong", 1),
        ("wrong signature, 16 at once", "wrong", 16),
    ] {
        // proc(5), `clear_refs`: the peak begins anew.
        std::fs::write("/proc/self/clear_refs", "5")?;
        let before = memory_kib("VmHWM:");
        flooded(address, how, at_once).await?;
        let added = memory_kib("VmHWM:").saturating_sub(before);
        writeln!(io::stdout(), "{title:<32} {added:>9}")?;
    }
    Ok(())
}

async fn flooded(address: SocketAddr, how: &str, at_once: usize) -> Result<(), Failure> {
    let mut client = Command::new(std::env::current_exe()?)
        .args(["flood", &address.to_string(), how, &at_once.to_string()])
        .spawn()?;
    let ended = tokio::task::spawn_blocking(move || client.wait()).await??;
    match ended.success() {
        true => Ok(()),
        false => Err("a large body was not refused".into()),
    }
}

/// Returns a line of proc(5), `status`.
fn memory_kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Sends large bodies, and wants each refused.
fn flood(address: SocketAddr, how: &str, at_once: usize) -> Result<(), Failure> {
    let signature = match how {
        "wrong" => format!("x-hub-signature-256: sha256={}\r\n", "0".repeat(64)),
        _ => String::new(),
    };
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGE_BYTES}\r\n{signature}\r\n"
    );
    let send = || {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.write_all(head.as_bytes())?;
        let part = vec![b' '; 64 * 1024];
        for _ in 0..LARGE_BYTES / part.len() {
            // Who is refused before the end may find the connection closed.
            if stream.write_all(&part).is_err() {
                break;
            }
        }
        let mut answer = [0; 12];
        match io::Read::read_exact(&mut stream, &mut answer) {
            Ok(()) if answer != *b"HTTP/1.1 401" => Err(io::Error::other("it was not refused")),
            _ => Ok(()),
        }
    };
    std::thread::scope(|scope| {
        let sending: Vec<_> = (0..at_once).map(|_| scope.spawn(send)).collect();
        let mut ended = sending.into_iter().map(|one| one.join());
        ended.try_for_each(|one| Ok(one.map_err(|_| "it panicked")??))
    })
}

/// One that wants everything, and is not there.
#[derive(Debug)]
struct Somebody;

impl Targets for Somebody {
    fn wanting<'a>(&'a self, _: &'a str) -> Later<'a, Result<Vec<String>, String>> {
        Box::pin(ready(Ok(vec!["org.example.app/app".to_owned()])))
    }

    fn here(&self) -> Later<'_, Result<Vec<String>, String>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn endpoint<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> Later<'a, Result<Option<Endpoint>, String>> {
        Box::pin(ready(Ok(None)))
    }
}

async fn serve(listener: TcpListener, ingress: Arc<Ingress>) {
    while let Ok((stream, _)) = listener.accept().await {
        let ingress = Arc::clone(&ingress);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&ingress), request));
            // As the desk has it.
            let mut http = hyper::server::conn::http1::Builder::new();
            http.max_buf_size(64 * 1024);
            // How it ends is the client's affair.
            http.serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn answer(
    ingress: Arc<Ingress>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let answer = ingress.take(&head.headers, from, body).await;
    let mut response = Response::new(Full::from(answer.words));
    *response.status_mut() = answer.status;
    Ok(response)
}

/// What GitHub's objects link to.
const LINKS: [&str; 14] = [
    "followers",
    "following",
    "gists",
    "starred",
    "subscriptions",
    "organizations",
    "repos",
    "events",
    "received_events",
    "hooks",
    "issues",
    "pulls",
    "comments",
    "commits",
];

/// Makes a content that is as hard to read and to pack as an event of a pull request: of those in GitHub's examples 12 % is left, and of this one.
fn body() -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut parts = String::new();
    while parts.len() < BODY_BYTES {
        let (id, commit) = (random.u32(..), random.u128(..));
        let link = |link| {
            let of = random.u8(..32);
            format!(r#""{link}_url":"https://api.github.com/repos/octo/repo/{link}/{of}","#)
        };
        let links: String = LINKS.into_iter().map(link).collect();
        parts.push_str(&format!(
            r#"{{"login":"octocat","id":{id},"sha":"{commit:032x}{id:08x}",{links}"site_admin":false,"score":null}},"#
        ));
    }
    format!(
        r#"{{"action":"opened","repository":{{"id":5,"full_name":"octo/repo"}},"pull_request":{{"number":3,"parts":[{parts}0]}}}}"#
    )
}

/// Sends the requests, checks the answers, and writes how long they took.
async fn client(address: SocketAddr, how: &str) -> Result<(), Failure> {
    let body = body();
    let (signed, expect) = match how {
        "signed" => (body.as_bytes(), 202),
        _ => (b"something else".as_slice(), 401),
    };
    let signature = sign(&SecretBytes::copy_from(SECRET), signed);
    let body = Bytes::from(body);
    let mut connections = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (body, signature) = (body.clone(), signature.clone());
        connections.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = TokioIo::new(stream);
            let (mut sender, talk) = hyper::client::conn::http1::handshake(stream).await?;
            tokio::spawn(talk);
            let mut waited = Vec::new();
            for number in 0..REQUESTS / CONNECTIONS {
                let request = Request::post("/webhooks/github")
                    .header("host", "localhost")
                    .header("x-github-event", "pull_request")
                    .header("x-github-delivery", format!("{connection}-{number}"))
                    .header("x-hub-signature-256", &signature)
                    .body(Full::new(body.clone()))?;
                sender.ready().await?;
                let begun = Instant::now();
                let answer = sender.send_request(request).await?;
                if answer.status() != expect {
                    return Err(Failure::from(answer.status().to_string()));
                }
                answer.into_body().collect().await?;
                waited.push(begun.elapsed());
            }
            Ok::<_, Failure>(waited)
        });
    }
    let all: Result<Vec<_>, Failure> = connections.join_all().await.into_iter().collect();
    let mut all = all?.concat();
    all.sort();
    let of = |share: usize| {
        let one = all.get(all.len() * share / 100).copied();
        one.unwrap_or_default().as_secs_f64() * 1e3
    };
    write!(io::stdout(), "{:>7.1} {:>7.1}", of(50), of(99))?;
    Ok(())
}

/// A receiver in Python, ended with it.
struct Receiver {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Receiver {
    async fn start(peers: &Path, program: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("receiver.py"), program)?;
        // It stays free for the moment until it is taken again.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let child = Command::new(peers.join("python/bin/uvicorn"))
            .current_dir(folder.path())
            .args(["receiver:app", "--no-access-log", "--log-level", "error"])
            .args(["--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        let receiver = Self {
            child,
            address,
            _folder: folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if begun.elapsed().as_secs() > 30 {
                return Err("uvicorn does not listen".into());
            }
            tokio::task::yield_now().await;
        }
        Ok(receiver)
    }

    /// Returns the processor time that it has taken, in seconds, as Linux tells (proc(5), `stat`: utime and stime, in hundredths).
    fn processor_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let times = fields.skip(11).take(2);
        let ticks: f64 = times.filter_map(|field| field.parse::<f64>().ok()).sum();
        ticks / 100.0
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // One that has ended needs no end.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the processor time of all threads of this process, in seconds.
fn processor_s() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let whole = std::time::Duration::from_secs(spent.tv_sec.unsigned_abs());
    let rest = std::time::Duration::from_nanos(spent.tv_nsec.unsigned_abs());
    (whole + rest).as_secs_f64()
}
