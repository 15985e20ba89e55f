//! `rr workers`: tables and JSON, services beside PHP, the live view, one worker more or less (CLI-03).

use crate::served::{Served, cells, pids};
use nix::sys::signal::Signal;
use rr_tests::{
    bin, eventually,
    operator::{parsed, printed, refused, text},
    process,
    wait::SOON,
};
use serde_json::json;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// The reference's table, and JSON beside it.
#[test]
fn workers_are_shown_as_tables_and_as_json() {
    let served = Served::start(json!({}));
    let started = served.server.workers();
    served.server.client().get("/hello");
    let drawn = printed(&served.rr(&["workers"]));
    assert!(drawn.starts_with("Workers of [http]:\n┌"), "{drawn}");
    let rows = cells(&drawn);
    assert_eq!(rows[0], ["PID", "STATUS", "EXECS", "MEMORY", "CPU %", "CREATED"]);
    let listed: Vec<u32> = rows[1..].iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(listed, started);
    assert!(
        rows[1..].iter().all(|row| row[1] == "ready" && row[3].ends_with(" MB")),
        "{drawn}"
    );
    let execs: u32 = rows[1..].iter().map(|row| row[2].parse::<u32>().unwrap()).sum();
    assert_eq!(execs, 1);

    let seen = parsed(&served.rr(&["workers", "http", "--json"]));
    assert_eq!(pids(&seen), started);
    assert_eq!(seen["plugins"][0]["plugin"], "http");
    let error = served.rr(&["workers", "nope"]);
    assert_eq!(error.status.code(), Some(1));
    assert!(
        text(&error.stdout).contains("failed to receive information about nope plugin"),
        "{}",
        text(&error.stdout)
    );
    assert!(served.server.stop().success());
}

/// Services have a table of their own, and are reset like workers.
#[test]
fn services_are_shown_with_their_command_and_reset() {
    let services = json!({"sleeper": {"command": "sleep 1000", "remain_after_exit": true}});
    let served = Served::start(json!({"service": services}));
    let sleeper = || {
        let rows = cells(&printed(&served.rr(&["workers", "service"])));
        assert_eq!(rows[0], ["PID", "MEMORY", "CPU %", "COMMAND"]);
        rows.get(1).map(|row| (row[0].parse::<u32>().unwrap(), row[3].clone()))
    };
    eventually(SOON, || sleeper().is_some());
    let (before, command) = sleeper().unwrap();
    assert!(command.ends_with("sleep 1000"), "{command}");
    let said = printed(&served.rr(&["reset"]));
    for plugin in ["http", "service"] {
        assert!(said.contains(&format!("plugin reset: [{plugin}]")), "{said}");
    }
    eventually(SOON, || sleeper().is_some_and(|(pid, _)| pid != before));
    assert!(served.server.stop().success());
}

/// The live view: again each second, no control characters into a pipe, ended by a signal like by Ctrl-C.
#[test]
fn the_live_view_goes_on_until_a_signal() {
    let served = Served::start(json!({}));
    let mut command = Command::new(bin::server());
    command.args(["workers", "-i"]).current_dir(served.server.room().path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut drawings = 0;
    for line in lines {
        let line = line.unwrap();
        assert!(!line.contains('\x1b'), "{line:?}");
        drawings += u32::from(line == "Workers of [http]:");
        if drawings == 2 {
            process::signal(child.id(), Signal::SIGINT);
        }
        assert!(drawings < 4, "the signal ends it");
    }
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{}",
        text(&ended.stderr)
    );
}

#[test]
fn one_worker_more_and_one_less() {
    let served = Served::start(json!({}));
    assert_eq!(
        printed(&served.rr(&["workers", "add", "http"])),
        "workers of [http]: 3\n"
    );
    assert_eq!(served.server.workers().len(), 3);
    let left = parsed(&served.rr(&["workers", "remove", "http", "--json"]));
    assert_eq!(left, json!({"plugin": "http", "workers": 2}));
    eventually(SOON, || served.server.workers().len() == 2);
    let said = refused(&served.rr(&["workers", "add", "nope"]));
    assert_eq!(said, "plugin nope does not support workers management");
}
