//! A reset under load: no request fails, and the capacity stays.
#![allow(clippy::unwrap_used)]

use rr_tests::{
    Rpc, Server, eventually,
    load::Load,
    operator::{printed, rr, upgrade},
    port::{free_port, local, tcp},
    process, rounds,
    wait::SOON,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

/// Workers of the pool, and how many of them may be replaced at once.
const WORKERS: usize = 4;
const SHARE: usize = 1;

/// The workers as the server tells them.
fn workers(rpc: &mut Rpc) -> Vec<Value> {
    let list = rpc.call("informer.Workers", &json!("http")).json();
    list["workers"].as_array().cloned().unwrap_or_default()
}

/// A reset that meets a plugin's replacement is one of the next process.
#[test]
fn resets_among_upgrades_succeed() {
    let server = Server::http(json!({"rpc": {"listen": tcp(free_port())}}));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let resets = scope.spawn(|| {
            let mut resets = 0;
            while !over.load(Ordering::Relaxed) {
                printed(&rr(&server, &["reset", "http"]));
                resets += 1;
            }
            resets
        });
        for _ in 0..rounds(5) {
            upgrade(&server, "http");
        }
        over.store(true, Ordering::Relaxed);
        assert!(resets.join().unwrap() > 0);
    });
    assert!(server.stop().success());
}

/// Requests of two seconds among fast ones. While the workers are replaced, as many as are configured are there for the next
/// request at every moment, and no more processes than a share on top; no request fails.
#[test]
fn a_reset_under_load_fails_no_request_and_keeps_the_capacity() {
    let port = free_port();
    let server = Server::http(json!({
        "rpc": {"listen": tcp(port)},
        "http": {"pool": {"num_workers": WORKERS, "reset_share": 25}},
    }));
    let before = server.workers();
    let fast = Load::start(server.address(), 2, "/echo?body=hi");
    let slow = Load::start(server.address(), 2, "/sleep?ms=2000");
    let mut rpc = Rpc::tcp(local(port));
    // Both slow requests run.
    eventually(SOON, || {
        let busy = workers(&mut rpc);
        let long = busy.iter().filter(|worker| worker["busyMs"].as_u64() > Some(200));
        long.count() == 2
    });
    let over = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut rpc = Rpc::tcp(local(port));
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                let seen = workers(&mut rpc);
                let serves = |worker: &&Value| ["ready", "working"].contains(&worker["statusStr"].as_str().unwrap());
                assert!(seen.iter().filter(serves).count() >= WORKERS, "{seen:?}");
                assert!(seen.len() <= WORKERS + SHARE, "{seen:?}");
                looks += 1;
            }
            looks
        });
        let reset = rr(&server, &["reset", "http"]);
        over.store(true, Ordering::Relaxed);
        printed(&reset);
        watch.join().unwrap()
    });
    assert!(looks > 10, "{looks} looks");
    // None of them serves any more; the last one may still be on its way out.
    eventually(SOON, || !before.iter().any(|pid| process::alive(*pid)));
    assert!(!server.workers().iter().any(|pid| before.contains(pid)));
    for load in [fast, slow] {
        load.stop_unharmed(&server);
    }
    assert_eq!(server.workers().len(), WORKERS);
    assert!(server.stop().success());
}
