//! Providers of models, and AWS.
