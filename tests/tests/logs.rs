//! Logs end to end (LOG-01, LOG-02, HTTP-21): what the whole server writes, and where.

#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use rr_tests::wait::{SOON, holds_within};
use rr_tests::{Room, Server, bin, operator::command, port::free_port, process, server::http_config};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Command;

/// The lines of a logger with this message.
fn with_message(lines: &[Value], logger: &str, message: &str) -> Vec<Value> {
    let mut lines = lines.to_vec();
    lines.retain(|line| line["logger"] == logger && line["msg"] == message);
    lines
}

/// A text of lines, each of which must be JSON.
fn parsed(text: &str) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    text.lines().map(line).collect()
}

/// Waits for a state of a file in the server's directory.
#[track_caller]
fn wait_file(server: &Server, name: &str, state: impl Fn(&str) -> bool) -> String {
    let came = holds_within(SOON, || state(&server.room().read(name)));
    assert!(came, "{name}:\n{}\n{}", server.room().read(name), server.log());
    server.room().read(name)
}

#[test]
fn http_21_production_writes_one_json_line_a_request() {
    let server = Server::http(json!({}));
    server.client().get("/hello?q=%22");
    server.wait_log("\"http log\"");
    let lines = with_message(&server.log_json(), "http", "http log");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["level"], "info");
    assert_eq!(line["status"], 200);
    assert_eq!(line["method"], "GET");
    assert_eq!(
        (&line["URI"], &line["URL"]),
        (&json!("/hello?q=%22"), &json!("/hello?q=%22"))
    );
    assert_eq!((&line["read_bytes"], &line["write_bytes"]), (&json!(0), &json!(5)));
    assert!(
        line["remote_address"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{line}"
    );
    assert!(
        line["elapsed"].is_u64(),
        "a bare number of milliseconds, which Octane multiplies: {line}"
    );
    let [ts, start] = ["ts", "start"].map(|key| line[key].as_i64().unwrap());
    assert!(
        start <= ts && ts - start < 60_000_000_000,
        "nanoseconds since 1970: {line}"
    );
    let text = line.to_string();
    let keys = ["level", "ts", "logger", "msg", "status"];
    assert!(keys.iter().all(|key| text.contains(key)), "{line}");
    assert!(server.stop().success());
}

#[test]
fn http_21_access_logs_have_more_fields() {
    let server = Server::http(json!({"http": {"access_logs": true}}));
    let mut raw = server.raw();
    raw.send("GET /hello?a=1 HTTP/1.1\r\nHost: h:1\r\nUser-Agent: a\"b\\\r\nReferer: /r\r\nConnection: close\r\n\r\n");
    raw.read_to_end();
    server.wait_log("\"http access log\"");
    let line = with_message(&server.log_json(), "http", "http access log").remove(0);
    assert_eq!((&line["query"], &line["host"]), (&json!("a=1"), &json!("h:1")));
    assert_eq!(
        (&line["user_agent"], &line["referer"]),
        (&json!("a\"b\\"), &json!("/r"))
    );
    assert_eq!(line["content_len"], 0);
    assert!(
        line["time_local"].is_string() && line["request_time"].is_i64(),
        "{line}"
    );
}

#[test]
fn log_01_channels_and_levels() {
    let logs = json!({
        "mode": "production",
        "level": "warn",
        "channels": {"http": {"mode": "production", "output": ["http.log"]}},
    });
    let server = Server::http(json!({"logs": logs}));
    server.client().get("/hello");
    server.client().get("/stderr?text=unheard");
    server.client().get("/error?text=boom");
    let text = wait_file(&server, "http.log", |text| text.matches("\"http log\"").count() == 3);
    let lines = parsed(&text);
    assert!(lines.iter().all(|line| line["logger"] == "http"), "{text}");
    assert!(
        lines.iter().all(|line| line["level"] != "debug"),
        "a channel's level is its mode's own"
    );
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.contains("http log") && !log.contains("unheard"), "{log}");
}

#[test]
fn log_01_off_is_silent() {
    let server = Server::http(json!({"logs": {"mode": "off"}}));
    server.client().get("/stderr?text=unheard");
    assert!(server.stop().success());
    let log = server.log();
    assert!(!log.contains("unheard") && !log.contains("http"), "{log}");
}

#[test]
fn log_01_a_workers_stderr_is_whole_with_its_pid() {
    let server = Server::http(json!({}));
    let pid: u32 = server.client().get("/pid").text().parse().unwrap();
    let both: Vec<u32> = server.workers();
    // What Octane's worker writes, and several lines written at once.
    server
        .client()
        .get("/stderr?text=%7B%22type%22%3A%22throwable%22%2C%22line%22%3A1%7D");
    // What is there at once is one message.
    server.wait_log("throwable");
    server.client().get("/stderr?text=PHP%20Warning%3A%20one%0Atwo");
    server.wait_log("PHP Warning: one");
    let lines = server.log_json();
    for message in [r#"{"type":"throwable","line":1}"#, "PHP Warning: one\ntwo"] {
        let of_worker = |line: &&Value| line["msg"].as_str().map(str::trim_end) == Some(message);
        let line = lines
            .iter()
            .find(of_worker)
            .unwrap_or_else(|| panic!("{message}: {lines:?}"));
        assert_eq!((&line["logger"], &line["level"]), (&json!("server"), &json!("info")));
        let by = u32::try_from(line["pid"].as_u64().unwrap()).unwrap();
        assert!(both.contains(&by) || by == pid, "{line}");
        assert_eq!(line["plugin"], "http");
    }
    server.client().get("/stray?text=Deprecated%3A%20strftime");
    server.wait_log("Deprecated: strftime");
}

#[test]
fn log_01_raw_passes_what_applications_write() {
    let server = Server::http(json!({"logs": {"mode": "raw"}}));
    server.client().get("/stderr?text=%7B%22level%22%3A200%7D");
    server.wait_log("{\"level\":200}\n");
    assert!(
        server.log().lines().any(|line| line == "{\"level\":200}"),
        "{}",
        server.log()
    );
}

#[test]
fn log_01_all_lines_are_written_at_the_stop() {
    let server = Server::http(json!({}));
    let mut connection = server.client().connect();
    for _ in 0..500 {
        connection.get("/hello");
    }
    drop(connection);
    assert!(server.stop().success());
    let written = || with_message(&server.log_json(), "http", "http log").len() == 500;
    assert!(holds_within(SOON, written), "{}", server.log());
    let warned = server.log_json().iter().any(|line| line["level"] == "error");
    assert!(!warned, "{}", server.log());
}

#[test]
fn log_02_a_file_rotates_between_lines() {
    let options = json!({"log_output": "logs/rr.log", "max_size": 1, "compress": false});
    let server = Server::http(json!({"logs": {"mode": "production", "level": "info", "file_logger_options": options}}));
    let long = "x".repeat(4000);
    let mut connection = server.client().connect();
    for _ in 0..300 {
        connection.get(&format!("/hello?{long}"));
    }
    drop(connection);
    assert!(server.stop().success());
    let files: Vec<_> = std::fs::read_dir(server.room().file("logs"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(files.len(), 3, "2.4 MB in files of 1 MB: {files:?}");
    let mut requests = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.len() <= 1024 * 1024);
        requests += with_message(&parsed(&text), "http", "http log").len();
    }
    assert_eq!(requests, 300);
}

#[test]
fn log_02_a_file_that_logrotate_moved_is_made_anew() {
    let server = Server::http(json!({"logs": {"mode": "production", "level": "info", "output": ["rr.log"]}}));
    server.client().get("/hello?first");
    wait_file(&server, "rr.log", |text| text.contains("/hello?first"));
    std::fs::rename(server.room().file("rr.log"), server.room().file("rr.log.1")).unwrap();
    server.client().get("/hello?second");
    wait_file(&server, "rr.log", |text| text.contains("/hello?second"));
    assert!(!server.room().read("rr.log.1").contains("/hello?second"));

    std::fs::rename(server.room().file("rr.log"), server.room().file("rr.log.2")).unwrap();
    server.signal(Signal::SIGHUP);
    wait_file(&server, "rr.log", |_| server.room().file("rr.log").exists());
    server.client().get("/hello?third");
    wait_file(&server, "rr.log", |text| text.contains("/hello?third"));
    assert!(server.stop().success());
}

#[test]
fn up_shows_lines_for_people_whatever_the_configuration_says() {
    let (room, port) = (Room::new(), free_port());
    let logs = json!({"mode": "production", "encoding": "json", "output": ["rr.log"]});
    let config = room.write(".rr.yaml", http_config(port, json!({"logs": logs})).to_string());
    let server = Server::run(room, port, command(&["up"], &config));
    server.wait_ready();
    server.client().get("/hello?people");
    server.client().get("/stderr?text=PHP%20Warning%3A%20one%0Atwo");
    server.wait_log(" http       | INFO  200 GET /hello?people ");
    server.wait_log(" http       | WARN  PHP Warning: one\n         http       |       two\n");
    assert!(
        !server.log().contains('\u{1b}'),
        "no colours where nobody looks: {}",
        server.log()
    );
    assert!(!server.room().file("rr.log").exists());
    assert!(server.stop().success());
}

#[test]
fn log_01_a_pipe_that_nobody_reads_holds_up_no_request() {
    let (room, port) = (Room::new(), free_port());
    let pipe = room.file("stderr");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    // Opened for both, so that neither side waits for the other to open it.
    let held = File::options().read(true).write(true).open(&pipe).unwrap();
    let config = room.write(".rr.yaml", http_config(port, json!({})).to_string());
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#"exec "$0" serve -c "$1" 2>"$2""#)
        .arg(bin::server())
        .arg(config)
        .arg(&pipe);
    let server = Server::run(room, port, command);
    server.wait_ready();

    let long = "x".repeat(8000);
    let mut connection = server.client().connect();
    for _ in 0..800 {
        assert_eq!(connection.get(&format!("/hello?{long}")).status, 200);
    }

    // Now somebody reads: what is in the pipe, in the sockets, and the count of what found no room.
    let (tx, rx) = std::sync::mpsc::sync_channel(10_000);
    std::thread::spawn(move || {
        for line in BufReader::new(held).lines().map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if tx.send((line["msg"].clone(), line["dropped"].as_u64())).is_err() {
                return;
            }
        }
    });
    let (mut written, mut dropped, mut later) = (0, 0, 0);
    let counted = holds_within(SOON, || {
        if dropped == 0 {
            connection.get("/hello");
            later += 1;
        }
        for (message, count) in rx.try_iter() {
            written += u64::from(message == "http log");
            dropped += count.unwrap_or(0);
        }
        dropped > 0 && written + dropped == 800 + later
    });
    assert!(counted, "{written} lines written, {dropped} dropped of {}", 800 + later);
}

#[test]
fn log_01_without_its_supervisor_a_plugin_writes_to_stderr() {
    let server = Server::http(json!({"supervisor": {"adopt_timeout": "20s"}, "logs": {"output": ["rr.log"]}}));
    let plugin = server.plugin("rr-http");
    server.client().get("/hello?before");
    wait_file(&server, "rr.log", |text| text.contains("/hello?before"));
    // The supervisor reads what the plugin writes past its log.
    let stderr = |pid: u32| std::fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
    let users = stderr(server.pid());
    assert_ne!(stderr(plugin), users);
    process::signal(server.pid(), Signal::SIGKILL);
    server.wait_exit(SOON);
    server.client().get("/hello?after");
    server.wait_log("/hello?after");
    assert!(holds_within(SOON, || stderr(plugin) == users), "{}", server.log());
    process::signal(plugin, Signal::SIGTERM);
    assert!(holds_within(SOON, || !process::alive(plugin)), "{}", server.log());
}
