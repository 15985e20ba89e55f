//! The examples of plugins, as their READMEs say.

use rr_tests::{
    Room, Server, bin, eventually, examples,
    operator::{self, succeeded},
    port::{free_port, local},
    process,
    wait::SOON,
};
use serde_json::json;

/// Serves an example of a plugin as its README says, on ports of its own; its RPC socket is in the room.
fn example(name: &str, overrides: &[String]) -> Server {
    let room = Room::new();
    let mut all = vec![
        format!("rpc.listen=unix://{}", room.file("rpc.sock").display()),
        "logs.level=debug".to_owned(),
    ];
    all.extend_from_slice(overrides);
    examples::serve(room, name, &all)
}

/// A plugin in Python, from the contract's file alone, called by PHP; killed, and upgraded, behind PHP's back.
#[test]
fn the_python_example() {
    if !bin::repository()
        .join("examples/plugin-python/.venv/bin/python")
        .exists()
    {
        assert!(
            std::env::var_os("CI").is_none(),
            "bin/setup test installs what the Python example needs"
        );
        println!("skipped: examples/plugin-python/.venv is not there; bin/setup test makes it");
        return;
    }
    let (metrics, status) = (free_port(), free_port());
    let server = example(
        "plugin-python",
        &[
            format!("metrics.address=127.0.0.1:{metrics}"),
            format!("status.address=127.0.0.1:{status}"),
        ],
    );
    server.wait_log("47 words are known");
    let workers = server.workers();
    let client = server.client();
    let suggests = || client.get("/?word=recieve");
    assert_eq!(suggests().json(), json!(["receive", "believe", "achieve"]));
    let health = rr_tests::Client::tcp(local(status)).get("/health?plugin=words");
    assert_eq!(health.status, 200, "{}", health.text());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("words_suggest_calls_total 1"), "{page}");

    let plugin = || {
        let found = process::named_by(server.pid(), |name| name.starts_with("python"));
        (found.len() == 1).then(|| found[0])
    };
    let first = plugin().unwrap();
    process::kill_and_wait(first);
    eventually(SOON, || suggests().status == 200);
    let second = plugin().unwrap();
    assert_ne!(first, second);
    // The same PHP processes, on the connections that they had.
    assert_eq!(server.workers(), workers);

    let over = std::sync::atomic::AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut connection = client.connect();
            let mut failed = Vec::new();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let reply = connection.get("/?word=recieve");
                if reply.status != 200 {
                    failed.push(reply.text());
                }
            }
            failed
        });
        let socket = format!("rpc.listen=unix://{}", server.room().file("rpc.sock").display());
        let config = bin::repository().join("examples/plugin-python/.rr.yaml");
        let upgrade = operator::command(&["upgrade", "words", "-o", &socket], &config)
            .output()
            .unwrap();
        eventually(SOON, || plugin().is_some_and(|pid| pid != second));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        succeeded(&server, &upgrade);
        load.join().unwrap()
    });
    assert_eq!(failed, Vec::<String>::new());
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn the_rust_example() {
    let metrics = free_port();
    let server = example(
        "plugin-rust",
        &[
            format!("metrics.address=127.0.0.1:{metrics}"),
            format!("supervisor.plugins.ids.command={}", bin::binary("rr-ids").display()),
        ],
    );
    let client = server.client();
    let ids: Vec<u64> = (0..10)
        .map(|_| client.get("/").json()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (1000..1010).collect::<Vec<_>>());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("ids_calls_total 10"), "{page}");
    let socket = format!("rpc.listen=unix://{}", server.room().file("rpc.sock").display());
    let config = bin::repository().join("examples/plugin-rust/.rr.yaml");
    let upgrade = operator::command(&["upgrade", "ids", "-o", &socket], &config)
        .output()
        .unwrap();
    succeeded(&server, &upgrade);
    let next = client.get("/").json();
    assert_eq!(next["id"], 1010, "it is handed over");
    eventually(SOON, || process::named(server.pid(), "rr-ids").len() == 1);
    process::kill_and_wait(server.plugin("rr-ids"));
    eventually(SOON, || client.get("/").status == 200);
    assert!(server.stop().success(), "{}", server.log());
}
