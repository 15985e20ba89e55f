//! One that misbehaves is named, costs its own calls, and ends with the server.

use crate::own::{launch, rpc, start};
use rr_tests::wait::SOON;
use serde_json::{Value, json};

#[test]
fn one_that_never_becomes_a_plugin_is_named_with_the_reason() {
    let quick = json!({"supervisor": {"plugins": {"own": {"start_timeout": "300ms"}}}});
    for (mode, reason) in [
        (
            "silent",
            "the plugin own cannot start: it took too long: it had not even registered within 300ms",
        ),
        ("unregistered", "it says Started, but has not registered"),
        (
            "stranger",
            "this supervisor has not started a plugin http with this process",
        ),
    ] {
        let server = launch(mode, quick.clone());
        assert_eq!(server.wait_exit(SOON).code(), Some(1), "{mode}");
        assert!(server.log().contains(reason), "{mode}: {}", server.log());
    }
    let script =
        json!({"supervisor": {"plugins": {"own": {"command": ["sh", "-c", "echo what is wrong >&2; exit 3"]}}}});
    let server = launch("", script);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("what is wrong");
    assert!(
        server.log().contains("the plugin own cannot start: exit code 3"),
        "{}",
        server.log()
    );
}

#[test]
fn rubbish_on_its_sockets_costs_only_its_own_calls() {
    for mode in ["rubbish", "rubbish-calls"] {
        let server = start(mode, json!({}));
        let mut rpc = rpc(&server);
        for _ in 0..3 {
            let answer = rpc.call("own.Pid", &Value::Null);
            assert!(answer.error().is_some(), "{mode}: {}", answer.text());
            assert_eq!(rpc.call("rpc.Version", &Value::Null).error(), None);
        }
        assert!(server.stop().success(), "{mode}: {}", server.log());
    }
}

#[test]
fn one_that_does_not_stop_is_killed_at_the_end_of_the_grace_period() {
    let server = start("hang", json!({"endure": {"grace_period": "700ms"}}));
    server.stop();
    let log = server.log();
    assert!(
        log.contains("asked to stop") && log.contains("killed: it took too long to stop"),
        "{log}"
    );
}
