//! Plugins that are none of ours, in whatever language: started, called, replaced, restarted and shown as ours are, and harmless when they
//! misbehave. A file for each part; they are one program, because each program is linked anew.
#![allow(clippy::unwrap_used)]

mod contract;
mod examples;
mod life;
mod misbehaving;
mod own;
