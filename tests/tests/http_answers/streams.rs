//! Answers that come piece by piece, and break off as what they are.

use rr_tests::Server;
use serde_json::json;

// HTTP-17
#[test]
fn streams_arrive_piece_by_piece() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    for client in [server.client(), server.client().http2()] {
        let reply = client.get("/stream?n=12");
        assert_eq!(reply.text(), (0..12).map(|i| format!("{i}|")).collect::<String>());
        assert_eq!(
            (reply.header("x-streamed"), reply.header("content-length")),
            ("yes", "")
        );
        // The window is smaller than the whole: PHP waits for the client.
        assert_eq!(client.get("/stream?n=200&size=50000&ping=0").body.len(), 10_000_000);
    }
    // The first piece does not wait for the last.
    let mut raw = server.raw();
    raw.send("GET /stream?n=3&ms=300000 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("0|");
}

// HTTP-17: the client goes, PHP is told, the worker serves on.
#[test]
fn a_stream_without_a_client_stops() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}, "pool": {"num_workers": 1}}}));
    let pid = server.client().get("/pid").text();
    let mut raw = server.raw();
    raw.send("GET /stream?n=100000&ms=1&ping=0 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("5|");
    drop(raw);
    server.wait_log("stream stopped after");
    assert_eq!(server.client().get("/pid").text(), pid);
}

// HTTP-17: a broken stream must not look like a whole one.
#[test]
fn a_broken_stream_breaks_the_connection() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let worker = server.workers()[0];
    let mut raw = server.raw();
    raw.send("GET /stream?n=3&ms=300000 HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_until("0|");
    rr_tests::process::signal(worker, nix::sys::signal::Signal::SIGKILL);
    let text = raw.read_to_end();
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    server.wait_log("read stream");
    assert_eq!(server.client().get("/hello").text(), "hello");
}
