//! The debug pages (CLI-11).

use rr_tests::{
    Client, Room, Server,
    operator::command,
    port::{at, free_port, local},
    server::http_config,
};
use serde_json::json;

/// At a port of the test's own: the reference's exists once on a machine.
#[test]
fn debug_pages_tell_what_there_is() {
    let room = Room::new();
    let port = free_port();
    let config = http_config(port, json!({"server": {"env": {"DB_PASSWORD": "hunter2"}}}));
    let debug = free_port();
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = command(&["serve", "-d"], &file);
    command.env("RR_DEBUG_ADDRESS", at(debug));
    let server = Server::run(room, port, command);
    server.wait_ready();
    let client = Client::tcp(local(debug));
    assert!(client.get("/debug/pprof/").text().contains("/debug/threads"));
    let plugins = client.get("/debug/plugins").json();
    assert_eq!(plugins["plugins"][1]["pid"], server.plugin("rr-http"));
    let threads = client.get("/debug/threads").json();
    let of_http = threads["processes"][1]["threads"].to_string();
    assert!(of_http.contains("frames-0"), "{threads}");
    assert!(!client.get("/debug/config").text().contains("hunter2"));
    let profile = client.get("/debug/pprof/profile");
    assert!(profile.status == 404 && profile.text().contains("perf record"));
    assert!(server.stop().success());
}
