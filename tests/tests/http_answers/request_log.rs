//! The lines that a request leaves in the log.

use http::Request;
use rr_tests::{Server, eventually, wait::SOON};
use serde_json::json;

// HTTP-21
#[test]
fn the_request_log() {
    let server = Server::http(json!({}));
    server.client().get("/echo?body=12345");
    let line = |message: &str| {
        server
            .log_json()
            .into_iter()
            .find(|line| line["msg"] == message && line["URI"] == "/echo?body=12345")
    };
    eventually(SOON, || line("http log").is_some());
    let line = line("http log").unwrap();
    assert_eq!((&line["level"], &line["logger"]), (&json!("info"), &json!("http")));
    let names: Vec<_> = line.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "level",
        "ts",
        "logger",
        "msg",
        "status",
        "method",
        "URI",
        "URL",
        "remote_address",
        "read_bytes",
        "write_bytes",
        "start",
        "elapsed",
    ];
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(
        (&line["status"], &line["write_bytes"], &line["URL"]),
        (&json!(200), &json!(5), &json!("/echo?body=12345"))
    );
    assert!(line["elapsed"].is_i64() && line["remote_address"].as_str().unwrap().starts_with("127.0.0.1:"));
}

// HTTP-21
#[test]
fn the_access_log() {
    let server = Server::http(json!({"http": {"access_logs": true}}));
    let mut sent = Request::post("/echo?q=1")
        .header("user-agent", "me/1")
        .header("referer", "/from");
    sent.headers_mut()
        .unwrap()
        .insert("content-type", "text/plain".parse().unwrap());
    server.client().send(sent.body("1234567".into()).unwrap());
    let line = || {
        server
            .log_json()
            .into_iter()
            .find(|line| line["msg"] == "http access log")
    };
    eventually(SOON, || line().is_some());
    let line = line().unwrap();
    for (name, value) in [
        ("read_bytes", json!(7)),
        ("write_bytes", json!(7)),
        ("status", json!(200)),
        ("method", json!("POST")),
        ("query", json!("q=1")),
        ("content_len", json!(7)),
        ("host", json!(server.address().to_string())),
        ("user_agent", json!("me/1")),
        ("referer", json!("/from")),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    for name in ["time_local", "request_time", "start", "elapsed"] {
        assert!(line.get(name).is_some(), "{name}");
    }
}
