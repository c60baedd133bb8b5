//! A hermetic home for one test.
