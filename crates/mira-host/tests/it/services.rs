//! Real programs as services, under a supervisor in this process or in one that is killed.

mod delivery;
mod health;
mod house;
mod killed;
mod logging;
mod restarts;
mod starting;
mod stopping;
