//! Bodies of requests that have to come in time: who sends one drop by drop does not keep others from the desk.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may take, besides the time for its bytes.
// LIMIT: a slow line comes back to life in that time.
const GRACE: Duration = Duration::from_secs(15);

/// The least that comes in a second, in bytes.
// LIMIT: a modem's line is faster; at this pace a form takes seconds, and a connection is held by sending for it.
const BYTES_PER_SECOND: u32 = 1024;

/// A body that ends with an error if it is too slow.
pub(crate) struct Paced<B> {
    body: B,
    /// When it has to have ended if nothing more comes; set when it was first waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    pub(crate) const fn new(body: B) -> Self {
        Self {
            body,
            deadline: None,
        }
    }
}

/// It was too slow.
#[derive(Debug, thiserror::Error)]
#[error("the request came too slowly, and was given up")]
pub(crate) struct TooSlow;

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let bytes = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            let bytes = u32::try_from(bytes.map_or(0, Bytes::len)).unwrap_or(u32::MAX);
            if let Some(deadline) = &mut self.deadline {
                let more = Duration::from_secs(bytes.into()) / BYTES_PER_SECOND;
                let later = deadline.deadline() + more;
                deadline.as_mut().reset(later);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + GRACE)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body as Received, to_bytes};
    use tokio::time::interval;

    use super::*;

    /// Sends so many bytes each second, `seconds` times.
    async fn sent(bytes: usize, seconds: usize) -> Result<usize, String> {
        let clock = interval(Duration::from_secs(1));
        let frames =
            futures_util::stream::unfold((clock, seconds), move |(mut clock, left)| async move {
                clock.tick().await;
                let frame = Bytes::from(vec![b'x'; bytes]);
                (left > 0).then(|| (Ok::<_, Infallible>(frame), (clock, left - 1)))
            });
        let body = Received::new(Paced::new(Received::from_stream(frames)));
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => Ok(bytes.len()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_is_waited_for_and_drops_are_not() {
        assert_eq!(sent(2 * 1024, 600).await, Ok(600 * 2 * 1024));
        assert_eq!(sent(1, 10).await, Ok(10));
        let slow = sent(10, 600).await.unwrap_err();
        assert_eq!(slow, TooSlow.to_string());
    }
}
