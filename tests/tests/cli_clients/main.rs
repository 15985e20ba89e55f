//! The client commands against a running server with PHP below, a file for each command. They are one program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod app_log;
mod connection;
mod debug;
mod jobs;
mod plugins;
mod reset;
mod served;
mod workers;
