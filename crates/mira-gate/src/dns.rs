//! The answerer of look-ups inside of a room: it gives each name an address of our own, and sends no query on.
//!
//! A name that nothing allows gets its address too, so that the connection to it arrives at the gate and is refused there with a text that says why;
//! the look-up is in the record. Everything that could carry data, such as `TXT`, is answered with no and recorded.
//!
//! INVARIANT: nothing that is asked here leaves the machine: there is no resolver behind it. What is not recorded is not answered.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use mira_package::manifest::{DEFAULT_PORT, Host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::audit::{Attempt, Audit, How};
use crate::names::{Names, Standing};
use crate::owner::{Owner, Transport};
use crate::policy::{Policy, Reason, Verdict};

/// How long a program may keep an answer, in seconds. The address stays; whether the name may be called may change, and then its next look-up is recorded.
const TTL_SECONDS: u32 = 10;

/// The longest query, in bytes.
// LIMIT: a name, a question and what EDNS adds fit into 512 bytes; more is no query of ours.
const QUERY_BYTES_MAX: usize = 2048;

/// How much a client may send over UDP, by EDNS.
// LIMIT: what no network cuts to pieces, as DNS flag day 2020 chose it; our answers are smaller.
const PAYLOAD_BYTES_MAX: u16 = 1232;

/// How many connections are served at once.
// LIMIT: each costs a few KiB; clients use TCP only where UDP did not do, and then briefly.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take over one query and its answer.
// LIMIT: a client of this machine sends a query at once.
const QUERY_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a refused look-up of a name is not recorded again.
// LIMIT: a program that tries again and again is one line a minute.
const RECORD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How many look-ups are remembered as recorded.
// LIMIT: a megabyte at worst; beyond that the record has one more line than it needs.
const RECORDED_MAX: usize = 4096;

/// How long to wait when the system cannot give a query or a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// From where a query came.
type Asker = (Transport, SocketAddr);

/// Answers look-ups.
pub(crate) struct Answerer {
    names: Arc<Names>,
    audit: Audit,
    policy: Box<dyn Fn() -> Arc<Policy> + Send + Sync>,
    owner: Owner,
    recorded: Mutex<HashMap<String, Instant>>,
}

impl Answerer {
    /// Makes one that gives out these names' addresses and judges by the policy of the moment.
    pub(crate) fn new(
        names: Arc<Names>,
        audit: Audit,
        policy: impl Fn() -> Arc<Policy> + Send + Sync + 'static,
        owner: Owner,
    ) -> Self {
        Self {
            names,
            audit,
            policy: Box::new(policy),
            owner,
            recorded: Mutex::default(),
        }
    }

    /// Returns the answer to a query that came from there, or nothing for what is none.
    async fn answer(&self, query: &[u8], from: Asker) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&query.metadata);
        answer.metadata.recursion_available = true;
        if query.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD_BYTES_MAX);
            answer.set_edns(edns);
        }
        answer.metadata.response_code = match (query.metadata.op_code, &*query.queries) {
            (OpCode::Query, [question]) => {
                answer.add_query(question.clone());
                let (code, data) = self.resolve(question, from).await;
                let record =
                    data.map(|data| Record::from_rdata(question.name.clone(), TTL_SECONDS, data));
                answer.add_answers(record);
                code
            }
            (OpCode::Query, _) => ResponseCode::FormErr,
            _ => ResponseCode::NotImp,
        };
        answer.to_vec().ok()
    }

    async fn resolve(&self, question: &Query, from: Asker) -> (ResponseCode, Option<RData>) {
        let name = question.name.to_ascii();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let refuse = async |kind: &str, reason: Reason, code: ResponseCode| {
            let recorded = self.record(name, kind, reason, from).await;
            (recorded.map_or(ResponseCode::ServFail, |()| code), None)
        };
        let kind = kind(question);
        if question.query_class != DNSClass::IN {
            return refuse(&kind, Reason::NotListed, ResponseCode::NotImp).await;
        }
        let is_address = match question.query_type {
            RecordType::A => true,
            // There are none: programs go on with the IPv4 address, and without QUIC and encrypted hellos.
            RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB => false,
            RecordType::ANY | RecordType::AXFR | RecordType::IXFR => {
                return refuse(&kind, Reason::NotListed, ResponseCode::NotImp).await;
            }
            _ => return refuse(&kind, Reason::NotListed, ResponseCode::NXDomain).await,
        };
        let Some(host @ Host::Name(_)) = Host::requested(name) else {
            return refuse(&kind, Reason::NotAHost, ResponseCode::NXDomain).await;
        };
        if question.name.is_localhost() {
            return (ResponseCode::NoError, localhost(question.query_type));
        }
        let policy = (self.policy)();
        let standing = Standing::of(&policy, &host);
        if standing == Standing::Unlisted {
            let reason = match policy.decide(&host, DEFAULT_PORT) {
                Verdict::Refused(reason) => reason,
                Verdict::Allowed(_) => Reason::NotListed,
            };
            if self.record(name, &kind, reason, from).await.is_err() {
                return (ResponseCode::ServFail, None);
            }
        }
        if !is_address {
            return (ResponseCode::NoError, None);
        }
        match self.names.address(&host.to_string(), standing) {
            Some(address) => (ResponseCode::NoError, Some(RData::A(A(address)))),
            None => refuse(&kind, Reason::Limit("names"), ResponseCode::NXDomain).await,
        }
    }

    /// Records a refused look-up, unless it was a moment ago.
    async fn record(&self, name: &str, kind: &str, reason: Reason, from: Asker) -> io::Result<()> {
        // Programs ask for both addresses of a name at once; that is one look-up.
        let key = match kind {
            "A" | "AAAA" | "HTTPS" | "SVCB" => name.to_ascii_lowercase(),
            _ => format!("{} {kind}", name.to_ascii_lowercase()),
        };
        let now = Instant::now();
        let is_fresh = |recorded: &Instant| now.duration_since(*recorded) < RECORD_AGAIN_AFTER;
        if self.recorded().get(&key).is_some_and(is_fresh) {
            return Ok(());
        }
        let (by, from) = from;
        let service = self.owner.of(by, from).await;
        self.audit.refused(&Attempt {
            service: service.as_deref(),
            host: name,
            address: None,
            port: 53,
            how: How::Lookup(kind),
            verdict: &Verdict::Refused(reason),
        })?;
        let mut recorded = self.recorded();
        if recorded.len() >= RECORDED_MAX {
            recorded.retain(|_, recorded| is_fresh(recorded));
        }
        if recorded.len() >= RECORDED_MAX {
            recorded.clear();
        }
        recorded.insert(key, now);
        Ok(())
    }

    fn recorded(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answerer")
    }
}

/// Returns what is asked for, as the record says it.
fn kind(question: &Query) -> String {
    let kind = match question.query_type {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        kind => kind.to_string(),
    };
    match question.query_class {
        DNSClass::IN => kind,
        class => format!("{class} {kind}"),
    }
}

/// Returns the room's own loopback address, which is what a name below `localhost` means (RFC 6761).
fn localhost(kind: RecordType) -> Option<RData> {
    match kind {
        RecordType::A => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
        RecordType::AAAA => Some(RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        _ => None,
    }
}

/// Answers over UDP, until it is dropped.
pub(crate) async fn serve_udp(socket: UdpSocket, answerer: Arc<Answerer>) -> Infallible {
    let mut query = vec![0; QUERY_BYTES_MAX + 1];
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        let Ok((len, client)) = socket.recv_from(&mut query).await else {
            pause.tick().await;
            continue;
        };
        let query = query.get(..len).filter(|_| len <= QUERY_BYTES_MAX);
        let Some(query) = query else { continue };
        if let Some(answer) = answerer.answer(query, (Transport::Udp, client)).await {
            // Who does not get it asks again.
            socket.send_to(&answer, client).await.ok();
        }
    }
}

/// Answers over TCP, until it is dropped.
pub(crate) async fn serve_tcp(listener: TcpListener, answerer: Arc<Answerer>) -> Infallible {
    let mut connections = JoinSet::new();
    let mut pause = tokio::time::interval(PAUSE);
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, client)) => {
                let (answerer, from) = (Arc::clone(&answerer), (Transport::Tcp, client));
                connections
                    .spawn(async move { serve_connection(stream, from, &answerer).await.ok() });
            }
            Err(_) => {
                pause.tick().await;
            }
        }
    }
}

/// Answers the queries of a connection until it ends, is too slow, or says what is no query.
async fn serve_connection(
    mut stream: TcpStream,
    from: Asker,
    answerer: &Answerer,
) -> io::Result<()> {
    loop {
        timeout(QUERY_TIME_MAX, serve_query(&mut stream, from, answerer)).await??;
    }
}

async fn serve_query(stream: &mut TcpStream, from: Asker, answerer: &Answerer) -> io::Result<()> {
    let len = usize::from(stream.read_u16().await?);
    if len > QUERY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut query = vec![0; len];
    stream.read_exact(&mut query).await?;
    let answer = answerer.answer(&query, from).await;
    let answer = answer.ok_or(io::ErrorKind::InvalidData)?;
    let len = u16::try_from(answer.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&len.to_be_bytes(), &*answer].concat())
        .await
}

#[cfg(test)]
mod tests;
