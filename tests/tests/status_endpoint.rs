//! `/health`, `/ready` and `/jobs` (STAT-01, HTTP-33, ERR-14).
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_common::frame::flag;
use rr_tests::{
    Client, Reply, Room, Rpc, Server, bin, eventually,
    port::{at, free_port, local, tcp},
    process, standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, thread};

/// What one plugin's entry looks like.
fn fine(plugin: &str) -> Value {
    json!({"plugin_name": plugin, "error_message": "", "status_code": 200})
}

fn failing(plugin: &str, code: u16) -> Value {
    json!({"plugin_name": plugin, "error_message": "internal server error, see logs", "status_code": code})
}

/// A status section on a free port, and a client for it.
fn section(more: Value) -> (Value, Client) {
    let port = free_port();
    let mut status = json!({"address": at(port)});
    rr_tests::server::merge(&mut status, more);
    (json!({"status": status}), Client::tcp(local(port)))
}

fn assert_is(reply: &Reply, status: u16, entries: &[Value]) {
    assert_eq!((reply.status, reply.json()), (status, Value::from(entries)));
}

/// A plugin `NAME` that is the stand-in with these variables and without a port.
fn other(name: &str, mut variables: Value) -> Value {
    variables["TEST_NO_PORT"] = json!("1");
    let process = json!({"command": [bin::binary("rr-test-plugin")], "env": variables});
    json!({"supervisor": {"plugins": {name: process}}})
}

#[test]
fn it_answers_as_the_reference() {
    let (settings, status) = section(json!({}));
    let _server = Server::http(settings);
    for path in [
        "/health",
        "/ready",
        "/health?plugin=http",
        "/ready?plugin=nope&plugin=http",
    ] {
        let reply = status.get(path);
        assert_is(&reply, 200, &[fine("http")]);
        assert_eq!(
            reply.text(),
            r#"[{"plugin_name":"http","error_message":"","status_code":200}]"#
        );
        assert!(reply.header("content-type").starts_with("text/plain"), "{reply:?}");
    }
    assert_is(&status.get("/health?plugin=nope"), 200, &[]);
    assert_is(&status.get("/ready?plugin=nope"), 200, &[]);
    for path in ["/", "/health/", "/status"] {
        assert_eq!(
            (status.get(path).status, status.get(path).text()),
            (404, "404 page not found\n".into())
        );
    }
    let jobs = status.get("/jobs");
    assert_eq!((jobs.status, jobs.text()), (503, "jobs plugin not found\n".into()));
}

#[test]
fn a_busy_pool_is_healthy_and_not_ready() {
    let (mut settings, status) = section(json!({"unavailable_status_code": 500}));
    settings["http"] = json!({"pool": {"num_workers": 1}});
    let server = Server::http(settings);
    assert_is(&status.get("/ready"), 200, &[fine("http")]);
    thread::scope(|scope| {
        let slow = scope.spawn(|| server.client().get("/sleep?ms=1000").text());
        eventually(SOON, || status.get("/ready").status == 500);
        assert_is(&status.get("/ready"), 500, &[failing("http", 500)]);
        assert_is(&status.get("/health"), 200, &[fine("http")]);
        assert_eq!(slow.join().unwrap(), "slept");
    });
    eventually(SOON, || status.get("/ready").status == 200);
    server.wait_log("no worker of the pool http is free");
    server.wait_log("the plugin is ready again");
}

#[test]
fn a_plugin_that_was_given_up_is_unhealthy() {
    let (mut settings, status) = section(json!({}));
    settings["supervisor"] = json!({"start": "keep_going", "restart": {"max": 2}});
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "3"}), settings);
    eventually(SOON, || {
        status.try_send(get("/health")).is_ok_and(|reply| reply.status == 503)
    });
    server.wait_log("it is given up");
    for path in ["/health", "/ready"] {
        assert_is(&status.get(path), 503, &[failing("http", 503)]);
    }
}

#[test]
fn a_plugin_that_does_not_answer_is_unhealthy_after_the_timeout() {
    let (settings, status) = section(json!({"check_timeout": 1}));
    let server = standin::start(json!({}), settings);
    let plugin = server.plugin("rr-test-plugin");
    assert_is(&status.get("/health"), 200, &[fine("http")]);
    process::signal(plugin, Signal::SIGSTOP);
    assert_is(&status.get("/health"), 503, &[failing("http", 503)]);
    process::signal(plugin, Signal::SIGCONT);
    assert_is(&status.get("/health"), 200, &[fine("http")]);
}

/// Those that the reference does not list are asked for by name, and speak up when something is wrong with them.
#[test]
fn other_plugins_are_listed_while_they_are_unhealthy() {
    let (mut settings, status) = section(json!({}));
    let room = Room::new();
    let reason = room.file("reason");
    rr_tests::server::merge(&mut settings, other("mine", json!({"TEST_UNHEALTHY": reason})));
    let server = standin::launch(room, json!({}), settings);
    server.wait_started();

    assert_is(&status.get("/health"), 200, &[fine("http")]);
    assert_is(&status.get("/health?plugin=mine"), 200, &[fine("mine")]);
    server.room().write("reason", "its server is gone");
    let entry = json!({"plugin_name": "mine", "error_message": "its server is gone", "status_code": 503});
    assert_is(&status.get("/health"), 503, &[entry.clone(), fine("http")]);
    assert_is(&status.get("/health?plugin=mine"), 503, &[entry]);
    assert_is(&status.get("/health?plugin=http"), 200, &[fine("http")]);
    assert_is(&status.get("/ready"), 200, &[fine("http")]);
    std::fs::remove_file(reason).unwrap();
    assert_is(&status.get("/health"), 200, &[fine("http")]);
}

#[test]
fn not_ready_from_the_first_moment_of_a_stop_and_healthy_to_the_last() {
    let (settings, status) = section(json!({}));
    let server = standin::start(json!({"TEST_SLOW_DRAIN": "1000"}), settings);
    assert_eq!(status.get("/ready").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_log("stop signal received");
    eventually(SOON, || status.get("/ready").status == 503);
    assert!(!server.log().contains("drained"), "the stop goes on: {}", server.log());
    for (path, code) in [
        ("/health", 200),
        ("/ready", 503),
        ("/jobs", 503),
        ("/health?plugin=http", 200),
    ] {
        let reply = status.get(path);
        assert_eq!(
            (reply.status, reply.text()),
            (code, "service is shutting down\n".into()),
            "{path}"
        );
    }
    // Until nobody listens any more it is healthy.
    eventually(SOON, || match status.try_send(get("/health")) {
        Ok(reply) => {
            assert_eq!(reply.status, 200);
            false
        }
        Err(_) => true,
    });
    assert!(server.wait_exit(SOON).success());
    assert!(server.log().contains("drained"));
}

#[test]
fn pipelines_are_told_by_the_jobs_plugin() {
    let (mut settings, status) = section(json!({}));
    // One Stat: pipeline p1, driver memory, queue p1, active 3, ready, priority 10.
    let stat = "0a160a0270311206 6d656d6f7279 1a027031 2003 3801 400a".replace(' ', "");
    rr_tests::server::merge(&mut settings, other("jobs", json!({"TEST_STAT": stat})));
    let server = standin::start(json!({}), settings);
    let reply = status.get("/jobs?plugin=jobs");
    let expected = r#"[{"pipeline":"p1","priority":10,"ready":true,"queue":"p1","active":3,"delayed":0,"reserved":0,"driver":"memory","error_message":""}]"#;
    assert_eq!((reply.status, reply.text()), (200, expected.into()), "{}", server.log());
    assert_is(&status.get("/health?plugin=jobs"), 200, &[fine("jobs")]);
}

#[test]
fn php_can_ask_too() {
    let port = free_port();
    let (mut settings, _) = section(json!({}));
    settings["rpc"] = json!({"listen": tcp(port)});
    let room = Room::new();
    let variables = json!({"TEST_UNHEALTHY": room.file("reason")});
    let server = standin::launch(room, variables, settings);
    server.wait_started();
    let mut rpc = Rpc::tcp(local(port));
    for method in ["status.Status", "status.Ready"] {
        assert_eq!(
            rpc.call(method, &json!({"plugin": "http"})).json(),
            json!({"code": 200})
        );
        let answer = rpc.exchange(method, flag::PROTO, b"\x0a\x04http");
        assert_eq!((answer.error(), &answer.body[..]), (None, &b"\x08\xc8\x01"[..]));
    }
    let unknown =
        |operation: &str| format!("checker_rpc_{operation}:\n\tchecker_plugin_{operation}: no such plugin: x");
    let error = rpc.call("status.Status", &json!({"plugin": "x"})).error();
    assert_eq!(error, Some(unknown("status")));
    let error = rpc.exchange("status.Ready", flag::PROTO, b"\x0a\x01x").error();
    assert_eq!(error, Some(unknown("ready")));
    server.room().write("reason", "no more");
    let answer = rpc.call("status.Status", &json!({"plugin": "http"})).json();
    assert_eq!(answer, json!({"code": 503, "message": "no more"}));
}

#[test]
fn a_taken_port_is_told_with_its_key() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = standin::launch(Room::new(), json!({}), json!({"status": {"address": address}}));
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log(&format!("status.address: listen {address}: Address already in use"));
}

#[test]
fn two_keys_cannot_have_one_address() {
    let port = free_port();
    let address = at(port);
    let settings = json!({"http": {"address": address}, "status": {"address": address}});
    let server = standin::launch(Room::new(), json!({}), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("status.address: ");
    server.wait_log("another key of this configuration has the same address");
}

fn get(path: &str) -> http::Request<bytes::Bytes> {
    http::Request::get(path).body(bytes::Bytes::new()).unwrap()
}
