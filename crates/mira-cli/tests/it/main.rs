//! `mira` as its users see it: the real program, in hermetic homes.

mod canary;
mod concurrency;
mod crash;
mod faults;
mod import;
mod life;
mod output;
mod providers;
mod recovery;
mod redact;
mod run;
mod support;
mod terminal;
