//! Deaths: of a plugin that runs, of one that starts, of the supervisor.

use crate::plugin::{PLUGIN, answering, nothing};
use nix::sys::signal::Signal;
use rr_tests::{Room, eventually, process, standin, wait::SOON};
use serde_json::json;
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// The supervisor holds the sockets: connections wait in the kernel's queue meanwhile.
#[test]
fn a_killed_plugin_is_restarted_and_no_connection_is_refused() {
    let room = Room::new();
    let child = room.file("child");
    let server = standin::launch(room, json!({"TEST_CHILD": child}), nothing());
    server.wait_started();
    let orphan: u32 = fs::read_to_string(&child).unwrap().parse().unwrap();
    assert!(process::alive(orphan));

    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // A request that the killed process had already taken dies with it; connecting never fails.
                    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
                    use std::io::{Read, Write};
                    let sent = connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                    let mut answer = String::new();
                    if sent.and_then(|()| connection.read_to_string(&mut answer)).is_ok() && !answer.is_empty() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..3 {
            let before = answering(&server);
            process::kill_and_wait(before);
            let after = answering(&server);
            assert_ne!(before, after);
            let seen = answers.load(Ordering::Relaxed);
            eventually(SOON, || answers.load(Ordering::Relaxed) > seen);
        }
        over.store(true, Ordering::Relaxed);
    });
    eventually(SOON, || !process::alive(orphan));
    assert!(server.stop().success());
}

#[test]
fn without_its_supervisor_a_plugin_serves_on_then_drains_and_goes() {
    let server = standin::start(nothing(), json!({"supervisor": {"adopt_timeout": "1s"}}));
    let plugin = server.plugin(PLUGIN);
    server.signal(Signal::SIGKILL);
    server.wait_exit(SOON);
    assert_eq!(answering(&server), plugin, "it serves on");
    eventually(SOON, || !process::alive(plugin));
}

#[test]
fn a_plugin_that_cannot_start_fails_the_start_with_its_own_words() {
    let words = "PHP Fatal error: nothing works\nin worker.php on line 3";
    let server = standin::launch(Room::new(), json!({"TEST_REFUSE": words}), nothing());
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log(&format!("the plugin http cannot start: {words}"));
    assert!(!server.log().contains("RoadRunner server started"));
}

#[test]
fn a_plugin_that_dies_at_start_fails_the_start() {
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), nothing());
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin http cannot start: exit code 7");
}

/// What is no plugin of ours is told by its path.
#[test]
fn a_program_that_is_no_plugin_is_named() {
    let settings = json!({"supervisor": {"plugins": {"http": {"binary": "/bin/true"}}}});
    let server = standin::launch(Room::new(), nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin http cannot start: exit code 0: /bin/true ended before it registered with the server");
}

/// A user that does not exist is told by its key.
#[test]
fn an_unknown_user_is_told_by_its_key() {
    let settings = json!({"supervisor": {"plugins": {"http": {"user": "nosuchuser"}}}});
    let server = standin::launch(Room::new(), nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("supervisor.plugins.http.user: no such user: nosuchuser");
}

#[test]
fn with_keep_going_a_failed_plugin_is_tried_again() {
    let room = Room::new();
    let path = room.file("ready");
    let settings = json!({"supervisor": {"start": "keep_going", "restart": {"max": 100}}});
    let server = standin::launch(room, json!({"TEST_DIE_UNLESS": path}), settings);
    server.wait_log("the plugin has died: exit code 3");
    fs::write(&path, "").unwrap();
    assert_ne!(answering(&server), 0);
    assert!(server.stop().success());
}

#[test]
fn a_plugin_that_was_given_up_answers_503_and_the_server_lives() {
    let settings = json!({"supervisor": {"start": "keep_going", "restart": {"max": 3}}});
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), settings);
    server.wait_log("it is given up");
    assert_eq!(server.client().get("/").status, 503);
    assert!(server.running());
    assert!(server.stop().success());
}
