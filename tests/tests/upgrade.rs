//! A plugin's process is replaced under load, and no request is lost.
#![allow(clippy::unwrap_used)]

use rr_tests::{Server, bin, eventually, load::Load, process, wait::SOON};
use serde_json::{Value, json};
use std::process::{Command, Output};

/// Runs a command of the command line against a server.
fn command(server: &Server, arguments: &[&str]) -> Output {
    let file = server.room().file(".rr.yaml");
    let mut command = Command::new(bin::server());
    command.args(arguments).arg("-c").arg(file).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many upgrades: more by `RR_TEST_ROUNDS`.
fn rounds() -> usize {
    let asked = std::env::var("RR_TEST_ROUNDS").ok();
    asked.and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

#[test]
fn an_upgrade_under_load_fails_no_request() {
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    let load_h2 = Load::start_h2(server.address(), 2, "/echo?body=hi");
    let mut pid = server.plugin("rr-http");
    for _ in 0..rounds() {
        let before = (load.answers(), load_h2.answers());
        eventually(SOON, || {
            load.answers() > before.0 + 20 && load_h2.answers() > before.1 + 20
        });
        let upgraded = command(&server, &["upgrade", "http", "--json"]);
        assert!(upgraded.status.success(), "{}", text(&upgraded.stderr));
        let answer: Value = serde_json::from_slice(&upgraded.stdout).unwrap();
        let new = u32::try_from(answer["pid"].as_u64().unwrap()).unwrap();
        assert_ne!(new, pid);
        eventually(SOON, || !process::alive(pid));
        pid = server.plugin("rr-http");
        assert_eq!(pid, new);
    }
    for outcome in [load.stop(), load_h2.stop()] {
        assert_eq!(
            (outcome.refused, &outcome.failures[..]),
            (0, &[][..]),
            "{}",
            server.log()
        );
        assert!(outcome.answers > 20 * rounds());
    }
    assert_eq!(server.workers().len(), 2);
    assert!(server.stop().success());
}

/// A slow request finishes in the old process, while the new one serves already.
#[test]
fn a_long_request_ends_where_it_began() {
    let server = Server::http(json!({}));
    let address = server.address();
    let old = server.plugin("rr-http");
    let slow = std::thread::spawn(move || rr_tests::Client::tcp(address).get("/sleep?ms=1500"));
    eventually(SOON, || {
        let workers = command(&server, &["workers", "http", "--json"]);
        text(&workers.stdout).contains("working")
    });
    assert!(command(&server, &["upgrade", "http"]).status.success());
    assert_eq!(server.client().get("/echo?body=new").text(), "new");
    assert!(process::alive(old));
    assert_eq!(slow.join().unwrap().status, 200);
    eventually(SOON, || !process::alive(old));
}

#[test]
fn a_new_process_that_cannot_start_changes_nothing() {
    let server = Server::http(json!({}));
    let before = server.plugin("rr-http");
    for (binary, reason) in [("/bin/false", "exit code 1"), ("/nowhere", "no such program")] {
        let refused = command(&server, &["upgrade", "http", "--binary", binary]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(reason), "{}", text(&refused.stderr));
        assert_eq!(server.plugin("rr-http"), before);
        assert_eq!(server.client().get("/echo?body=still").text(), "still");
    }
    let unknown = command(&server, &["upgrade", "nothing"]);
    assert!(text(&unknown.stderr).contains("no such plugin: nothing"));
}
