//! `server.on_init`: the command that runs before any plugin.

use crate::plugin::nothing;
use rr_tests::{Room, standin, wait::SOON};
use serde_json::{Value, json};

pub(crate) fn on_init(room: &Room, script: &str, more: Value) -> Value {
    let file = room.write("init.sh", script);
    let mut section = json!({"command": ["sh", file]});
    rr_tests::server::merge(&mut section, more);
    json!({"server": {"command": "php", "on_init": section}})
}

#[test]
fn on_init_runs_before_any_plugin_and_its_output_is_logged() {
    let room = Room::new();
    let path = room.file("made");
    let script = format!("echo \"hello $WHO\"; echo trouble >&2; touch {}", path.display());
    let settings = on_init(&room, &script, json!({"env": {"who": "world"}}));
    let server = standin::launch(room, json!({"TEST_DIE_UNLESS": path}), settings);
    server.wait_started();
    for text in ["hello world", "trouble"] {
        let logged = |line: &Value| line["msg"] == text && line["level"] == "info" && line["logger"] == "server";
        assert!(server.log_json().iter().any(logged), "{}", server.log());
    }
    assert!(server.stop().success());
}

#[test]
fn a_failing_on_init_stops_the_start_only_if_asked() {
    let room = Room::new();
    let settings = on_init(&room, "exit 5", json!({"exit_on_error": true}));
    let server = standin::launch(room, nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("server.on_init: ");
    server.wait_log("exit code 5");

    let room = Room::new();
    let settings = on_init(&room, "exit 5", nothing());
    let server = standin::launch(room, nothing(), settings);
    server.wait_started();
    assert!(server.log().contains("exit code 5"));
    assert!(server.stop().success());
}

#[test]
fn an_endless_on_init_is_killed() {
    let room = Room::new();
    let settings = on_init(
        &room,
        "sleep 1000",
        json!({"exit_on_error": true, "exec_timeout": "200ms"}),
    );
    let server = standin::launch(room, nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("killed after exec_timeout");
}

#[test]
fn a_stop_during_on_init_ends_it() {
    let room = Room::new();
    let settings = on_init(&room, "echo waiting; sleep 1000", nothing());
    let server = standin::launch(room, nothing(), settings);
    server.wait_log("waiting");
    assert!(server.stop().success(), "{}", server.log());
}
