//! Takes values out of answers, whatever their content type, in headers, trailers and bodies, while these stream.
//!
//! Nothing is held back but a tail that may be the beginning of a value, and that until its deadline. A body that is encoded is decoded on the way,
//! and goes on as it is.
//!
//! INVARIANT: what cannot be decoded is not passed on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use hyper::body::{Body, Frame, Incoming};
use mira_redact::{NeedleSet, Redactor};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep_until};

/// An encoding that is not known here, so that nothing can be found in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zlib,
    Brotli,
    Zstd,
}

/// Returns how a body with these headers is encoded.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, Unreadable> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(Encoding::Identity);
    };
    if values.next().is_some() {
        return Err(Unreadable);
    }
    let value = value.as_bytes().trim_ascii().to_ascii_lowercase();
    match value.as_slice() {
        b"" | b"identity" => Ok(Encoding::Identity),
        b"gzip" | b"x-gzip" => Ok(Encoding::Gzip),
        b"deflate" => Ok(Encoding::Zlib),
        b"br" => Ok(Encoding::Brotli),
        b"zstd" => Ok(Encoding::Zstd),
        _ => Err(Unreadable),
    }
}

/// Returns whether a value stands in a text.
pub(crate) fn has_value(needles: &NeedleSet, text: &[u8]) -> bool {
    !needles.find(text).is_empty()
}

/// Takes values out of a text that is there as a whole; returns nothing if there are none, and how many there were.
pub(crate) fn scrub_whole(needles: &Arc<NeedleSet>, text: &[u8]) -> Option<(Vec<u8>, u64)> {
    if !needles.concerns(text) {
        return None;
    }
    let mut redactor = Redactor::new(Arc::clone(needles));
    let mut clean = redactor.push(text, Instant::now()).to_vec();
    clean.extend_from_slice(&last_of(&mut redactor));
    let times = redactor.counts().redactions;
    (times > 0).then_some((clean, times))
}

/// Ends a stream; returns its last bytes. The beginning of a value is treated as before a pause: the program could ask again for the rest.
pub(crate) fn last_of(redactor: &mut Redactor) -> Vec<u8> {
    let mut last = Vec::new();
    if let Some(deadline) = redactor.deadline() {
        last.extend_from_slice(redactor.expire(deadline));
    }
    last.extend_from_slice(redactor.finish());
    last
}

/// Takes values out of headers or trailers, and out what has one in its name; returns how many there were.
pub(crate) fn scrub_headers(needles: &Arc<NeedleSet>, headers: &mut HeaderMap) -> u64 {
    let mut times = 0;
    if !may_have_value(needles, headers) {
        return times;
    }
    let named: Vec<HeaderName> = headers
        .keys()
        .filter(|name| has_value(needles, name.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in named {
        headers.remove(name);
        times += 1;
    }
    for value in headers.values_mut() {
        if let Some((clean, found)) = scrub_whole(needles, value.as_bytes()) {
            // A marker is plain ASCII, so this never fails; if it did, nothing would be passed on of it.
            *value = HeaderValue::from_bytes(&clean)
                .unwrap_or_else(|_| HeaderValue::from_static("[redacted]"));
            times += found;
        }
    }
    times
}

/// Returns whether a value can stand in headers, by one search for all of them.
fn may_have_value(needles: &NeedleSet, headers: &HeaderMap) -> bool {
    let texts = || {
        let names = headers.keys().map(|name| name.as_str().as_bytes());
        names.chain(headers.values().map(HeaderValue::as_bytes))
    };
    let mut all = Vec::with_capacity(texts().map(|text| text.len() + 1).sum());
    for text in texts() {
        all.extend_from_slice(text);
        // It is in no header, so what is found in one alone is found here too.
        all.push(0);
    }
    has_value(needles, &all)
}

/// A body on its way, from which values are taken out.
pub(crate) struct Scrubbed {
    source: Source,
    redactor: Redactor,
    needles: Arc<NeedleSet>,
    /// When a held tail goes.
    timer: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// How many values were taken out of trailers.
    in_trailers: u64,
}

enum Source {
    Plain(Incoming),
    /// What a decoder makes of the body. Trailers of an encoded body do not pass.
    Decoded(Pin<Box<dyn AsyncRead + Send>>),
}

impl Scrubbed {
    pub(crate) fn new(needles: &Arc<NeedleSet>, body: Incoming, encoding: Encoding) -> Self {
        Self {
            source: Source::new(body, encoding),
            redactor: Redactor::new(Arc::clone(needles)),
            needles: Arc::clone(needles),
            timer: None,
            trailers: None,
            ended: false,
            in_trailers: 0,
        }
    }

    /// Returns how many values were taken out so far.
    pub(crate) fn times(&self) -> u64 {
        self.in_trailers + self.redactor.counts().redactions
    }

    /// Returns the next frame to pass on.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        while !self.ended {
            let out = match self.poll_source(cx) {
                Poll::Ready(Ok(out)) => out,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => ready!(self.poll_deadline(cx)),
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
        let mut trailers = self.trailers.take();
        if let Some(trailers) = &mut trailers {
            self.in_trailers += scrub_headers(&self.needles, trailers);
        }
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// Takes what the source has next through the redactor; returns what comes out at once.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let out = match &mut self.source {
            Source::Plain(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => {
                        let out = self.redactor.push(&piece, Instant::now());
                        // Most pieces come out as they went in, and need not be copied.
                        let same = out == &*piece;
                        return Poll::Ready(Ok(match same {
                            true => piece,
                            false => Bytes::copy_from_slice(out),
                        }));
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        return Poll::Ready(Ok(Bytes::new()));
                    }
                },
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => None,
            },
            Source::Decoded(decoder) => {
                let mut buffer = ReadBuf::new(self.redactor.spare());
                ready!(decoder.as_mut().poll_read(cx, &mut buffer))?;
                let len = buffer.filled().len();
                (len > 0).then(|| self.redactor.filled(len, Instant::now()))
            }
        };
        let out = match out {
            Some(out) => out,
            None => {
                self.ended = true;
                return Poll::Ready(Ok(last_of(&mut self.redactor).into()));
            }
        };
        Poll::Ready(Ok(Bytes::copy_from_slice(out)))
    }

    /// Waits until a held tail has to go; returns it.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(deadline) = self.redactor.deadline() else {
            return Poll::Pending;
        };
        let new = || Box::pin(sleep_until(deadline.into()));
        let timer = self.timer.get_or_insert_with(new);
        if timer.deadline() != deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now().max(deadline);
        Poll::Ready(Bytes::copy_from_slice(self.redactor.expire(now)))
    }
}

impl Source {
    fn new(body: Incoming, encoding: Encoding) -> Self {
        let encoded = |body| Encoded {
            body,
            piece: Bytes::new(),
        };
        Self::Decoded(match encoding {
            Encoding::Identity => return Self::Plain(body),
            Encoding::Gzip => {
                let mut decoder = GzipDecoder::new(encoded(body));
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Encoding::Zlib => Box::pin(ZlibDecoder::new(encoded(body))),
            Encoding::Brotli => Box::pin(BrotliDecoder::new(encoded(body))),
            Encoding::Zstd => {
                let mut decoder = ZstdDecoder::new(encoded(body));
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        })
    }
}

/// An encoded body, as decoders read it.
struct Encoded {
    body: Incoming,
    piece: Bytes,
}

impl AsyncBufRead for Encoded {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.piece.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => this.piece = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => break,
            }
        }
        Poll::Ready(Ok(&this.piece))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.piece.advance(len);
    }
}

impl AsyncRead for Encoded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let len = piece.len().min(buffer.remaining());
        buffer.put_slice(piece.get(..len).unwrap_or_default());
        self.consume(len);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

    const VALUE: &[u8] = b"sk-proj-4fXq81LmZ0pTw7Rk/+9a";

    #[test]
    fn what_is_found_in_a_header_alone_is_found_among_others() {
        let mut needles = NeedleSet::builder();
        needles.add("KEY", VALUE);
        let needles = Arc::new(needles.build());
        let raw = String::from_utf8(VALUE.to_vec()).unwrap();
        let mut spellings = vec![
            raw.clone(),
            raw.replace('/', "%2F").replace('+', "%2B"),
            HEXLOWER.encode(VALUE),
            HEXUPPER.encode(VALUE),
        ];
        for before in ["", "u", "u:", "us:"] {
            let pair = [before.as_bytes(), VALUE].concat();
            spellings.push(BASE64.encode(&pair));
            spellings.push(BASE64URL_NOPAD.encode(&pair));
        }
        for spelled in &spellings {
            assert!(has_value(&needles, spelled.as_bytes()), "{spelled}");
            for text in [
                spelled.clone(),
                format!("Bearer {spelled}"),
                format!("key={spelled}; path=/"),
                format!("a{spelled}"),
                format!("{spelled}b"),
            ] {
                let alone = has_value(&needles, text.as_bytes());
                for place in 0..3 {
                    let mut headers = HeaderMap::new();
                    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
                        let value = if number == place { &*text } else { "sk-" };
                        let name = HeaderName::from_static(name);
                        headers.insert(name, HeaderValue::from_str(value).unwrap());
                    }
                    let found = scrub_headers(&needles, &mut headers) > 0;
                    assert_eq!(found, alone, "{text} at {place}");
                }
            }
        }
        let mut clean = HeaderMap::new();
        clean.insert("a", HeaderValue::from_static("sk-proj-4fXq81Lm"));
        assert_eq!(scrub_headers(&needles, &mut clean), 0);
    }
}
