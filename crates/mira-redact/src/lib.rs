//! Streaming redactor and scanner for known secret values.
