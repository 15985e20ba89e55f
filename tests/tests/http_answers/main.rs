//! HTTP end to end: what reaches PHP, and what becomes of its answers (HTTP-11, 16 to 19, 21, 22). A file for each part; they are one program,
//! because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod answers;
mod failures;
mod request_log;
mod requests;
mod streams;
