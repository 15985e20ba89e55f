//! The HTTP plugin.

fn main() {}
