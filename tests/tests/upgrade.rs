//! A plugin's process is replaced under load, and no request is lost.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Client, Room, Rpc, Server, bin, eventually,
    load::Load,
    operator::{self, done, refused, rr, text, told, upgrade},
    port::{at, free_port, local, tcp},
    process, rounds,
    server::{http_config, merge, php},
    wait::SOON,
};
use serde_json::{Value, json};

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
        let new = upgrade(&server, "http");
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

/// Whoever is refused meanwhile hears how to end the wait.
#[test]
fn a_new_process_that_hangs_can_be_given_up() {
    let server = Server::http(json!({}));
    let before = server.plugin("rr-http");
    let hangs = server.room().program("hangs", "exec sleep 1000");
    let first = operator::start(&server, &["upgrade", "http", "--binary", hangs.to_str().unwrap()]);
    eventually(SOON, || !process::named(server.pid(), "sleep").is_empty());
    let hanging = process::named(server.pid(), "sleep")[0];
    for command in [&["upgrade", "http"][..], &["reload"]] {
        let told = refused(&rr(&server, command));
        assert!(told.contains("is not ready within "), "{told}");
        assert!(told.contains(&format!("at once by `kill {hanging}`")), "{told}");
    }
    process::signal(hanging, Signal::SIGTERM);
    let told = refused(&first.wait_with_output().unwrap());
    assert!(told.contains("SIGTERM"), "{told}");
    assert_eq!(server.plugin("rr-http"), before);
    let new = upgrade(&server, "http");
    assert_ne!(new, before);
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
        done(&server, &["workers", "http", "--json"]).contains("working")
    });
    done(&server, &["upgrade", "http"]);
    assert_eq!(server.client().get("/echo?body=new").text(), "new");
    assert!(process::alive(old));
    assert_eq!(slow.join().unwrap().status, 200);
    eventually(SOON, || !process::alive(old));
}

#[test]
fn a_new_process_that_cannot_start_changes_nothing() {
    let server = Server::http(json!({}));
    let before = server.plugin("rr-http");
    let is_none = "ended before it registered with the server, as a program does that is no plugin of it";
    let room = server.room();
    let text_file = room.program("text", "nothing of the kind\n");
    for (binary, reason) in [
        ("/bin/false", format!("exit code 1: /bin/false {is_none}")),
        ("/bin/true", format!("exit code 0: /bin/true {is_none}")),
        (
            text_file.to_str().unwrap(),
            format!("{} {is_none}", text_file.display()),
        ),
        ("/nowhere", "no such program".to_owned()),
    ] {
        let told = refused(&rr(&server, &["upgrade", "http", "--binary", binary]));
        assert!(told.contains(&reason), "{told}");
        assert_eq!(server.plugin("rr-http"), before);
        assert_eq!(server.client().get("/echo?body=still").text(), "still");
    }
    // The one that serves has not stopped.
    let told = done(&server, &["plugins"]);
    assert!(
        told.contains("http: the next process did not start ") && told.contains("and the present one served on"),
        "{told}"
    );
    assert!(!told.contains("http did not start"), "{told}");
    // Another plugin's program speaks the same contract.
    let other = bin::binary("rr-kv");
    let told = refused(&rr(&server, &["upgrade", "http", "--binary", other.to_str().unwrap()]));
    assert!(
        told.contains("the program is the plugin kv, and cannot be the plugin http"),
        "{told}"
    );
    assert_eq!(server.plugin("rr-http"), before);
    assert_eq!(server.client().get("/echo?body=still").text(), "still");

    let unknown = text(&rr(&server, &["upgrade", "nothing"]).stderr);
    assert!(unknown.contains("no such plugin: nothing"), "{unknown}");
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
        "rpc": {"listen": tcp(rpc)},
        "status": {"address": at(status)},
        "metrics": {"address": at(metrics)},
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
        let shown = told(&server, &["plugins", "--json"]);
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
        let table = done(&server, &["plugins"]);
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
            let ordered = scope.spawn(|| done(&server, order));
            is("upgrading");
            std::fs::remove_file(&gate).unwrap();
            ordered.join().unwrap();
        });
        is("running");
    }
    assert_eq!(server.workers().len(), 3);
    assert!(server.stop().success());
}
