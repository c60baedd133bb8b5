//! What a webhook costs the server that takes it, in processor time, over HTTP on loopback: signed and durable, and wrongly signed.
//!
//! Beside it, with `--peers FOLDER`, a receiver in Python (uvicorn, no framework) that checks the signature and keeps nothing. The requests come from
//! a process of its own, some at a time.

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

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A receiver that only checks.
const RECEIVER: &str = r#"
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

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["client", address, how] => runtime.block_on(client(address.parse()?, how)),
        other => {
            let mut rest = other.iter().skip_while(|word| **word != "--peers");
            runtime.block_on(measure(rest.nth(1).map(Path::new)))
        }
    }
}

async fn measure(peers: Option<&Path>) -> Result<(), Failure> {
    let mut out = io::stdout();
    let size = BODY_BYTES / 1024;
    writeln!(
        out,
        "microseconds of the server's processor time for a webhook of {size} KiB, mean of {REQUESTS}\n"
    )?;
    writeln!(out, "{:<32} {:>9} {:>10}", "", "processor", "requests/s")?;
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
    row("Mira, signed and durable", address, "signed", processor_s).await?;
    row("Mira, wrongly signed", address, "wrong", processor_s).await?;
    let Some(peers) = peers else { return Ok(()) };
    let receiver = Receiver::start(peers).await?;
    let spent = || receiver.processor_s();
    row(
        "uvicorn, signed and not kept",
        receiver.address,
        "signed",
        spent,
    )
    .await?;
    row("uvicorn, wrongly signed", receiver.address, "wrong", spent).await
}

async fn row(
    title: &str,
    address: SocketAddr,
    how: &str,
    spent: impl Fn() -> f64,
) -> Result<(), Failure> {
    let (begun, before) = (Instant::now(), spent());
    let program = std::env::current_exe()?;
    let mut client = Command::new(program)
        .args(["client", &address.to_string(), how])
        .spawn()?;
    let ended = tokio::task::spawn_blocking(move || client.wait()).await??;
    if !ended.success() {
        return Err(format!("{title}: not all were answered as they should be").into());
    }
    let each = (spent() - before) / REQUESTS as f64 * 1e6;
    let rate = REQUESTS as f64 / begun.elapsed().as_secs_f64();
    writeln!(io::stdout(), "{title:<32} {each:>9.1} {rate:>10.0}")?;
    Ok(())
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
            let http = hyper::server::conn::http1::Builder::new();
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

/// Sends the requests, and checks the answers.
async fn client(address: SocketAddr, how: &str) -> Result<(), Failure> {
    let part = r#"{"login":"octocat","id":583231,"site_admin":false},"#;
    let parts = part.repeat(BODY_BYTES / part.len());
    let body = format!(
        r#"{{"action":"opened","repository":{{"id":5,"full_name":"octo/repo"}},"pull_request":{{"number":3,"parts":[{parts}0]}}}}"#
    );
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
            for number in 0..REQUESTS / CONNECTIONS {
                let request = Request::post("/webhooks/github")
                    .header("host", "localhost")
                    .header("x-github-event", "pull_request")
                    .header("x-github-delivery", format!("{connection}-{number}"))
                    .header("x-hub-signature-256", &signature)
                    .body(Full::new(body.clone()))?;
                sender.ready().await?;
                let answer = sender.send_request(request).await?;
                if answer.status() != expect {
                    return Err(Failure::from(answer.status().to_string()));
                }
                answer.into_body().collect().await?;
            }
            Ok::<_, Failure>(())
        });
    }
    connections.join_all().await.into_iter().collect()
}

/// The receiver in Python, ended with it.
struct Receiver {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Receiver {
    async fn start(peers: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("receiver.py"), RECEIVER)?;
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
