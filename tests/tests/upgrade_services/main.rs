//! Services live through `rr upgrade self`: same processes, every line once, every rule goes on where it stood. A file for each part; they
//! are one program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod in_force;
mod lines;
mod place;
mod waits;
