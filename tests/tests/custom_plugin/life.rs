//! It is treated as one of ours: started, called, replaced, restarted and shown.

use crate::own::{config, left_behind, rpc, start};
use rr_tests::{
    Room, Server, eventually,
    operator::{done, seen},
    port::{at, free_port, local},
    process,
    wait::SOON,
};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_custom_plugin_is_treated_as_one_of_ours() {
    let status = free_port();
    let metrics = free_port();
    let server = start(
        "",
        json!({
            "status": {"address": at(status)},
            "metrics": {"address": at(metrics)},
        }),
    );
    // Nothing in the file is unknown, and its section came as it is written.
    server.wait_log(r#"my section: {\"free\":{\"to\":[\"be\",\"anything\"]}}"#);
    assert!(!server.log().contains("unknown key"), "{}", server.log());
    let said: Vec<Value> = server.log_json();
    let section = said
        .iter()
        .find(|line| line["msg"].as_str().unwrap_or_default().starts_with("my section"));
    assert_eq!(section.unwrap_or_else(|| panic!("{}", server.log()))["logger"], "own");

    let mut rpc = rpc(&server);
    let pid = rpc.call("own.Pid", &Value::Null).json();
    assert_eq!(u64::from(server.plugin("rr-test-custom")), pid);
    let unknown = rpc.call("own.Nothing", &Value::Null);
    assert_eq!(unknown.error().unwrap(), "rpc: can't find method own.Nothing");

    let own = seen(&server, "own");
    assert_eq!(
        (&own["version"], &own["state"], &own["workers"]),
        (&json!("1.2.3"), &json!("running"), &json!(1))
    );
    let workers = done(&server, &["workers", "own"]);
    assert!(workers.contains(&pid.to_string()), "{workers}");
    done(&server, &["reset", "own"]);
    server.wait_log("asked to reset");
    let health = rr_tests::Client::tcp(local(status)).get("/health?plugin=own");
    assert_eq!(health.status, 200, "{}", health.text());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("custom_answers_total 7"), "{page}");
    assert!(page.contains(r#"rr_plugin_up{plugin="own"} 1"#), "{page}");

    assert!(server.stop().success());
    assert!(server.log().contains("bye"), "{}", server.log());
}

/// FEATURES: a plugin's death costs no connection.
#[test]
fn killed_it_comes_back_on_the_same_connection_and_leaves_nothing() {
    let room = Room::new();
    let child = room.file("child");
    let port = free_port();
    let config = config(
        port,
        "",
        json!({"supervisor": {"plugins": {"own": {"env": {"TEST_CHILD": child}}}}}),
    );
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_started();
    let mut rpc = rpc(&server);
    for _ in 0..3 {
        let before = rpc.call("own.Pid", &Value::Null).json();
        let orphan: u32 = fs::read_to_string(&child).unwrap().trim().parse().unwrap();
        process::kill_and_wait(u32::try_from(before.as_u64().unwrap()).unwrap());
        // The call waits for the next process; one that came before the death was seen fails with it.
        eventually(SOON, || {
            let answer = rpc.call("own.Pid", &Value::Null);
            answer.error().is_none() && answer.json() != before
        });
        eventually(SOON, || !process::alive(orphan));
        assert_eq!(left_behind(&server).len(), 1);
    }
    assert!(server.stop().success());
}

#[test]
fn it_is_upgraded_by_overlap_unless_it_keeps_state() {
    let server = start("", json!({}));
    let mut rpc = rpc(&server);
    let before = rpc.call("own.Pid", &Value::Null).json();
    done(&server, &["upgrade", "own"]);
    eventually(SOON, || rpc.call("own.Pid", &Value::Null).json() != before);
    let old = u32::try_from(before.as_u64().unwrap()).unwrap();
    eventually(SOON, || !process::alive(old));
    assert_eq!(left_behind(&server).len(), 1);
    assert!(server.stop().success());
}

#[test]
fn a_plugin_calls_every_method_that_php_can_call() {
    let server = start("", json!({"kv": {"memory": {"driver": "memory"}}}));
    let mut rpc = rpc(&server);
    let mut ask = |method: &str, argument: Value| rpc.call("own.Ask", &json!([method, argument])).json();
    assert_eq!(ask("rpc.Version", Value::Null), "2025.1.15");
    let plugins = ask("supervisor.Plugins", Value::Null);
    assert!(plugins.as_array().unwrap().len() >= 3, "{plugins}");
    // Its own, and one that waits for the plugin that it wakes.
    assert_eq!(ask("own.Env", json!("RR_PLUGIN")), "own");
    let locked = ask("lock.Lock", json!({"resource": "x", "id": "me", "ttl": 0, "wait": 0}));
    assert!(
        locked.to_string().contains("protobuf") || locked.get("ok").is_some(),
        "{locked}"
    );
    for (method, code, text) in [
        ("nobody.Knows", "Unimplemented", "rpc: can't find service nobody.Knows"),
        ("own.Nothing", "Unimplemented", "rpc: can't find method own.Nothing"),
        (
            "informer.AddWorker",
            "Internal",
            "plugin nothing does not support workers management",
        ),
    ] {
        assert_eq!(ask(method, json!("nothing")), json!({"code": code, "text": text}));
    }
    assert!(server.stop().success());
}

#[test]
fn environment_directory_and_sockets_are_as_configured() {
    let room = Room::new();
    let web = free_port();
    let port = free_port();
    fs::create_dir(room.file("elsewhere")).unwrap();
    let settings = json!({"supervisor": {"plugins": {"own": {
        "dir": room.file("elsewhere"), "listen": [at(web)], "env": {"colour": "blue"},
    }}}});
    let config = config(port, "", settings);
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_started();
    let mut rpc = rpc(&server);
    assert_eq!(rpc.call("own.Env", &json!("COLOUR")).json(), "blue");
    assert_eq!(rpc.call("own.Env", &json!("RR_LISTEN_FDS")).json(), "1");
    let dir = rpc.call("own.Dir", &Value::Null).json();
    assert!(dir.as_str().unwrap().ends_with("elsewhere"), "{dir}");
    let pid = server.plugin("rr-test-custom");
    let third = fs::read_link(format!("/proc/{pid}/fd/3")).unwrap();
    assert!(third.to_string_lossy().starts_with("socket:"), "{third:?}");
    // Nobody accepts there, and still nobody is refused: the socket is the supervisor's.
    assert!(std::net::TcpStream::connect(local(web)).is_ok());
    assert!(server.stop().success());
}
