//! The programs: many connections through a proxy, and how long their requests take.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, interval_at, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::origin::Origin;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// An open connection to the origin.
pub(crate) type Sender = SendRequest<Empty<Bytes>>;

/// How programs get to the origin.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) proxy: Option<SocketAddr>,
    /// What the proxy wants to be shown.
    pub(crate) proxy_credentials: Option<HeaderValue>,
    /// What requests carry.
    pub(crate) credentials: HeaderValue,
    pub(crate) path: &'static str,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) origin: SocketAddr,
}

/// What came of a load.
#[derive(Default)]
pub(crate) struct Outcome {
    /// How long each took.
    pub(crate) times: Vec<Duration>,
    pub(crate) failed: usize,
}

/// A proxy that does not answer is not waited for.
const PATIENCE: Duration = Duration::from_secs(20);

impl Route {
    /// Opens a connection: to the proxy, the tunnel in it, TLS and HTTP in that.
    pub(crate) async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(self.proxy.unwrap_or(self.origin)).await?;
        stream.set_nodelay(true)?;
        let stream = match self.proxy {
            Some(_) => self.tunnel(stream).await?,
            None => stream,
        };
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        speak(tls.connect(name, stream).await?).await
    }

    async fn tunnel(&self, stream: TcpStream) -> Result<TcpStream, Failure> {
        let target = format!("localhost:{}", self.origin.port());
        let mut request = Request::connect(&target).header(header::HOST, &target);
        if let Some(credentials) = &self.proxy_credentials {
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?);
        let upgraded = hyper::upgrade::on(response.await?).await?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>();
        let parts = parts.map_err(|_| "it was made of another stream")?;
        Ok(parts.io.into_inner())
    }

    /// Asks for something, and waits for the head of the answer.
    async fn ask(&self, sender: &mut Sender, path: &str) -> Result<Response<Incoming>, Failure> {
        let request = Request::get(path)
            .header(header::HOST, format!("localhost:{}", self.origin.port()))
            .header(header::AUTHORIZATION, &self.credentials)
            .header(header::USER_AGENT, "bench/1.0")
            .header(header::ACCEPT, "application/json")
            .body(Empty::new())?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(format!("the answer is {}", response.status()).into()),
        }
    }

    /// Makes one request, to its end.
    pub(crate) async fn request(&self, sender: &mut Sender) -> Result<(), Failure> {
        let answer = self.ask(sender, self.path).await?;
        answer.into_body().collect().await?;
        Ok(())
    }

    /// Opens connections, each of which has had a request.
    pub(crate) async fn connections(&self, number: usize) -> Result<Vec<Sender>, Failure> {
        let mut all = Vec::new();
        for _ in 0..number {
            let mut sender = self.connect().await?;
            self.request(&mut sender).await?;
            all.push(sender);
        }
        Ok(all)
    }

    /// Makes requests on each connection for a time: as fast as it goes, or one with each tick.
    pub(crate) async fn requests(
        &self,
        connections: &mut [Sender],
        time: Duration,
        tick: Option<Duration>,
    ) -> Outcome {
        let end = Instant::now() + time;
        let number = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let each = (0..number)
            .zip(connections)
            .map(|(place, sender)| async move {
                let mut outcome = Outcome::default();
                // One after the other rather than all at once.
                let first = |tick| tokio::time::Instant::now() + tick * place / number;
                let mut ticks = tick.map(|tick| interval_at(first(tick), tick));
                if let Some(ticks) = &mut ticks {
                    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                }
                while Instant::now() < end {
                    if let Some(ticks) = &mut ticks {
                        ticks.tick().await;
                    }
                    outcome.add(self.request(sender)).await;
                    if sender.is_closed() {
                        match self.connect().await {
                            Ok(again) => *sender = again,
                            Err(_) => return outcome,
                        }
                    }
                }
                outcome
            });
        Outcome::join(futures_util::future::join_all(each).await)
    }

    /// Opens connections one after the other on each of some lanes, with one request each, for a time.
    pub(crate) async fn new_connections(&self, lanes: usize, time: Duration) -> Outcome {
        let end = Instant::now() + time;
        let each = (0..lanes).map(|_| async move {
            let mut outcome = Outcome::default();
            while Instant::now() < end {
                let one = async {
                    let mut sender = self.connect().await?;
                    self.request(&mut sender).await
                };
                outcome.add(one).await;
            }
            outcome
        });
        Outcome::join(futures_util::future::join_all(each).await)
    }

    /// Returns how long an event takes from the origin's write to the program.
    pub(crate) async fn event(&self, origin: &Origin) -> Result<Duration, Failure> {
        let mut sender = self.connect().await?;
        let answer = self.ask(&mut sender, "/events").await?;
        origin.say();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let piece = frame?.into_data().unwrap_or_default();
            if let Some(time) = origin.since(&piece) {
                return Ok(time);
            }
        }
        Err("no event came".into())
    }
}

async fn speak<I>(io: I) -> Result<Sender, Failure>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Outcome {
    /// Does something and keeps how long it took.
    async fn add(&mut self, work: impl Future<Output = Result<(), Failure>>) {
        let began = Instant::now();
        match timeout(PATIENCE, work).await {
            Ok(Ok(())) => self.times.push(began.elapsed()),
            Ok(Err(_)) | Err(_) => self.failed += 1,
        }
    }

    fn join(all: Vec<Self>) -> Self {
        let mut whole = Self::default();
        for one in all {
            whole.times.extend(one.times);
            whole.failed += one.failed;
        }
        whole.times.sort_unstable();
        whole
    }

    /// Returns what this part of all, in percent, did not take longer than, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let place = self.times.len() * percent / 100;
        let time = self.times.get(place).or(self.times.last());
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// Waits until a proxy takes connections.
pub(crate) async fn wait_for(address: SocketAddr) -> bool {
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut ticks = interval(Duration::from_millis(20));
    let up = async {
        while TcpStream::connect(address).await.is_err() {
            ticks.tick().await;
        }
    };
    timeout_at(until, up).await.is_ok()
}
