//! How much a gate takes on, and how long it waits.

use std::time::Duration;

/// The limits of one gate. The default ones are meant for all; others are for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many connections are open at once; one more is refused.
    pub connections: usize,
    /// A program has to begin with TLS or HTTP within this time, where one of them is wanted, and to end the first message of TLS.
    pub first_bytes: Duration,
    /// A refused program has this time to say in which form it wants to be told.
    pub refused: Duration,
    /// A name has to be found, and a host has to be reached, within this time each.
    pub dial: Duration,
    /// A tunnel through which nothing goes ends after this time, and before twice of it is over.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // LIMIT: two descriptors each have to fit into what a system gives a process; browsers open a tenth of it.
            connections: 4096,
            // LIMIT: the program is on this machine, so what takes longer holds a place on purpose.
            first_bytes: Duration::from_secs(10),
            // LIMIT: TLS and HTTP begin at once; who waits for the server's words cannot be told anything.
            refused: Duration::from_secs(2),
            // LIMIT: what a user waits for; resolvers and systems try on for minutes.
            dial: Duration::from_secs(10),
            // LIMIT: long polls and database pools are silent for minutes.
            idle: Duration::from_secs(30 * 60),
        }
    }
}
