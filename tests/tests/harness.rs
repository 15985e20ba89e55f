//! The harness itself: a server starts, answers by way of a PHP worker, and stops without leaving anything.

#![allow(clippy::unwrap_used)]

use http::Version;
use rr_tests::{
    Client, Room, Server,
    port::{at, free_port, local},
};
use serde_json::json;

#[test]
fn a_request_reaches_a_worker_and_the_server_stops() {
    let server = Server::http(json!({}));
    assert_eq!(server.workers().len(), 2);

    let mut connection = server.client().connect();
    assert_eq!(connection.get("/hello").text(), "hello");
    let reply = connection.get("/dump?a=1");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.json()["raw_query"], "a=1");

    let mut raw = server.raw();
    raw.send("GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(raw.read_to_end().contains("hello"));

    assert!(server.stop().success(), "{}", server.log());
    assert!(Client::tcp(server.address()).try_connect().is_err());
}

#[test]
fn tls_and_http2_reach_a_worker() {
    let (room, port) = (Room::new(), free_port());
    let certificate = room.certificate();
    let settings = json!({"http": {"ssl": {
        "address": at(port),
        "cert": room.file("cert.pem"),
        "key": room.file("key.pem"),
    }}});
    let server = Server::http_in(room, settings);
    let client = Client::tls(local(port), &certificate);
    for (client, version) in [(client.clone(), Version::HTTP_11), (client.http2(), Version::HTTP_2)] {
        let reply = client.get("/hello");
        assert_eq!((reply.version, reply.text().as_str()), (version, "hello"));
    }
    assert!(server.stop().success(), "{}", server.log());
}
