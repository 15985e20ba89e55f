//! No worker outlives its server, however that ends.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rr_common::config::CommandLine;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// Runs a pool until it is killed: started by the tests below in a process of its own.
#[tokio::test]
#[ignore = "the other half of the tests beside it"]
async fn server() {
    let user = std::env::var("POOL_USER").unwrap_or_default();
    let worker = std::env::var("POOL_SCRIPT").unwrap();
    let pool = pool(2, |options| {
        options.server.command = CommandLine(vec!["php".into(), worker]);
        options.server.user = user;
    })
    .await;
    for worker in pool.workers() {
        println!("worker {}", worker.pid);
    }
    println!("all");
    let _ = exec(&pool, "sleep 60000").await;
}

fn kill_a_server(user: &str) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let worker = dir.path().join("worker.php");
    std::fs::copy(script("worker.php"), &worker).unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["server", "--exact", "--ignored", "--nocapture"])
        .env("POOL_USER", user)
        .env("POOL_SCRIPT", worker)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pids = Vec::new();
    for line in BufReader::new(server.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.split_once("worker ") {
            Some((_, pid)) => pids.push(pid.trim().parse::<u32>().unwrap()),
            None if line == "all" => break,
            None => {}
        }
    }
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|&pid| alive(pid)));
    server.kill().unwrap();
    server.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(eventually("the workers die with their server", || {
        pids.iter().all(|&pid| !alive(pid))
    }));
}

#[test]
fn workers_die_with_a_killed_server() {
    kill_a_server("");
}

/// A change of user clears the death signal unless it is set afterwards.
#[test]
fn workers_of_another_user_die_with_a_killed_server() {
    if nix::unistd::geteuid().is_root() {
        kill_a_server("nobody");
    } else {
        eprintln!("skipped: only root can change the user");
    }
}
