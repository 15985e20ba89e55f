//! What the supervisor knows lives through the replacement of its program: numbers, history, and how things stand, a file for each. They
//! are one program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod counted;
mod place;
mod plugins;
mod remembered;
