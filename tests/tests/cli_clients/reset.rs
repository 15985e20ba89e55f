//! `rr reset`: every worker is new, no request fails, and a failure is told (CLI-04, RPC-06).

use crate::served::Served;
use rr_tests::{
    Room, Server, bin, eventually,
    operator::{parsed, printed, refused, rr_in},
    port::{free_port, tcp},
    wait::SOON,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Also Laravel Octane's way of calling: without the file's help, and with an empty stderr.
#[test]
fn a_reset_under_load_loses_no_request_and_replaces_all_workers() {
    let served = Served::start(json!({}));
    let room = Room::new();
    let listen = format!("rpc.listen=tcp://127.0.0.1:{}", served.rpc);
    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    /// Ends the load however this ends, a failed assertion included.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(served.server.client().get("/hello").text(), "hello");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut before = served.server.workers();
        for (place, arguments) in [
            // No file at all, an empty one, and the server's own.
            (&room, vec!["reset", "-o", &listen, "-s"]),
            (&room, vec!["reset", "-o", &listen, "-s"]),
            (served.server.room(), vec!["reset", "http"]),
        ] {
            let seen = answers.load(Ordering::Relaxed);
            let output = rr_in(place, &arguments);
            let said = printed(&output);
            if arguments.contains(&"-s") {
                assert_eq!(said, "");
                room.write(".rr.yaml", "");
            } else {
                let lines: Vec<&str> = said.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap()).collect();
                assert_eq!(lines, ["resetting plugin: [http]", "plugin reset: [http]"]);
            }
            // None of the old ones serves any more; the last may be on its way out.
            let gone = |pid: &u32| !served.server.workers().contains(pid);
            eventually(SOON, || before.iter().all(gone));
            before = served.server.workers();
            eventually(SOON, || answers.load(Ordering::Relaxed) > seen + 5);
        }
    });
    let done = parsed(&served.rr(&["reset", "--json"]));
    assert_eq!(
        (&done["plugins"][0]["plugin"], &done["plugins"][0]["error"]),
        (&json!("http"), &Value::Null)
    );
    assert!(served.server.stop().success());
}

/// The reference exits with 0 whatever happened.
#[test]
fn a_reset_that_fails_is_told() {
    let room = Room::new();
    let broken = room.file("broken");
    let script = bin::script("worker.php");
    // With the file there PHP does not start any more.
    let command = format!("test -e {} && exit 7; exec php {}", broken.display(), script.display());
    let rpc = free_port();
    let server = Server::http_in(
        Room::new(),
        json!({
            "rpc": {"listen": tcp(rpc)},
            "server": {"command": ["sh", "-c", command]},
            "http": {"pool": {"allocate_timeout": "2s"}},
        }),
    );
    room.write("broken", "");
    let served = Served { server, rpc };
    let output = served.rr(&["reset", "http"]);
    let said = refused(&output);
    assert!(
        said.starts_with("the reset of [http] failed: resetter_rpc_reset:"),
        "{said}"
    );
    assert_eq!(
        served.server.client().get("/hello").text(),
        "hello",
        "the old workers serve on"
    );
    let said = refused(&served.rr(&["reset", "nope"]));
    assert!(said.contains("no such plugin: nope"), "{said}");
}
