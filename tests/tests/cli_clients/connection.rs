//! How a command finds the server, and what it says when it finds none (CLI-17, RPC-05).

use crate::served::{Served, pids};
use rr_tests::{
    Room, Server, bin,
    operator::{command, parsed, refused, rr_in},
    port::free_port,
    server::http_config,
};
use serde_json::json;
use std::process::Command;

/// Clear words when nobody is there.
#[test]
fn errors_are_one_line() {
    let room = Room::new();
    let port = free_port();
    for (config, arguments, said) in [
        (
            "version: '3'",
            vec!["workers"],
            "no server of this configuration runs here; to find one elsewhere or of another user: \
             rpc service not specified in the configuration. Tip: add",
        ),
        (
            "",
            vec!["reset", "-o", "rpc.listen=nonsense"],
            "rpc.listen: expected host:port",
        ),
        ("", vec!["jobs", "--list", "-c", "missing.yaml"], "missing.yaml"),
    ] {
        room.write(".rr.yaml", config);
        let words = refused(&rr_in(&room, &arguments));
        assert!(words.contains(said), "{arguments:?}: {words}");
    }
    let listen = format!("rpc.listen=tcp://127.0.0.1:{port}");
    for verb in [
        vec!["workers"],
        vec!["workers", "-i"],
        vec!["reset"],
        vec!["jobs", "--list"],
        vec!["plugins"],
    ] {
        let words = refused(&rr_in(&room, &[&verb[..], &["-o", &listen]].concat()));
        let expected = format!("cannot connect to the server at tcp://127.0.0.1:{port}: Connection refused");
        assert!(
            words.starts_with(&expected) && words.lines().count() == 1,
            "{verb:?}: {words}"
        );
    }
    // A server without the jobs plugin says so.
    let served = Served::start(json!({}));
    assert!(refused(&served.rr(&["jobs", "--list"])).contains("the server runs no jobs plugin"));
}

/// Without `rpc` in the configuration there is the socket in the control directory.
#[test]
fn without_an_rpc_port_the_control_directory_is_the_way() {
    let room = Room::new();
    let runtime = Room::new();
    let port = free_port();
    let file = room.write(".rr.yaml", http_config(port, json!({})).to_string());
    let mut command = command(&["serve"], &file);
    command.env("XDG_RUNTIME_DIR", runtime.path());
    let server = Server::run(room, port, command);
    server.wait_ready();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(bin::server());
        command.args(arguments).current_dir(server.room().path());
        command.env("XDG_RUNTIME_DIR", runtime.path()).output().unwrap()
    };
    assert_eq!(pids(&parsed(&ask(&["workers", "--json"]))), server.workers());
    // With other addresses it is another server.
    let other = ask(&["workers", "-o", "http.address=127.0.0.1:1"]);
    assert!(refused(&other).contains("rpc service not specified"));
    assert!(server.stop().success());
}
