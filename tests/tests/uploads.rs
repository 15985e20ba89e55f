//! Bodies end to end: forms, uploads and their temporary files, size limits (HTTP-12 to HTTP-15, HTTP-20).

#![allow(clippy::unwrap_used)]

use rr_tests::{Reply, Room, Server, eventually, process, wait::SOON};
use serde_json::{Value, json};
use std::{fmt::Write as _, fs, process::Command};

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XX";

/// A server whose temporary files lie in a directory of their own, and that takes bodies up to `limit` MiB.
fn server(limit: u64) -> Server {
    let room = Room::new();
    let dir = room.file("up");
    fs::create_dir(&dir).unwrap();
    let settings = json!({"http": {
        "max_request_size": limit,
        "uploads": {"dir": dir, "forbid": [".php"]},
        "pool": {"num_workers": 1},
    }});
    Server::http_in(room, settings)
}

fn files(server: &Server) -> Vec<String> {
    let entries = fs::read_dir(server.room().file("up")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[track_caller]
fn no_file_stays(server: &Server) {
    eventually(SOON, || files(server).is_empty());
}

/// A file part; without a file name it is a field.
fn part(name: &str, filename: &str, content: &str) -> String {
    let mut part = format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"");
    if !filename.is_empty() {
        write!(part, "; filename=\"{filename}\"\r\nContent-Type: text/x").unwrap();
    }
    part + "\r\n\r\n" + content + "\r\n"
}

fn fails(reply: &Reply, status: u16, text: &str) {
    assert_eq!((reply.status, reply.text()), (status, format!("serve_http: {text}\n")));
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
}

#[test]
fn forms_reach_php_as_trees() {
    let server = server(1);
    let client = server.client();
    let dump = client.post("/dump", FORM, "b[]=x&a[k]=%C3%A9+1&b[]=y").json();
    assert_eq!(dump["parsed"], true);
    assert_eq!(dump["body"], r#"{"a":{"k":"é 1"},"b":["x","y"]}"#);
    let dump = client.post("/dump", FORM, "").json();
    assert_eq!((&dump["parsed"], &dump["body"]), (&json!(true), &json!("")));
    let dump = client.post("/dump", "application/json", r#"{"a":1}"#).json();
    assert_eq!((&dump["parsed"], &dump["body"]), (&json!(false), &json!(r#"{"a":1}"#)));

    let conflict = client.post("/dump", FORM, "a=1&a[b]=2");
    fails(&conflict, 500, "invalid multiple values to key 'a' in tree");
    fails(&client.post("/dump", MULTIPART, ""), 500, "multipart: NextPart: EOF");
    let no_boundary = client.post("/dump", "multipart/form-data", "x");
    fails(&no_boundary, 500, "no multipart boundary param in Content-Type");
}

#[test]
fn raw_body_passes_forms_on() {
    let server = Server::http(json!({"http": {"raw_body": true}}));
    for (content_type, body) in [
        (FORM, "a=1&b".to_owned()),
        (MULTIPART, part("a", "f", "1") + "--XX--\r\n"),
    ] {
        let dump = server.client().post("/dump", content_type, body.clone()).json();
        assert_eq!((&dump["parsed"], &dump["uploads"]), (&json!(false), &Value::Null));
        assert_eq!(dump["body"], body);
    }
}

#[test]
fn uploads_live_as_long_as_the_request() {
    let server = server(1);
    let body = part("name", "", "val")
        + &part("up", "dir/f1.txt", "content1\n")
        + &part("ups[]", "a", "")
        + &part("ups[]", "bad.PHP", "<?php")
        + &part("deep[a][b]", "c", "3")
        + "--XX--\r\n";
    let dump = server.client().post("/dump", MULTIPART, body.clone()).json();
    assert_eq!(
        (&dump["parsed"], &dump["body"]),
        (&json!(true), &json!(r#"{"name":"val"}"#))
    );
    let uploads = &dump["uploads"];
    let up = &uploads["up"];
    assert_eq!(
        (&up["name"], &up["mime"], &up["size"], &up["error"]),
        (&json!("f1.txt"), &json!("text/x"), &json!(9), &json!(0))
    );
    assert_eq!(up["tmpName"]["content"], "Y29udGVudDEK");
    let path = up["tmpName"]["path"].as_str().unwrap();
    assert!(path.starts_with(server.room().file("up").join("upload").to_str().unwrap()));
    assert_eq!(uploads["ups"][0]["size"], 0);
    let refused = json!({"name": "bad.PHP", "mime": "text/x", "size": 0, "error": 8, "tmpName": ""});
    assert_eq!(uploads["ups"][1], refused);
    assert_eq!(uploads["deep"]["a"]["b"]["tmpName"]["content"], "Mw==");
    no_file_stays(&server);

    // What PHP moves away is PHP's.
    let kept = server.room().file("kept");
    let moved = server
        .client()
        .post(&format!("/move?to={}", kept.display()), MULTIPART, body);
    assert_eq!(moved.text(), "3 moved");
    no_file_stays(&server);
    assert_eq!(fs::read_dir(kept).unwrap().count(), 3);
}

#[test]
fn bodies_above_the_limit_are_refused() {
    let server = server(1);
    let too_large = "http: request body too large";
    for content_type in [FORM, MULTIPART, "text/plain"] {
        let body = "a".repeat((1 << 20) + 1);
        fails(
            &server.client().post("/dump", content_type, body.clone()),
            413,
            too_large,
        );

        let mut raw = server.raw();
        raw.send(format!(
            "POST /dump HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let preamble = if content_type == MULTIPART {
            part("a", "f", "")
        } else {
            String::new()
        };
        raw.send(format!("{:x}\r\n{preamble}{body}\r\n", preamble.len() + body.len()));
        let answer = raw.read_until("too large");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        no_file_stays(&server);
    }
    // The next request is served.
    assert_eq!(server.client().get("/hello").text(), "hello");
}

/// Memory stays small while 50 MB pass, and the files are complete.
#[test]
fn large_uploads_do_not_live_in_memory() {
    let server = server(100);
    let plugin = server.plugin("rr-http");
    assert_eq!(server.client().get("/hello").text(), "hello");
    let before = process::resident(plugin).unwrap();
    let content = "0123456789abcdef".repeat(50 << 16);
    let body = part("f", "big", &content) + "--XX--\r\n";
    let kept = server.room().file("kept");
    let moved = server
        .client()
        .post(&format!("/move?to={}", kept.display()), MULTIPART, body);
    assert_eq!(moved.text(), "1 moved");
    let peak = process::peak_resident(plugin).unwrap();
    assert!(
        peak < before + (24 << 20),
        "{before} bytes before, up to {peak} with an upload"
    );
    let file = fs::read_dir(kept).unwrap().next().unwrap().unwrap();
    assert!(fs::read(file.path()).unwrap() == content.as_bytes());
    no_file_stays(&server);

    // The same for a body that is no form: it lies in an unlinked file until the worker takes it.
    let length = server
        .client()
        .post("/length", "text/plain", content[..20 << 20].to_owned());
    assert_eq!(length.text(), (20 << 20).to_string());
    let peak = process::peak_resident(plugin).unwrap();
    assert!(
        peak < before + (24 << 20),
        "{before} bytes before, up to {peak} with a raw body"
    );
    assert!(files(&server).is_empty());
}

#[test]
fn a_client_that_leaves_leaves_no_file() {
    let server = server(100);
    for _ in 0..3 {
        let mut raw = server.raw();
        raw.send(format!(
            "POST /dump HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: 50000000\r\n\r\n"
        ));
        raw.send(part("a", "first", "complete"));
        raw.send(part("b", "second", &"x".repeat(3 << 20)).trim_end());
        // The first file is complete, the second under way.
        eventually(SOON, || files(&server).len() == 2);
        drop(raw);
        no_file_stays(&server);
    }
    assert_eq!(server.client().get("/hello").text(), "hello");
}

/// Without the right to mount there is no small disk to fill, and the test says so.
#[test]
fn a_full_disk_is_told() {
    let server = server(100);
    let dir = server.room().file("up");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(&dir)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no right to mount a small file system");
        return;
    }
    let reply = server
        .client()
        .post("/dump", MULTIPART, part("f", "f", &"x".repeat(2 << 20)) + "--XX--\r\n");
    let left = files(&server);
    let raw = server.client().post("/dump", "text/plain", "x".repeat(2 << 20));
    let small = server
        .client()
        .post("/dump", MULTIPART, part("f", "f", "x") + "--XX--\r\n");
    assert!(Command::new("umount").arg("-l").arg(&dir).status().unwrap().success());

    assert_eq!(reply.json()["uploads"]["f"]["error"], 7);
    assert_eq!(reply.json()["uploads"]["f"]["tmpName"], "");
    assert!(left.is_empty(), "{left:?}");
    fails(&raw, 500, "temporary file: No space left on device (os error 28)");
    assert_eq!(small.json()["uploads"]["f"]["error"], 0);
}
