//! HTTP with SSE, as of the protocol's version 2024-11-05: one stream for all that the server says, and a second URL for what
//! the client says.

use futures_util::future::ready;
use futures_util::{Stream, StreamExt};
use http::header::ACCEPT;
use sse_stream::{Sse, SseStream};

use super::call::{Failure, host, unreachable};
use super::message::{answers, error};
use super::{Bridge, lock};

impl Bridge {
    /// Opens the stream, and takes the URL for messages from its first event.
    pub(super) async fn connect_legacy(
        &self,
    ) -> Result<impl Stream<Item = Sse> + Send + Unpin + use<>, Failure> {
        let url = &self.endpoint.url;
        let request = self
            .client
            .get(url.clone())
            .headers(self.endpoint.headers.clone())
            .header(ACCEPT, "text/event-stream");
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(url, error))?;
        let response = self.accepted(response)?;
        let events = SseStream::from_bytes_stream(response.bytes_stream());
        let mut events = Box::pin(
            events
                .take_while(|event| ready(event.is_ok()))
                .filter_map(|event| ready(event.ok())),
        );
        let not_mcp = |what: &str| Failure::NotMcp {
            host: host(url),
            what: what.to_owned(),
        };
        let first = events
            .next()
            .await
            .ok_or_else(|| not_mcp("a stream without an event"))?;
        let post = first
            .data
            .filter(|_| first.event.as_deref() == Some("endpoint"))
            .and_then(|data| url.join(data.trim()).ok())
            .ok_or_else(|| not_mcp("a stream that names no endpoint"))?;
        if post.origin() != url.origin() {
            let to = post.origin().ascii_serialization();
            return Err(Failure::Elsewhere {
                from: host(url),
                to,
            });
        }
        lock(&self.state).post = Some(post);
        Ok(events)
    }

    /// Passes on what the stream brings; its end is an error, for nothing can be answered any more.
    pub(super) async fn follow_legacy(
        &self,
        mut events: impl Stream<Item = Sse> + Unpin,
    ) -> Result<(), Failure> {
        while let Some(event) = events.next().await {
            let is_message = event.event.as_deref().is_none_or(|name| name == "message");
            if let Some(data) = event.data.filter(|_| is_message) {
                lock(&self.state).pending.retain(|id| !answers(&data, id));
                self.emit(&data).await;
            }
        }
        let failure = Failure::Broken {
            host: host(&self.endpoint.url),
        };
        let pending = std::mem::take(&mut lock(&self.state).pending);
        for id in pending {
            self.emit(&error(&id, &failure.to_string())).await;
        }
        Err(failure)
    }
}
