//! Deaths with real PHP below: nothing of it is left, and the user reads why (CORE-03, CORE-13, ERR-09).
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{Room, Server, eventually, port::free_port, process, server::http_config, wait::SOON};
use serde_json::{Value, json};

fn none_alive(pids: &[u32]) -> bool {
    !pids.iter().any(|pid| process::alive(*pid))
}

/// Starts a server that is expected to fail, and returns what it said.
fn failing(room: Room, settings: Value) -> String {
    let port = free_port();
    let server = Server::launch(room, port, &http_config(port, settings).to_string(), &[]);
    assert_eq!(server.wait_exit(SOON).code(), Some(1), "{}", server.log());
    eventually(SOON, || none_alive(&server.workers()));
    server.log()
}

#[test]
fn a_killed_plugin_leaves_no_php_and_is_back_at_once() {
    let server = Server::http(json!({}));
    for _ in 0..3 {
        let (plugin, workers) = (server.plugin("rr-http"), server.workers());
        assert_eq!(workers.len(), 2);
        process::kill_and_wait(plugin);
        // This request waits in the kernel's queue until the new process takes it.
        assert_eq!(server.client().get("/hello").text(), "hello");
        eventually(SOON, || none_alive(&workers));
        assert_ne!(server.plugin("rr-http"), plugin);
    }
    assert!(server.stop().success());
}

/// The parent-death signal reaches `sh` only; PHP below it is an orphan that comes to the supervisor.
#[test]
fn php_below_a_wrapper_dies_with_its_plugin_too() {
    let script = rr_tests::bin::script("worker.php");
    let command = json!(["sh", "-c", format!("php {}; exit 0", script.display())]);
    let server = Server::http(json!({"server": {"command": command}}));
    let (plugin, workers) = (server.plugin("rr-http"), server.workers());
    assert_eq!(workers.len(), 2);
    process::kill_and_wait(plugin);
    assert_eq!(server.client().get("/hello").text(), "hello");
    eventually(SOON, || none_alive(&workers));
    assert!(server.stop().success());
}

#[test]
fn without_the_supervisor_requests_are_served_then_all_php_goes() {
    let server = Server::http(json!({"supervisor": {"adopt_timeout": "1s"}}));
    let (plugin, workers) = (server.plugin("rr-http"), server.workers());
    server.signal(Signal::SIGKILL);
    server.wait_exit(SOON);
    assert_eq!(server.client().get("/hello").text(), "hello");
    eventually(SOON, || !process::alive(plugin) && none_alive(&workers));
}

#[test]
fn a_forced_end_leaves_no_php() {
    let server = Server::http(json!({}));
    let workers = server.workers();
    // A busy worker keeps the drain waiting.
    let mut connection = server.raw();
    connection.send("GET /sleep?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
    server.stop_twice();
    assert!(!server.wait_exit(SOON).success());
    eventually(SOON, || none_alive(&workers));
}

#[test]
fn a_script_that_fails_at_boot_is_told_in_phps_own_words() {
    let room = Room::new();
    let script = room.write("broken.php", "<?php\nfunction_that_does_not_exist();\n");
    let said = failing(room, json!({"server": {"command": ["php", script]}}));
    assert!(said.contains("the plugin http cannot start"), "{said}");
    assert!(
        said.contains("Call to undefined function function_that_does_not_exist()"),
        "{said}"
    );
}

#[test]
fn a_missing_script_is_told() {
    let said = failing(Room::new(), json!({"server": {"command": "php no-such-script.php"}}));
    assert!(said.contains("Could not open input file: no-such-script.php"), "{said}");
}

#[test]
fn a_missing_php_is_told() {
    let said = failing(Room::new(), json!({"server": {"command": "no-such-php worker.php"}}));
    assert!(said.contains("no-such-php"), "{said}");
}

/// The contract's pool calls with real workers: list, reset, one more, one less, metrics.
#[test]
fn the_pool_is_seen_and_changed_over_the_contract() {
    use rr_common::control::{
        connect,
        v1::{self, plugin_client::PluginClient},
    };
    let room = Room::new();
    let control = room.file("control");
    let server = Server::http_in(room, json!({"supervisor": {"control": {"dir": control}}}));
    let own = control.join(format!("http.{}.sock", server.plugin("rr-http")));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut plugin = PluginClient::new(connect(&own).await.unwrap());
        assert!(plugin.ready(v1::ReadyRequest {}).await.unwrap().into_inner().ready);
        let before = server.workers();
        let listed = plugin
            .workers(v1::WorkersRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut pids: Vec<u32> = listed.workers.iter().map(|worker| worker.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, before);
        assert!(
            listed
                .workers
                .iter()
                .all(|w| w.status_text == "ready" && w.memory_bytes > 0)
        );

        plugin.reset(v1::ResetRequest::default()).await.unwrap();
        eventually(SOON, || none_alive(&before) && server.workers().len() == 2);
        plugin.add_worker(v1::AddWorkerRequest::default()).await.unwrap();
        eventually(SOON, || server.workers().len() == 3);
        let text = plugin.metrics(v1::MetricsRequest {}).await.unwrap().into_inner().text;
        assert!(text.contains("rr_http_total_workers 3"), "{text}");
        plugin.remove_worker(v1::RemoveWorkerRequest::default()).await.unwrap();
        eventually(SOON, || server.workers().len() == 2);
    });
    assert!(server.stop().success());
}
