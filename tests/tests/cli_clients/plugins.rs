//! `rr plugins`: every process of the server, and what died lately.

use crate::served::{Served, cells, row};
use nix::sys::signal::Signal;
use rr_tests::{
    eventually,
    operator::{parsed, printed},
    process,
    wait::SOON,
};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn plugins_are_shown_with_pid_age_memory_and_deaths() {
    let served = Served::start(json!({}));
    let http = served.server.plugin("rr-http");
    let all = parsed(&served.rr(&["plugins", "--json"]))["plugins"].take();
    assert_eq!(
        (&all[0]["name"], &all[0]["pid"]),
        (&json!("supervisor"), &json!(served.server.pid()))
    );
    let named = |name: &str| {
        all.as_array()
            .unwrap()
            .iter()
            .find(|process| process["name"] == name)
            .unwrap()
    };
    let plugin = named("http");
    assert_eq!(plugin["pid"], http);
    assert_eq!((&plugin["state"], &plugin["workers"]), (&json!("running"), &json!(2)));
    assert_eq!(
        (&plugin["health"], &plugin["ready"], &plugin["restarts"]),
        (&json!(""), &json!(true), &json!(0))
    );
    // Locks wait for their first call.
    let lock = named("lock");
    assert_eq!((&lock["state"], &lock["on_demand"]), (&json!("down"), &json!(true)));
    for process in [named("supervisor"), plugin] {
        let memory = |kind: &str| process["memory"][kind].as_u64().unwrap();
        assert!(memory("rss") > 1 << 20 && memory("rss") >= memory("pss"), "{process}");
    }

    process::kill_and_wait(http);
    eventually(SOON, || {
        let http = row(&cells(&printed(&served.rr(&["plugins"]))), "http");
        http[1] == "running" && http[5] == "1" && http[8] == "ok"
    });
    let drawn = printed(&served.rr(&["plugins"]));
    assert!(drawn.contains("http died ") && drawn.contains("SIGKILL"), "{drawn}");
    let rows = cells(&drawn);
    assert_eq!(rows[0][..3], ["PLUGIN", "STATE", "PID"]);
    assert_eq!(row(&rows, "http")[2], served.server.plugin("rr-http").to_string());
}

/// Each is asked for everything at the same time, so the whole answer has the bound of one question.
#[test]
fn plugins_that_hang_are_told_after_one_bound() {
    let served = Served::start(json!({}));
    let http = served.server.plugin("rr-http");
    process::signal(http, Signal::SIGSTOP);
    let begin = Instant::now();
    let all = parsed(&served.rr(&["plugins", "--json"]))["plugins"].take();
    let took = begin.elapsed();
    process::signal(http, Signal::SIGCONT);
    let mut all = all.as_array().unwrap().iter();
    let health = &all.find(|process| process["name"] == "http").unwrap()["health"];
    assert_eq!(health, "the plugin http did not answer within 5s");
    assert!(took < Duration::from_secs(9), "{took:?}");
}
