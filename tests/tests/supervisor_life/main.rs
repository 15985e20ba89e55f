//! The life of processes: start, restart, stop, and what dies with what (CORE-01, CORE-18, CORE-21, CORE-22, CORE-24). A file for each part;
//! they are one program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod contract;
mod death;
mod on_init;
mod plugin;
mod stop;
mod surroundings;
