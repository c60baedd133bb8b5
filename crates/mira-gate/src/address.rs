//! Addresses that are not public, and so are called only where a rule names them.
