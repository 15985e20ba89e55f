//! The life of processes: start, restart, stop, and what dies with what (CORE-01, CORE-18, CORE-21, CORE-22, CORE-24).
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Server, bin, eventually,
    operator::{command, refused, rr},
    process,
    room::free_port,
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// The program that stands in for `rr-http`, by the name that the kernel keeps.
const PLUGIN: &str = "rr-test-plugin";

fn nothing() -> Value {
    json!({})
}

/// The pid of the plugin, as it answers itself.
fn answering(server: &Server) -> u32 {
    server.client().get("/").text().parse().unwrap()
}

#[test]
fn it_starts_serves_and_stops_in_order() {
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_log("[INFO] RoadRunner server started; version: 2025.1.");
    assert_eq!(answering(&server), server.plugin(PLUGIN));
    assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o700);

    assert!(server.stop().success(), "{}", server.log());
    let log = server.log();
    assert!(
        log.contains("stop signal received, grace timeout is: 30 seconds"),
        "{log}"
    );
    let (drained, stopped) = (log.find("drained").unwrap(), log.find("stopped").unwrap());
    assert!(drained < stopped, "{log}");
    assert!(!control.exists());
}

#[test]
fn every_stop_signal_is_an_orderly_stop() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGABRT] {
        let server = standin::start(nothing(), nothing());
        server.signal(signal);
        assert!(server.wait_exit(SOON).success(), "{signal}: {}", server.log());
        assert!(server.log().contains("drained"));
    }
}

#[test]
fn what_runs_is_finished_before_the_stop() {
    let server = standin::start(json!({"TEST_SLOW_DRAIN": "300"}), nothing());
    assert!(server.stop().success());
    assert!(server.log().contains("drained"), "{}", server.log());
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let server = standin::start(json!({"TEST_IGNORE_STOP": "1"}), nothing());
    let plugin = server.plugin(PLUGIN);
    server.stop_twice();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("exit forced");
    eventually(SOON, || !process::alive(plugin));
}

#[test]
fn the_grace_period_bounds_a_plugin_that_does_not_stop() {
    let settings = json!({"endure": {"grace_period": "500ms"}});
    let server = standin::start(json!({"TEST_IGNORE_STOP": "1"}), settings);
    server.stop();
    server.wait_log("killed: it took too long");
}

/// The supervisor holds the sockets: connections wait in the kernel's queue meanwhile.
#[test]
fn a_killed_plugin_is_restarted_and_no_connection_is_refused() {
    let room = Room::new();
    let child = room.file("child");
    let server = standin::launch(room, json!({"TEST_CHILD": child}), nothing());
    server.wait_log("RoadRunner server started");
    let orphan: u32 = fs::read_to_string(&child).unwrap().parse().unwrap();
    assert!(process::alive(orphan));

    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // A request that the killed process had already taken dies with it; connecting never fails.
                    let mut connection = std::net::TcpStream::connect(server.address()).unwrap();
                    use std::io::{Read, Write};
                    let sent = connection.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                    let mut answer = String::new();
                    if sent.and_then(|()| connection.read_to_string(&mut answer)).is_ok() && !answer.is_empty() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..3 {
            let before = answering(&server);
            process::kill_and_wait(before);
            let after = answering(&server);
            assert_ne!(before, after);
            let seen = answers.load(Ordering::Relaxed);
            eventually(SOON, || answers.load(Ordering::Relaxed) > seen);
        }
        over.store(true, Ordering::Relaxed);
    });
    eventually(SOON, || !process::alive(orphan));
    assert!(server.stop().success());
}

#[test]
fn without_its_supervisor_a_plugin_serves_on_then_drains_and_goes() {
    let server = standin::start(nothing(), json!({"supervisor": {"adopt_timeout": "1s"}}));
    let plugin = server.plugin(PLUGIN);
    server.signal(Signal::SIGKILL);
    server.wait_exit(SOON);
    assert_eq!(answering(&server), plugin, "it serves on");
    eventually(SOON, || !process::alive(plugin));
}

#[test]
fn a_plugin_that_cannot_start_fails_the_start_with_its_own_words() {
    let words = "PHP Fatal error: nothing works\nin worker.php on line 3";
    let server = standin::launch(Room::new(), json!({"TEST_REFUSE": words}), nothing());
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log(&format!("the plugin http cannot start: {words}"));
    assert!(!server.log().contains("RoadRunner server started"));
}

#[test]
fn a_plugin_that_dies_at_start_fails_the_start() {
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), nothing());
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin http cannot start: exit code 7");
}

#[test]
fn a_stop_during_the_start_is_orderly() {
    let server = standin::launch(Room::new(), json!({"TEST_HANG_AT_START": "1"}), nothing());
    eventually(SOON, || !process::named(server.pid(), PLUGIN).is_empty());
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn with_keep_going_a_failed_plugin_is_tried_again() {
    let room = Room::new();
    let path = room.file("ready");
    let settings = json!({"supervisor": {"start": "keep_going", "restart": {"max": 100}}});
    let server = standin::launch(room, json!({"TEST_DIE_UNLESS": path}), settings);
    server.wait_log("the plugin has died: exit code 3");
    fs::write(&path, "").unwrap();
    assert_ne!(answering(&server), 0);
    assert!(server.stop().success());
}

#[test]
fn a_plugin_that_was_given_up_answers_503_and_the_server_lives() {
    let settings = json!({"supervisor": {"start": "keep_going", "restart": {"max": 3}}});
    let server = standin::launch(Room::new(), json!({"TEST_DIE_AT_START": "7"}), settings);
    server.wait_log("it is given up");
    assert_eq!(server.client().get("/").status, 503);
    assert!(server.running());
    assert!(server.stop().success());
}

fn on_init(room: &Room, script: &str, more: Value) -> Value {
    let file = room.write("init.sh", script);
    let mut section = json!({"command": ["sh", file]});
    rr_tests::server::merge(&mut section, more);
    json!({"server": {"command": "php", "on_init": section}})
}

#[test]
fn on_init_runs_before_any_plugin_and_its_output_is_logged() {
    let room = Room::new();
    let path = room.file("made");
    let script = format!("echo \"hello $WHO\"; echo trouble >&2; touch {}", path.display());
    let settings = on_init(&room, &script, json!({"env": {"who": "world"}}));
    let server = standin::launch(room, json!({"TEST_DIE_UNLESS": path}), settings);
    server.wait_log("RoadRunner server started");
    for text in ["hello world", "trouble"] {
        let logged = |line: &Value| line["msg"] == text && line["level"] == "info" && line["logger"] == "server";
        assert!(server.log_json().iter().any(logged), "{}", server.log());
    }
    assert!(server.stop().success());
}

#[test]
fn a_failing_on_init_stops_the_start_only_if_asked() {
    let room = Room::new();
    let settings = on_init(&room, "exit 5", json!({"exit_on_error": true}));
    let server = standin::launch(room, nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("server.on_init: ");
    server.wait_log("exit code 5");

    let room = Room::new();
    let settings = on_init(&room, "exit 5", nothing());
    let server = standin::launch(room, nothing(), settings);
    server.wait_log("RoadRunner server started");
    assert!(server.log().contains("exit code 5"));
    assert!(server.stop().success());
}

#[test]
fn an_endless_on_init_is_killed() {
    let room = Room::new();
    let settings = on_init(
        &room,
        "sleep 1000",
        json!({"exit_on_error": true, "exec_timeout": "200ms"}),
    );
    let server = standin::launch(room, nothing(), settings);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("killed after exec_timeout");
}

#[test]
fn a_stop_during_on_init_ends_it() {
    let room = Room::new();
    let settings = on_init(&room, "echo waiting; sleep 1000", nothing());
    let server = standin::launch(room, nothing(), settings);
    server.wait_log("waiting");
    assert!(server.stop().success(), "{}", server.log());
}

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
    server.wait_log("RoadRunner server started");
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
    server.wait_log("RoadRunner server started");
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
    server.wait_log("RoadRunner server started");
    let init = process::named(server.pid(), "rr-supervisor");
    assert_eq!(init.len(), 1);
    eventually(SOON, || !descendants_named_anywhere("sleep", init[0]));
    assert!(!has_zombie(init[0]), "{}", server.log());
    process::signal(init[0], Signal::SIGTERM);
    assert!(server.wait_exit(SOON).success(), "{}", server.log());
}

fn descendants_named_anywhere(name: &str, root: u32) -> bool {
    !process::named(root, name).is_empty()
}

/// Whether a process has a child that ended and was not reaped.
fn has_zombie(parent: u32) -> bool {
    let stats = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("stat"));
    let texts = stats.filter_map(|path: PathBuf| fs::read_to_string(path).ok());
    texts
        .filter_map(|text| Some(text.rsplit_once(") ")?.1.to_owned()))
        .any(|fields| {
            let mut fields = fields.split_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(&parent.to_string())
        })
}

/// The contract: strangers and other versions are refused with the reason.
#[test]
fn a_stranger_cannot_register() {
    use rr_common::control::{CONTRACT_VERSION, Link, v1::RegisterRequest};
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_log("RoadRunner server started");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let refusal = |contract_version| {
        let registration = RegisterRequest {
            plugin: "http".into(),
            contract_version,
            pid: server.plugin(PLUGIN),
            ..RegisterRequest::default()
        };
        let opened = runtime.block_on(Link::open(&control.join("supervisor.sock"), registration));
        opened.unwrap_err().to_string()
    };
    let text = refusal(CONTRACT_VERSION);
    assert!(
        text.contains("has not started a plugin http with this process"),
        "{text}"
    );
    let text = refusal(CONTRACT_VERSION + 1);
    assert!(
        text.contains("speaks version 2 of the control contract, this supervisor version 1"),
        "{text}"
    );
    assert_eq!(answering(&server), server.plugin(PLUGIN));
    assert!(server.stop().success());
}

/// Calls go through the supervisor to the plugin that owns the prefix; the plugin answers for its own state.
#[test]
fn calls_are_routed_and_plugins_answer_for_themselves() {
    use rr_common::control::{
        connect,
        v1::{self, plugin_client::PluginClient, supervisor_client::SupervisorClient},
    };
    let room = Room::new();
    let control = room.file("control");
    let server = standin::launch(room, nothing(), json!({"supervisor": {"control": {"dir": control}}}));
    server.wait_log("RoadRunner server started");
    let own = control.join(format!("http.{}.sock", server.plugin(PLUGIN)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut supervisor = SupervisorClient::new(connect(&control.join("supervisor.sock")).await.unwrap());
        let call = |method: &str| v1::CallRequest {
            method: method.into(),
            codec: 8,
            body: b"hello".to_vec(),
        };
        let answer = supervisor.call(call("http.Echo")).await.unwrap();
        assert_eq!(answer.into_inner().body, b"hello");
        let unknown = supervisor.call(call("nope.Echo")).await.unwrap_err();
        assert_eq!(unknown.message(), "rpc: can't find service nope.Echo");
        let unknown = supervisor.call(call("http.Nope")).await.unwrap_err();
        assert_eq!(unknown.message(), "rpc: can't find method http.Nope");

        let mut plugin = PluginClient::new(connect(&own).await.unwrap());
        plugin.health(v1::HealthRequest {}).await.unwrap();
        assert!(plugin.ready(v1::ReadyRequest {}).await.unwrap().into_inner().ready);
        let workers = plugin
            .workers(v1::WorkersRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert!(workers.workers.is_empty());
        let pool = "none".to_owned();
        let missing = plugin.add_worker(v1::AddWorkerRequest { pool }).await.unwrap_err();
        assert_eq!(missing.message(), "no such pool: none");
    });
    assert!(server.stop().success());
}
