//! What reaches PHP, connection by connection, until the stop.

use rr_tests::Server;
use serde_json::{Value, json};
use std::time::Duration;

// HTTP-11: literal expectations; the same requests were put to the reference by hand.
#[test]
fn what_php_sees_of_a_request() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    let mut raw = server.raw();
    raw.send(concat!(
        "GET /dump?a=1&b%5B%5D=2 HTTP/1.1\r\nHost: example.test:81\r\nx-my_header: 1\r\nX-A: one\r\nx-a: two\r\n",
        "Cookie: c1=v%201; c2=a+b; c1=dup; bad=%zz\r\nConnection: close\r\n\r\n"
    ));
    let text = raw.read_to_end();
    let mut seen: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    seen.as_object_mut().unwrap().remove("pid");
    assert_eq!(
        seen,
        json!({
            "remote_addr": "127.0.0.1",
            "protocol": "HTTP/1.1",
            "method": "GET",
            "uri": "http://example.test:81/dump?a=1&b%5B%5D=2",
            "header": {
                "X-My_header": ["1"],
                "X-A": ["one", "two"],
                "Cookie": ["c1=v%201; c2=a+b; c1=dup; bad=%zz"],
                "Connection": ["close"],
            },
            "cookies": {"c1": ["dup"], "c2": ["a b"]},
            "raw_query": "a=1&b%5B%5D=2",
            "parsed": false,
            "uploads": null,
            "attributes": [],
            "body": "",
        })
    );
    // HTTP-07: HTTP/2 without TLS, on the same address.
    let two = server.client().http2().get("/dump?x=1").json();
    assert_eq!(two["protocol"], "HTTP/2.0");
    assert_eq!(two["uri"], format!("http://{}/dump?x=1", server.address()));
    assert!(two["header"].get("Host").is_none());
    // An absolute target is passed as it is; HTTP/1.0 needs no host.
    let mut raw = server.raw();
    raw.send("GET http://Other.Host/dump HTTP/1.0\r\n\r\n");
    let text = raw.read_to_end();
    assert!(
        text.contains(r#""uri":"http://Other.Host/dump""#) && text.contains(r#""protocol":"HTTP/1.0""#),
        "{text}"
    );
    assert!(server.stop().success());
}

// HTTP-01
#[test]
fn one_connection_many_requests() {
    let server = Server::http(json!({"http": {"pool": {"num_workers": 1}}}));
    let mut connection = server.client().connect();
    for i in 0..20 {
        assert_eq!(connection.get(&format!("/echo?body={i}")).text(), i.to_string());
    }
    // Pipelined requests are answered in order.
    let mut raw = server.raw();
    let one = |i: u32| format!("GET /echo?body=%3C{i}%3E HTTP/1.1\r\nHost: h\r\n\r\n");
    raw.send((0..20).map(one).collect::<String>());
    let text = raw.read_until("<19>");
    let order: Vec<_> = (0..20).map(|i| text.find(&format!("<{i}>")).unwrap()).collect();
    assert!(order.is_sorted(), "{text}");
    // HTTP/1.0 ends the connection unless it is asked to stay.
    let mut raw = server.raw();
    raw.send("GET /hello HTTP/1.0\r\nHost: h\r\n\r\n");
    assert!(raw.read_to_end().ends_with("hello"));
}

// HTTP-01: what runs is finished before the end, idle connections are closed.
#[test]
fn a_stop_lets_requests_finish() {
    let server = Server::http(json!({}));
    let mut idle = server.raw();
    idle.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    idle.read_until("hello");
    let mut running = server.raw();
    running.send("GET /sleep?ms=1500 HTTP/1.1\r\nHost: h\r\n\r\n");
    // Connections are accepted in order: when a later one is answered, that one is running.
    assert_eq!(server.client().get("/hello").text(), "hello");
    assert!(server.stop().success());
    assert!(running.read_to_end().ends_with("slept"));
    assert!(idle.closes_within(Duration::from_secs(5)));
}
