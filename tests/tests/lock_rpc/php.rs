//! PHP processes that share a counter in a file, under one lock.

use super::Place;
use nix::sys::signal::Signal;
use rr_tests::{bin, eventually, port::tcp, process, wait::SOON};
use serde_json::json;
use std::process::{Child, Command, Stdio};

/// PHP processes that add to a number in a file, 25 times each, under one lock; `meanwhile` runs until all have ended.
fn count(place: &Place, mut meanwhile: impl FnMut()) {
    let file = place.server.room().write("counter", "0 0");
    let mut workers: Vec<Child> = (0..6)
        .map(|_| {
            let mut command = Command::new("php");
            command.arg(bin::script("lock-counter.php"));
            command.arg(tcp(place.port)).arg(&file);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    eventually(SOON * 4, || {
        meanwhile();
        workers.iter_mut().all(|worker| worker.try_wait().unwrap().is_some())
    });
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
    let counter = place.server.room().read("counter");
    assert_eq!(counter.split(' ').next(), Some("150"), "{counter}");
}

#[test]
fn php_processes_share_a_counter() {
    let place = Place::start(json!({}));
    count(&place, || {});
    assert!(place.server.stop().success());
}

#[test]
fn they_count_right_while_the_plugin_is_killed_again_and_again() {
    let place = Place::start(json!({}));
    place.client().lock("Lock", "started", "me", 0).unwrap();
    let (mut kills, mut last) = (0, 0);
    count(&place, || {
        // Each process once, when it has had the time to grant something.
        let pids = process::named(place.server.pid(), "rr-lock");
        let [pid] = pids[..] else { return };
        if pid != last && kills < 8 && place.client().yes("Exists", "counter", "*") {
            process::signal(pid, Signal::SIGKILL);
            last = pid;
            kills += 1;
        }
    });
    assert!(kills > 2, "{kills} kills");
    assert!(place.server.stop().success());
}
