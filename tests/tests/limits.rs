//! Limits of a plugin by control groups, against a directory that stands for the kernel's tree, and against the kernel's where
//! this machine has one of version 2 and lets us.
#![allow(clippy::unwrap_used)]

use rr_tests::{Room, Server, bin, eventually, port::free_port, process, server::http_config, standin, wait::SOON};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The stand-in with these limits in this tree.
fn launch(tree: &Path, limits: Value) -> Server {
    let settings = json!({"supervisor": {"cgroup": tree, "plugins": {"http": {"limits": limits}}}});
    standin::launch(Room::new(), json!({}), settings)
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Shells allow few descriptors unless a program asks for more.
#[test]
fn as_many_descriptors_as_the_hard_limit_allows() {
    let (room, port) = (Room::new(), free_port());
    let file = room.write(".rr.yaml", http_config(port, json!({})).to_string());
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -Sn 300; ulimit -Hn 3000; exec "$0" serve -c "$1""#]);
    command.arg(bin::server()).arg(file);
    let server = Server::run(room, port, command);
    server.wait_ready();
    for pid in [server.pid(), server.plugin("rr-http"), server.workers()[0]] {
        let limits = read(format!("/proc/{pid}/limits").into());
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).collect();
        assert_eq!(numbers, ["3000", "3000"], "{line}");
    }
    assert!(server.stop().success());
}

#[test]
fn each_process_of_a_plugin_enters_a_group_with_its_limits() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("cgroup.controllers"), "cpu memory pids").unwrap();
    fs::write(tree.path().join("cgroup.subtree_control"), "").unwrap();
    let server = launch(tree.path(), json!({"memory": 256, "cpu": 0.5, "tasks": 100}));
    server.wait_started();
    assert_eq!(read(tree.path().join("cgroup.subtree_control")), "+memory +cpu +pids");
    let group = tree.path().join("http-1");
    assert_eq!(read(group.join("memory.max")), (256 << 20).to_string());
    assert_eq!(read(group.join("cpu.max")), "50000 100000");
    assert_eq!(read(group.join("pids.max")), "100");
    let first = server.plugin("rr-test-plugin");
    assert_eq!(read(group.join("cgroup.procs")), first.to_string());
    process::kill_and_wait(first);
    let next = tree.path().join("http-2/cgroup.procs");
    eventually(SOON, || {
        next.exists() && server.client().get("/").text() == read(next.clone())
    });
    assert!(server.stop().success());
}

#[test]
fn limits_that_cannot_be_set_fail_the_start_unless_nobody_wants_them() {
    let nowhere = Path::new("/nowhere/cgroup");
    let server = launch(nowhere, json!({"memory": 256}));
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin http cannot start: supervisor.plugins.http.limits: /nowhere/cgroup");
    server.wait_log("`Delegate=cpu memory pids` in the systemd unit");
    let server = launch(Path::new("none"), json!({"memory": 256}));
    server.wait_log("limits of plugins are switched off");
    server.wait_started();
    assert!(server.stop().success());
}

/// The kernel's own tree.
#[test]
fn the_kernel_keeps_a_plugin_to_its_limits() {
    let tree = PathBuf::from(format!("/sys/fs/cgroup/rr-test-{}", std::process::id()));
    let has = |controller: &str| {
        let there = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
        there.split_whitespace().any(|name| name == controller)
    };
    if !has("memory") || !has("pids") || fs::create_dir(&tree).is_err() {
        eprintln!("SKIPPED: no control groups of version 2 with memory and pids that are ours");
        return;
    }
    // The group above must hand the controllers down, which a machine under systemd does.
    if !read(tree.join("cgroup.controllers")).contains("memory pids") {
        fs::remove_dir(&tree).unwrap();
        eprintln!("SKIPPED: the machine's root group hands no controllers down");
        return;
    }
    let server = launch(&tree, json!({"memory": 256, "tasks": 100}));
    server.wait_started();
    let group = tree.join("http-1");
    assert_eq!(read(group.join("memory.max")).trim(), (256 << 20).to_string());
    let pid = server.plugin("rr-test-plugin");
    assert!(
        read(group.join("cgroup.procs"))
            .lines()
            .any(|line| line == pid.to_string())
    );
    assert!(server.stop().success());
    assert!(!group.exists(), "an empty group goes");
    fs::remove_dir(&tree).unwrap();
}
