//! What is told of the values that this process is handed, so that the log can be kept free of them.

use std::fmt;
use std::sync::Arc;

/// Hears of each value that the process is handed, with the name that is shown in its place.
#[derive(Clone, Default)]
pub struct Opened(Option<Arc<Hear>>);

type Hear = dyn Fn(&str, &[u8]) + Send + Sync;

impl Opened {
    /// Tells `hear`.
    #[must_use]
    pub fn new(hear: impl Fn(&str, &[u8]) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// Tells of a value.
    pub fn tell(&self, name: &str, value: &[u8]) {
        if let Some(hear) = &self.0 {
            hear(name, value);
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}
