//! Bytes between a program and a host, both ways, as they come.
//!
//! Buffers belong to threads and are used only while bytes are moved, so a connection that waits has none.
//!
//! INVARIANT: of the program's first bytes none goes on before it is checked that, if they are TLS, they name the host.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use mira_package::manifest::Host;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::audit::Entry;
use crate::hello::{self, First};
use crate::policy::Reason;

/// How many bytes are moved at once.
// LIMIT: what a connection keeps at most for each direction whose receiver is slow.
const BUFFER_BYTES: usize = 32 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into());
}

/// With what a tunnel begins on the program's side.
pub(crate) enum Start<'a> {
    /// These bytes, which were checked.
    Checked(BytesMut),
    /// These and those that come; if they are TLS for another host, the tunnel ends within the time that a first message may take.
    Unchecked(BytesMut, &'a Host, Duration),
}

/// Why a tunnel ended before both sides had ended it.
#[derive(Debug)]
pub(crate) enum Ended {
    /// What the program said was not meant for this host.
    Refused(Reason),
    /// A side broke off.
    Broken,
    /// Nothing went through for too long.
    Idle,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// Moves bytes until both sides have said that they send no more.
pub(crate) async fn relay(
    program: &mut TcpStream,
    host: &mut TcpStream,
    start: Start<'_>,
    entry: &Entry,
    idle: Duration,
) -> Result<(), Ended> {
    let moved = Moved::default();
    let ended = {
        let (mut from_program, to_program) = program.split();
        let (from_host, mut to_host) = host.split();
        let up = async {
            let head = match start {
                Start::Checked(head) => head,
                Start::Unchecked(head, host, time) => {
                    // It is large, and over when the first bytes have come.
                    Box::pin(checked(&mut from_program, head, host, time)).await?
                }
            };
            to_host.write_all(&head).await?;
            entry.sent(count(head.len()));
            drop(head);
            let sent = |bytes| entry.sent(moved.add(bytes));
            Copy::new(from_program, to_host, sent).await?;
            Ok(())
        };
        let down = async {
            let received = |bytes| entry.received(moved.add(bytes));
            Copy::new(from_host, to_program, received).await?;
            Ok(())
        };
        let both = async { tokio::try_join!(up, down).map(|_| ()) };
        moved.unless_idle(both, idle).await
    };
    if ended.is_err() {
        // A side that broke off must not look to the other one as if it had ended well. Where it fails, the connection is gone already.
        program.set_zero_linger().ok();
        host.set_zero_linger().ok();
    }
    ended
}

/// Reads the program's first bytes and checks them. Until some come there is no hurry: the host may be the one that speaks first.
async fn checked(
    program: &mut ReadHalf<'_>,
    mut head: BytesMut,
    host: &Host,
    time: Duration,
) -> Result<BytesMut, Ended> {
    if head.is_empty() {
        program.readable().await?;
    }
    let late = |_| Ended::Refused(Reason::Limit("time for the first bytes"));
    match timeout(time, hello::read_tls(program, &mut head))
        .await
        .map_err(late)??
    {
        First::Tls(hello) => hello
            .check(host)
            .and_then(|()| hello.check_open())
            .map_err(Ended::Refused)?,
        First::BadTls => return Err(Ended::Refused(Reason::Malformed("ClientHello"))),
        First::Http | First::Other | First::Nothing => {}
    }
    Ok(head)
}

/// How many bytes were moved, to tell whether any were.
#[derive(Default)]
struct Moved(AtomicU64);

impl Moved {
    fn add(&self, bytes: usize) -> u64 {
        let bytes = count(bytes);
        self.0.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }

    async fn unless_idle(
        &self,
        work: impl Future<Output = Result<(), Ended>>,
        idle: Duration,
    ) -> Result<(), Ended> {
        let mut work = pin!(work);
        // A look now and then costs nothing; a timer that is set anew with each piece would.
        loop {
            let before = self.0.load(Ordering::Relaxed);
            if let Ok(ended) = timeout(idle, work.as_mut()).await {
                return ended;
            }
            if self.0.load(Ordering::Relaxed) == before {
                return Err(Ended::Idle);
            }
        }
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Moves bytes one way until they end, and passes the end on.
struct Copy<'a, F> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    moved: F,
    /// What was read and could not be written yet, from `at` on.
    rest: Vec<u8>,
    at: usize,
    has_ended: bool,
}

impl<'a, F> Copy<'a, F> {
    fn new(from: ReadHalf<'a>, to: WriteHalf<'a>, moved: F) -> Self {
        Self {
            from,
            to,
            moved,
            rest: Vec::new(),
            at: 0,
            has_ended: false,
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.rest.get(self.at..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.to).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += written;
        }
        self.rest = Vec::new();
        self.at = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes what it can of that.
    fn poll_once(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.from).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        if bytes.is_empty() {
            self.has_ended = true;
            return Poll::Ready(Ok(0));
        }
        let written = match Pin::new(&mut self.to).poll_write(cx, bytes) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        self.rest
            .extend_from_slice(bytes.get(written..).unwrap_or_default());
        Poll::Ready(Ok(bytes.len()))
    }
}

impl<F: Fn(usize) + Unpin> Future for Copy<'_, F> {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.rest.is_empty() {
                ready!(this.poll_rest(cx))?;
            }
            if this.has_ended {
                // The other side may be gone already, which is its right once it has what it wanted.
                return Pin::new(&mut this.to).poll_shutdown(cx);
            }
            let once = BUFFER.with_borrow_mut(|buffer| this.poll_once(cx, buffer));
            let bytes = ready!(once)?;
            if bytes > 0 {
                (this.moved)(bytes);
            }
        }
    }
}
