//! HTTP end to end: where and how it listens: TLS, HTTP/2, Unix sockets, redirect (HTTP-02 to HTTP-07).

#![allow(clippy::unwrap_used)]

use rr_tests::{
    Client, Room, Server,
    port::{at, free_port, local},
};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};

/// The settings of a TLS listener with the room's certificate.
fn tls(room: &Room, port: u16, more: Value) -> Value {
    let mut ssl = json!({
        "address": at(port),
        "cert": room.file("cert.pem"),
        "key": room.file("key.pem"),
    });
    ssl.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ssl
}

// HTTP-02, HTTP-06
#[test]
fn https_speaks_both_protocols() {
    let room = Room::new();
    let certificate = room.certificate();
    let port = free_port();
    let settings = json!({"http": {"ssl": tls(&room, port, json!({}))}});
    let server = Server::http_in(room, settings);
    let client = Client::tls(local(port), &certificate);
    for (client, protocol) in [(client.clone(), "HTTP/1.1"), (client.http2(), "HTTP/2.0")] {
        let mut connection = client.connect();
        for _ in 0..3 {
            let seen = connection.get("/dump?a=1").json();
            assert_eq!(seen["protocol"], protocol);
            assert_eq!(seen["uri"], format!("https://localhost:{port}/dump?a=1"));
            assert_eq!(seen["remote_addr"], "127.0.0.1");
        }
        assert_eq!(connection.get("/body?size=3000000").body.len(), 3_000_000);
    }
    // The plain address goes on, and bytes that are no TLS do no harm.
    assert_eq!(server.client().get("/hello").text(), "hello");
    let mut raw = rr_tests::Raw::connect(local(port));
    raw.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.read_to_end();
    assert!(server.stop().success());
}

// HTTP-05
#[test]
fn the_plain_address_redirects() {
    let room = Room::new();
    room.certificate();
    let port = free_port();
    let settings = json!({"http": {"ssl": tls(&room, port, json!({"redirect": true}))}});
    let server = Server::http_in(room, settings);
    let reply = server.client().get("/a/b?c=1");
    assert_eq!(
        (reply.status, reply.header("location")),
        (308, format!("https://127.0.0.1:{port}/a/b?c=1").as_str())
    );
    assert_eq!(
        reply.header("strict-transport-security"),
        "max-age=31536000; includeSubDomains; preload"
    );
}

// HTTP-03: a client without a certificate
#[test]
fn client_certificates() {
    for (kind, served) in [
        ("no_client_cert", true),
        ("request_client_cert", true),
        ("verify_client_cert_if_given", true),
        ("require_any_client_cert", false),
        ("require_and_verify_client_cert", false),
    ] {
        let room = Room::new();
        let certificate = room.certificate();
        let port = free_port();
        let more = json!({"root_ca": room.file("cert.pem"), "client_auth_type": kind});
        let settings = json!({"http": {"ssl": tls(&room, port, more), "pool": {"num_workers": 1}}});
        let _server = Server::http_in(room, settings);
        let request = http::Request::get("/hello").body(bytes::Bytes::new()).unwrap();
        let reply = Client::tls(local(port), &certificate).try_send(request);
        assert_eq!(reply.is_ok(), served, "{kind}: {reply:?}");
    }
}

// HTTP-01: Unix sockets, several addresses
#[test]
fn unix_sockets_and_several_addresses() {
    let room = Room::new();
    let socket = room.file("http.sock");
    let (first, second) = (free_port(), free_port());
    let address = format!(
        "127.0.0.1:{first}, 127.0.0.1:{second}, unix://{}?mode=0666",
        socket.display()
    );
    let config = rr_tests::server::http_config(first, json!({"http": {"address": address}}));
    let server = Server::launch(room, first, &config.to_string(), &[]);
    server.wait_ready();
    assert_eq!(Client::tcp(local(second)).get("/hello").text(), "hello");
    let seen = Client::unix(&socket).get("/dump").json();
    assert_eq!(
        (&seen["remote_addr"], &seen["uri"]),
        (&json!("@"), &json!("http://localhost/dump"))
    );
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o666);
    assert!(server.stop().success());
}

// HTTP-07
#[test]
fn h2c_is_opt_in_and_shares_the_address() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    assert_eq!(server.client().http2().get("/hello").text(), "hello");
    assert_eq!(server.client().get("/hello").text(), "hello");
    // A request that asks for an upgrade is answered in HTTP/1.1, as the standard allows.
    let mut raw = server.raw();
    raw.send("GET /hello HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\r\n");
    assert!(raw.read_to_end().starts_with("HTTP/1.1 200"));
    // Bytes one at a time, and a beginning that only looks like it.
    let mut raw = server.raw();
    for byte in "PRI /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".bytes() {
        raw.send([byte]);
    }
    assert!(raw.read_to_end().starts_with("HTTP/1.1 "));
    let off = Server::http(json!({}));
    let request = http::Request::get("/hello").body(bytes::Bytes::new()).unwrap();
    assert!(off.client().http2().try_send(request).is_err());
    assert_eq!(off.client().get("/hello").text(), "hello");
}

// HTTP-23 and what is not there yet: no silent gap
#[test]
fn what_is_missing_is_said_at_start() {
    let port = free_port();
    let start = |http: Value| {
        let config = rr_tests::server::http_config(port, json!({"http": http}));
        Server::launch(Room::new(), port, &config.to_string(), &[])
    };
    let server = start(json!({"middleware": ["gzip", "static"], "static": {"dir": "/"}}));
    assert!(!server.wait_exit(std::time::Duration::from_secs(30)).success());
    let said = "http.middleware: this version does not have the middleware gzip, static yet";
    assert!(server.log().contains(said), "{}", server.log());
    let server = start(json!({"middleware": ["no_such"]}));
    server.wait_ready();
    server.wait_log("requested middleware does not exist");
}
