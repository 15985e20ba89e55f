//! The stand-in for `rr-http`: its name, its settings, its answer.

use rr_tests::Server;
use serde_json::{Value, json};

/// The program that stands in for `rr-http`, by the name that the kernel keeps.
pub(crate) const PLUGIN: &str = "rr-test-plugin";

pub(crate) fn nothing() -> Value {
    json!({})
}

/// The pid of the plugin, as it answers itself.
pub(crate) fn answering(server: &Server) -> u32 {
    server.client().get("/").text().parse().unwrap()
}
