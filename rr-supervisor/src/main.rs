//! The supervisor.

#[allow(dead_code)] // Called by `serve`.
mod logs;

fn main() {}
