//! What the server finds around it: another server, taken addresses, sockets and messages of systemd, a container.

use crate::{
    on_init::on_init,
    plugin::{PLUGIN, answering, nothing},
};
use nix::sys::signal::Signal;
use rr_tests::{
    Room, Server, bin, eventually,
    operator::{command, refused, rr},
    port::free_port,
    process, standin,
    wait::SOON,
};
use serde_json::json;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    process::{Command, Stdio},
};

#[test]
fn a_second_server_of_the_same_configuration_is_refused() {
    let server = standin::start(nothing(), nothing());
    let text = refused(&rr(&server, &["serve"]));
    assert!(
        text.contains("another server of this configuration is running"),
        "{text}"
    );
    assert_eq!(answering(&server), server.plugin(PLUGIN));
    assert!(server.stop().success());
}

#[test]
fn a_taken_port_fails_the_start_and_is_named() {
    let port = free_port();
    let _holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let config = standin::config(port, nothing(), nothing());
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log(&format!(
        "the plugin http cannot start: listen 127.0.0.1:{port}: Address already in use"
    ));
}

/// CFG-11, with our own mode.
#[test]
fn a_unix_socket_is_served_and_removed() {
    let room = Room::new();
    let socket = room.file("http.sock");
    let address = format!("unix://{}?mode=0660", socket.display());
    let server = standin::launch(room, nothing(), json!({"http": {"address": address}}));
    server.wait_started();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(rr_tests::Client::unix(&socket).get("/").status, 200);
    assert!(server.stop().success());
    assert!(!socket.exists());
}

#[test]
fn systemd_hears_ready_alive_and_stopping() {
    let room = Room::new();
    let path = room.file("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(SOON)).unwrap();
    let hear = || {
        let mut buffer = [0; 100];
        let read = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let port = free_port();
    let config = standin::config(port, nothing(), json!({"endure": {"watchdog_sec": 1}}));
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = command(&["serve"], &file);
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::run(room, port, command);
    let mut missing = vec!["READY=1".to_owned(), "WATCHDOG=1".to_owned()];
    while !missing.is_empty() {
        let heard = hear();
        missing.retain(|message| *message != heard);
    }
    server.signal(Signal::SIGTERM);
    while !hear().starts_with("STOPPING=1") {}
    assert!(server.wait_exit(SOON).success());
}

/// Sockets that somebody else bound (systemd's socket activation) are used, not bound again.
#[test]
fn inherited_sockets_are_used() {
    let room = Room::new();
    let port = free_port();
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let config = standin::config(port, nothing(), nothing());
    let file = room.write(".rr.yaml", config.to_string());
    // LISTEN_PID must be the server's own, which a shell knows before it becomes the server.
    let mut command = Command::new("sh");
    let script = format!(
        "export LISTEN_FDS=1 LISTEN_PID=$$; exec {} serve -c {}",
        bin::server().display(),
        file.display()
    );
    command.args(["-c", &script]);
    command_fds::CommandFdExt::fd_mappings(
        &mut command,
        vec![command_fds::FdMapping {
            parent_fd: listener.into(),
            child_fd: 3,
        }],
    )
    .unwrap();
    let server = Server::run(room, port, command);
    server.wait_started();
    assert_eq!(server.client().get("/").status, 200);
    assert!(server.stop().success());
}

/// As PID 1 of a container: orphans come to us and leave no zombies, and the stop works.
#[test]
fn as_pid_1_it_reaps_every_orphan() {
    let probe = Command::new("unshare")
        .args(["-r", "-p", "-f", "true"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no process namespaces here");
        return;
    }
    let room = Room::new();
    // A grandchild that outlives its parent.
    let settings = on_init(&room, "(sleep 0.2; exit 0) & exit 0", nothing());
    let port = free_port();
    let config = standin::config(port, nothing(), settings);
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = Command::new("unshare");
    command.args(["-r", "-p", "-f", "--kill-child"]).arg(bin::server());
    command.args(["serve", "-c"]).arg(file).process_group(0);
    let server = Server::run(room, port, command);
    server.wait_started();
    let init = process::named(server.pid(), "rr-supervisor");
    assert_eq!(init.len(), 1);
    eventually(SOON, || process::named(init[0], "sleep").is_empty());
    assert_eq!(process::zombies(init[0]), 0, "{}", server.log());
    process::signal(init[0], Signal::SIGTERM);
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
}
