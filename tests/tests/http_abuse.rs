//! HTTP end to end: clients that are broken, slow, many or hostile. The others are served meanwhile, memory is bounded.

#![allow(clippy::unwrap_used)]

use rr_tests::{Raw, Server, eventually, process, wait::SOON};
use serde_json::json;
use std::{fs, net::TcpStream, time::Duration};

/// Memory of a process that is its own, in KiB: without the pages of its binary.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn garbage_is_refused() {
    let server = Server::http(json!({}));
    for garbage in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: what\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    ] {
        let mut raw = server.raw();
        raw.send(garbage);
        raw.finish();
        let text = raw.read_to_end();
        assert!(
            text.is_empty() || text.starts_with("HTTP/1.1 400"),
            "{garbage:?}: {text}"
        );
    }
    assert_eq!(server.client().get("/hello").text(), "hello");
}

#[test]
fn a_head_of_100_mb() {
    let server = Server::http(json!({"http": {"max_header_size": 64}}));
    let plugin = server.plugin("rr-http");
    let before = memory(plugin);
    let mut raw = server.raw();
    raw.send("GET / HTTP/1.1\r\nHost: h\r\nX-Huge: ");
    let piece = vec![b'x'; 1 << 20];
    // It is refused long before the end; the client may learn that by a reset.
    let sent = (0..100).take_while(|_| raw.send(&piece)).count();
    assert!(sent < 100);
    let text = raw.read_to_end();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
    assert!(
        memory(plugin) < before + 8 * 1024,
        "{} KiB, {before} before",
        memory(plugin)
    );
    // Many small headers are refused too.
    let mut raw = server.raw();
    let many: String = (0..1000).map(|i| format!("X-{i}: 1\r\n")).collect();
    raw.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"));
    assert!(raw.read_to_end().starts_with("HTTP/1.1 431"));
    assert_eq!(server.client().get("/hello").text(), "hello");
}

#[test]
fn slow_heads_are_cut_off() {
    let server = Server::http(json!({"http": {"read_header_timeout": "300ms", "idle_timeout": "1h"}}));
    let mut silent = server.raw();
    let mut half = server.raw();
    half.send("GET / HTTP/1.1\r\nHo");
    let mut kept = server.client().connect();
    assert_eq!(kept.get("/hello").text(), "hello");
    assert!(silent.closes_within(SOON) && half.closes_within(SOON));
    // An idle connection is no slow head.
    assert_eq!(kept.get("/hello").text(), "hello");
    // A slow answer is no slow head either.
    assert_eq!(kept.get("/sleep?ms=900").text(), "slept");
}

#[test]
fn idle_connections_end() {
    let server = Server::http(json!({"http": {"idle_timeout": "300ms", "http2": {"h2c": true}}}));
    let plugin = server.plugin("rr-http");
    // The supervisor's connection for calls may come only now.
    let before = open_files(plugin) + 1;
    let mut held = [server.raw(), server.raw(), server.raw()];
    for raw in &mut held {
        raw.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
        raw.read_until("hello");
    }
    assert!(held.into_iter().all(|mut raw| raw.closes_within(SOON)));
    for _ in 0..2 {
        let mut two = server.client().http2().connect();
        assert_eq!(two.get("/sleep?ms=900").text(), "slept");
    }
    eventually(SOON, || open_files(plugin) <= before);
}

#[test]
fn a_slow_body_gets_408_and_no_worker() {
    let server = Server::http(json!({"http": {"io_timeout": "300ms", "pool": {"num_workers": 1}}}));
    let mut raw = server.raw();
    raw.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(server.client().get("/hello").text(), "hello");
    let text = raw.read_to_end();
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let server = Server::http(json!({"http": {"io_timeout": "500ms", "pool": {"num_workers": 1}}}));
    let plugin = server.plugin("rr-http");
    let before = memory(plugin);
    let mut raw = server.raw();
    raw.send("GET /stream?n=100000&size=60000&ping=0 HTTP/1.1\r\nHost: h\r\n\r\n");
    // PHP learns that it may stop, and serves others.
    server.wait_log("stream stopped after");
    assert!(
        memory(plugin) < before + 16 * 1024,
        "{} KiB, {before} before",
        memory(plugin)
    );
    assert_eq!(server.client().get("/hello").text(), "hello");
}

// HTTP-20: the answer arrives although the client is still sending.
#[test]
fn too_large_a_body_is_answered() {
    let server = Server::http(json!({"http": {"max_request_size": 1}}));
    let mut raw = server.raw();
    raw.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n");
    raw.send(vec![b'x'; 3_000_000]);
    let text = raw.read_to_end();
    assert!(
        text.starts_with("HTTP/1.1 413") && text.contains("\r\nConnection: close\r\n"),
        "{text}"
    );
    assert!(text.ends_with("serve_http: http: request body too large\n"), "{text}");
    assert_eq!(server.client().get("/hello").text(), "hello");
}

// POOL: a client that goes away costs nothing but its own answer.
#[test]
fn clients_that_leave_strand_nothing() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 2}}}));
    for _ in 0..50 {
        let mut raw = server.raw();
        raw.send("GET /sleep?ms=5 HTTP/1.1\r\nHost: h\r\n\r\n");
        drop(raw);
        let mut raw = server.raw();
        raw.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart");
        drop(raw);
    }
    let workers = server.workers();
    for _ in 0..10 {
        assert_eq!(server.client().get("/hello").text(), "hello");
    }
    assert_eq!(server.workers(), workers);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Server::http(json!({"http": {"max_connections": 3}}));
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut raw = server.raw();
            raw.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
            raw.read_until("hello");
            raw
        })
        .collect();
    let mut waiting = server.raw();
    waiting.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!waiting.closes_within(Duration::from_millis(300)) && waiting.text().is_empty());
    drop(held);
    waiting.read_until("hello");
}

#[test]
fn thousands_of_idle_connections() {
    const COUNT: usize = 1000;
    let server = Server::http(json!({}));
    let plugin = server.plugin("rr-http");
    let before = memory(plugin);
    let idle: Vec<TcpStream> = (0..COUNT)
        .map(|_| TcpStream::connect(server.address()).unwrap())
        .collect();
    eventually(SOON, || open_files(plugin) >= COUNT);
    assert_eq!(server.client().get("/hello").text(), "hello");
    let each = memory(plugin).saturating_sub(before) / COUNT as u64;
    assert!(each <= 8, "{each} KiB for each idle connection");
    drop(idle);
    eventually(SOON, || open_files(plugin) < 100);
}

fn open_files(pid: u32) -> usize {
    process::open_files(pid).unwrap()
}

// The supervisor holds the sockets: nobody is refused while the plugin restarts.
#[test]
fn a_killed_plugin_comes_back() {
    let server = Server::http(json!({}));
    let first = server.plugin("rr-http");
    process::kill_and_wait(first);
    let mut raw = Raw::connect(server.address());
    raw.send("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(raw.read_to_end().ends_with("hello"), "{}", server.log());
    assert_ne!(server.plugin("rr-http"), first);
}
