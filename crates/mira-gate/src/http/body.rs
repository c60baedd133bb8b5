//! Bodies on their way: of requests, which are searched for placeholders, and of answers, from which values are taken out. Both stream, frame by frame.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;

use super::Ended;
use super::pool::{At, Origin, Sender};
use crate::audit::Entry;
use crate::broker::{Scrubbed, Watch};
use crate::policy::Reason;
use crate::shared::Current;

/// One request with its answer; its row ends when both are through.
pub(crate) struct Exchange {
    pub(crate) entry: Entry,
    pub(crate) current: Arc<Current>,
    /// Why it was ended after it had begun.
    refused: OnceLock<Reason>,
    /// Whether its connection was.
    ended: Arc<Ended>,
}

impl Exchange {
    pub(crate) fn new(entry: Entry, current: Arc<Current>, ended: Arc<Ended>) -> Arc<Self> {
        Arc::new(Self {
            entry,
            current,
            refused: OnceLock::new(),
            ended,
        })
    }

    /// Records that it is ended, and why.
    pub(crate) fn refuse(&self, reason: Reason) {
        self.entry.refuse(&reason);
        // Who comes second has nothing to add.
        self.refused.set(reason).ok();
    }

    /// Records where it is sent.
    pub(crate) fn led_to(&self, sender: &Sender) {
        if let Some(address) = sender.address() {
            self.entry.led_to(address);
        }
    }

    /// Returns why it was ended, if it was.
    pub(crate) fn refused(&self) -> Option<&Reason> {
        self.refused.get()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(reason) = self.ended.reason() {
            self.entry.refuse(reason);
        }
    }
}

/// The body of a request, on its way to the host.
pub(crate) struct Outgoing {
    exchange: Arc<Exchange>,
    body: Option<Incoming>,
    /// What was read of it already.
    first: Option<Bytes>,
    watch: Option<Watch>,
}

/// A body ended before its end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The program's connection did.
    Program(hyper::Error),
    /// There is a placeholder in it.
    Placeholder,
}

impl Outgoing {
    pub(crate) fn new(
        exchange: Arc<Exchange>,
        body: Option<Incoming>,
        first: Option<Bytes>,
        watch: Option<Watch>,
    ) -> Self {
        Self {
            exchange,
            body,
            first,
            watch,
        }
    }

    fn look(&mut self, frame: &Frame<Bytes>) -> Result<(), Broken> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let Current { broker, policy, .. } = &*self.exchange.current;
        let found = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(piece), _) => watch.look(broker, policy, piece),
            (_, Some(trailers)) => broker.forbid_in(policy, trailers),
            _ => Ok(()),
        };
        found.map_err(|reason| {
            self.exchange.refuse(reason);
            Broken::Placeholder
        })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match (self.first.take(), &mut self.body) {
            (Some(first), _) => Frame::data(first),
            (None, None) => return Poll::Ready(None),
            (None, Some(body)) => match ready!(Pin::new(body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Broken::Program(error)))),
                Some(Ok(frame)) => {
                    self.look(&frame)?;
                    frame
                }
            },
        };
        if let Some(piece) = frame.data_ref() {
            self.exchange.entry.sent(piece.len() as u64);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(body) = &self.body else {
            return SizeHint::with_exact(0);
        };
        let mut hint = body.size_hint();
        if let Some(first) = &self.first {
            let first = first.len() as u64;
            match hint.exact() {
                Some(rest) => hint.set_exact(first + rest),
                None => hint.set_lower(hint.lower() + first),
            }
        }
        hint
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(error) => write!(f, "the program's request broke off: {error}"),
            Self::Placeholder => f.write_str("there is a placeholder in the request's body"),
        }
    }
}

impl std::error::Error for Broken {}

/// The body of an answer, on its way to the program.
pub(crate) struct Answer {
    kind: Kind,
    exchange: Option<Arc<Exchange>>,
    /// The connection that it comes from, for the next request when it has come.
    back: Option<Back>,
    ended: bool,
}

/// A connection to a host, and where it goes afterwards.
pub(crate) type Back = (At<http1::SendRequest<Outgoing>>, Arc<Origin>);

enum Kind {
    Own(Full<Bytes>),
    /// What is there as a whole.
    Whole(Option<Bytes>, Option<HeaderMap>),
    Passing(Incoming),
    Scrubbed(Box<Scrubbed>),
}

impl Answer {
    /// An answer of the gate's own.
    pub(crate) fn own(body: Full<Bytes>) -> Self {
        Self::of(Kind::Own(body), None, None)
    }

    /// An answer that was looked through already.
    pub(crate) fn whole(
        data: Bytes,
        trailers: Option<HeaderMap>,
        exchange: Arc<Exchange>,
        back: Option<Back>,
    ) -> Self {
        let data = (!data.is_empty()).then_some(data);
        Self::of(Kind::Whole(data, trailers), Some(exchange), back)
    }

    /// An answer that is passed on as it is.
    pub(crate) fn passing(body: Incoming, exchange: Arc<Exchange>, back: Option<Back>) -> Self {
        Self::of(Kind::Passing(body), Some(exchange), back)
    }

    /// An answer from which values are taken out.
    pub(crate) fn scrubbed(body: Scrubbed, exchange: Arc<Exchange>, back: Option<Back>) -> Self {
        Self::of(Kind::Scrubbed(Box::new(body)), Some(exchange), back)
    }

    fn of(kind: Kind, exchange: Option<Arc<Exchange>>, back: Option<Back>) -> Self {
        Self {
            kind,
            exchange,
            back,
            ended: false,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.kind {
            Kind::Own(body) => {
                let next = ready!(Pin::new(body).poll_frame(cx));
                next.map(|frame| frame.map_err(|never| match never {}))
            }
            Kind::Whole(data, trailers) => {
                let data = data.take().map(Frame::data);
                let next = data.or_else(|| trailers.take().map(Frame::trailers));
                next.map(Ok)
            }
            Kind::Passing(body) => {
                let next = ready!(Pin::new(body).poll_frame(cx));
                next.map(|frame| frame.map_err(io::Error::other))
            }
            Kind::Scrubbed(body) => ready!(body.poll(cx)),
        };
        match (&next, &self.exchange) {
            (Some(Ok(frame)), Some(exchange)) => {
                let len = frame.data_ref().map_or(0, Bytes::len);
                exchange.entry.received(len as u64);
            }
            (None, _) => self.ended = true,
            _ => {}
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Whole(data, trailers) => data.is_none() && trailers.is_none(),
            Kind::Passing(body) => body.is_end_stream(),
            Kind::Scrubbed(_) => self.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => body.size_hint(),
            Kind::Whole(data, _) => {
                SizeHint::with_exact(data.as_ref().map_or(0, Bytes::len) as u64)
            }
            Kind::Passing(body) => body.size_hint(),
            Kind::Scrubbed(_) => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let (Kind::Scrubbed(body), Some(exchange)) = (&self.kind, &self.exchange) {
            exchange.entry.redacted(body.times());
        }
        // A connection with the rest of an answer in it is of no use to anybody, and ends here.
        if let Some((sender, origin)) = self.back.take()
            && (self.ended || self.is_end_stream())
        {
            origin.put(sender);
        }
    }
}
