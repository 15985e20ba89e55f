//! A plugin's process is replaced under load, and no request is lost.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Client, Room, Rpc, Server, bin, eventually,
    load::Load,
    process,
    room::free_port,
    rounds,
    rpc_place::local,
    server::{http_config, merge, php},
    wait::SOON,
};
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

#[test]
fn an_upgrade_under_load_fails_no_request() {
    let rounds = rounds(20);
    let server = Server::http(json!({"http": {"http2": {"h2c": true}}}));
    let load = Load::start(server.address(), 4, "/echo?body=hi");
    let load_h2 = Load::start_h2(server.address(), 2, "/echo?body=hi");
    let mut pid = server.plugin("rr-http");
    for _ in 0..rounds {
        load.goes_on();
        load_h2.goes_on();
        let upgraded = command(&server, &["upgrade", "http", "--json"]);
        assert!(upgraded.status.success(), "{}", text(&upgraded.stderr));
        let answer: Value = serde_json::from_slice(&upgraded.stdout).unwrap();
        let new = u32::try_from(answer["pid"].as_u64().unwrap()).unwrap();
        assert_ne!(new, pid);
        eventually(SOON, || !process::alive(pid));
        pid = server.plugin("rr-http");
        assert_eq!(pid, new);
    }
    for load in [load, load_h2] {
        let outcome = load.stop_unharmed(&server);
        assert!(outcome.answers > 20 * rounds);
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

/// The next process takes its time to boot its workers: meanwhile the plugin is shown as upgrading everywhere, up and healthy.
#[test]
fn while_the_next_process_boots_the_plugin_is_shown_as_upgrading() {
    let room = Room::new();
    // Who boots waits as long as this file is there.
    let gate = room.file("gate");
    let script = format!(
        "<?php while (file_exists('{}')) {{ clearstatcache(); usleep(5000); }} require '{}';",
        gate.display(),
        bin::script("worker.php").display()
    );
    let script = room.write("gated.php", script);
    let (rpc, status, metrics) = (free_port(), free_port(), free_port());
    let mut settings = json!({
        "server": {"command": php(&script)},
        "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
        "status": {"address": format!("127.0.0.1:{status}")},
        "metrics": {"address": format!("127.0.0.1:{metrics}")},
    });
    let port = free_port();
    let server = Server::launch(room, port, &http_config(port, settings.clone()).to_string(), &[]);
    server.wait_ready();
    let mut rpc = Rpc::tcp(local(rpc));
    let mut is = |word: &str| {
        let series = format!("rr_plugin_state{{plugin=\"http\",state=\"{word}\"}} 1\n");
        eventually(SOON, || {
            Client::tcp(local(metrics)).get("/metrics").text().contains(&series)
        });
        let page = Client::tcp(local(metrics)).get("/metrics").text();
        assert!(page.contains("rr_plugin_up{plugin=\"http\"} 1\n"), "{page}");
        let health = Client::tcp(local(status)).get("/health?plugin=http");
        assert_eq!(health.status, 200, "{}", health.text());
        let plugins = rpc.call("supervisor.Plugins", &json!(true)).json();
        let top = rpc.call("supervisor.Top", &json!(true)).json();
        let shown = command(&server, &["plugins", "--json"]).stdout;
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let processes = |all: &Value| -> Vec<Value> { all.as_array().unwrap().clone() };
        let mut top = processes(&top);
        for one in &mut top {
            *one = one["process"].take();
        }
        for all in [processes(&plugins), processes(&shown["plugins"]), top] {
            let http = all.iter().find(|one| one["name"] == "http").unwrap();
            assert_eq!(http["state"], word);
            assert_eq!((&http["health"], &http["ready"]), (&json!(""), &json!(true)));
        }
        let table = text(&command(&server, &["plugins"]).stdout);
        let row = table.lines().find(|line| line.contains("│ http ")).unwrap();
        assert!(row.contains(&format!("│ {word} ")) && row.contains("│ ok "), "{table}");
    };
    is("running");
    for order in [["upgrade", "http"].as_slice(), &["reload"]] {
        if order == ["reload"] {
            merge(&mut settings, json!({"http": {"pool": {"num_workers": 3}}}));
            server
                .room()
                .write(".rr.yaml", http_config(port, settings.clone()).to_string());
        }
        std::fs::write(&gate, "").unwrap();
        std::thread::scope(|scope| {
            let done = scope.spawn(|| command(&server, order));
            is("upgrading");
            std::fs::remove_file(&gate).unwrap();
            let done = done.join().unwrap();
            assert!(done.status.success(), "{}", text(&done.stderr));
        });
        is("running");
    }
    assert_eq!(server.workers().len(), 3);
    assert!(server.stop().success());
}
