//! Plugins that keep something for others are replaced under load: nothing is lost, and no call fails. A file for each part; they are one
//! program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod counting;
mod failures;
mod kv;
mod lock;
mod place;
mod storages;
