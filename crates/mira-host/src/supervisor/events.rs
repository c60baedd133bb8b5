//! What happens to an instance, for whoever wants to follow it.
//!
//! INVARIANT: nobody waits for a reader. What waits for one is bounded: a reader that is too slow loses lines, and is told
//! how many. A reader that is there costs nothing while nothing happens.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use mira_gate::Refused;
use tokio::sync::Notify;

use crate::logs::LogLine;
use crate::service::ServiceState;

/// What a queued event costs beside its text, in bytes, as a round number.
const EVENT_BYTES: usize = 128;

/// Something that happened to an instance.
#[derive(Clone, Debug)]
pub enum Event {
    /// A service fares like this now.
    State {
        /// The service.
        service: Arc<str>,
        /// How it fares.
        state: ServiceState,
    },
    /// A service wrote a line.
    Line(Arc<LogLine>),
    /// A try to call a host was refused.
    Refused(Arc<Refused>),
    /// A service calls a host that no rule names, and waits for a person's answer.
    Asked {
        /// The service, where it is known.
        service: Option<Box<str>>,
        /// The host. A program chose it.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// This many lines were lost here, because they were not read in time. They are in the logs.
    Lost(u64),
}

impl Event {
    fn bytes(&self) -> usize {
        match self {
            Self::Line(line) => EVENT_BYTES + line.line.len(),
            Self::Refused(_) | Self::State { .. } | Self::Asked { .. } | Self::Lost(_) => {
                EVENT_BYTES
            }
        }
    }
}

/// The events of one instance, as they come.
pub struct Events(Arc<Queue>);

impl Events {
    /// Returns the next event, waiting for it; nothing once the instance is gone.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Made before the look, so that what comes in between wakes it.
            let ready = self.0.ready.notified();
            {
                let mut inner = self.0.lock();
                if let Some(event) = inner.events.pop_front() {
                    inner.bytes -= event.bytes();
                    return Some(event);
                }
                if inner.closed {
                    return None;
                }
            }
            ready.await;
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

#[derive(Default)]
struct Queue {
    inner: Mutex<Waiting>,
    ready: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event, or counts it as lost.
    fn push(&self, event: Event, bytes_max: usize) {
        let mut inner = self.lock();
        let bytes = event.bytes();
        // States and questions are few, and what a reader must not miss: there is twice the room for them.
        let room = match event {
            Event::Line(_) | Event::Refused(_) => bytes_max,
            Event::State { .. } | Event::Asked { .. } | Event::Lost(_) => 2 * bytes_max,
        };
        if inner.bytes + bytes <= room {
            inner.bytes += bytes;
            inner.events.push_back(event);
        } else if let Some(Event::Lost(count)) = inner.events.back_mut() {
            *count += 1;
        } else {
            inner.bytes += EVENT_BYTES;
            inner.events.push_back(Event::Lost(1));
        }
        drop(inner);
        self.ready.notify_one();
    }
}

/// Where an instance's events are handed out.
#[derive(Default)]
pub(super) struct Hub {
    queues: Mutex<Vec<Weak<Queue>>>,
    bytes_max: usize,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}

impl Hub {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            queues: Mutex::default(),
            bytes_max,
        }
    }

    /// Adds a reader, which gets every event from now on.
    pub(super) fn subscribe(&self) -> Events {
        let queue = Arc::new(Queue::default());
        self.lock().push(Arc::downgrade(&queue));
        Events(queue)
    }

    /// Hands an event out to one reader.
    pub(super) fn show(&self, event: Event, reader: &Events) {
        reader.0.push(event, self.bytes_max);
    }

    /// Returns whether somebody reads.
    pub(super) fn is_read(&self) -> bool {
        let mut queues = self.lock();
        queues.retain(|queue| queue.strong_count() > 0);
        !queues.is_empty()
    }

    /// Hands events out to all readers.
    pub(super) fn publish(&self, events: impl IntoIterator<Item = Event>) {
        let queues: Vec<Arc<Queue>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for event in events {
            for queue in &queues {
                queue.push(event.clone(), self.bytes_max);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for queue in self.lock().iter().filter_map(Weak::upgrade) {
            queue.lock().closed = true;
            queue.ready.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use mira_run::Stream;

    fn line(text: &str) -> Event {
        Event::Line(Arc::new(LogLine {
            time: Timestamp::UNIX_EPOCH,
            service: "web".into(),
            stream: Stream::Stdout,
            line: text.to_owned(),
            partial: false,
        }))
    }

    async fn rest(events: &mut Events) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(event) = events.next().await {
            texts.push(match event {
                Event::Line(line) => line.line.clone(),
                Event::Lost(count) => format!("lost {count}"),
                Event::State { service, .. } => service.to_string(),
                Event::Refused(refused) => refused.host.to_string(),
                Event::Asked { host, .. } => host.to_string(),
            });
        }
        texts
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost_and_a_fast_one_loses_nothing() {
        let hub = Hub::new(2 * EVENT_BYTES + 10);
        let mut slow = hub.subscribe();
        let mut fast = hub.subscribe();
        let mut read = Vec::new();
        for text in ["1", "2", "3", "4"] {
            hub.publish([line(text)]);
            if let Some(Event::Line(line)) = fast.next().await {
                read.push(line.line.clone());
            }
        }
        assert_eq!(read, ["1", "2", "3", "4"]);
        assert!(matches!(slow.next().await, Some(Event::Line(_))));
        assert!(matches!(slow.next().await, Some(Event::Line(_))));
        hub.publish([line("5")]);
        drop(hub);
        assert_eq!(rest(&mut slow).await, ["lost 2", "5"]);
        assert_eq!(rest(&mut fast).await, ["5"]);
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_forgotten() {
        let hub = Hub::new(1000);
        assert!(!hub.is_read());
        let events = hub.subscribe();
        assert!(hub.is_read());
        drop(events);
        assert!(!hub.is_read());
    }
}
