//! Plugins that are none of ours, in whatever language: started, called, replaced, restarted and shown as ours are, and harmless when they
//! misbehave.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    operator::{self, done, refused, rr, seen, succeeded},
    process,
    room::free_port,
    rpc_place::local,
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{fs, process::Command};

/// A server with RPC on a port, and the test's own plugin `own` with this mode and these settings over it.
fn config(port: u16, mode: &str, settings: Value) -> Value {
    let mut config = json!({
        "version": "3",
        "rpc": {"listen": format!("tcp://127.0.0.1:{port}")},
        "logs": {"mode": "production", "level": "debug"},
        "own": {"free": {"to": ["be", "anything"]}},
        "supervisor": {
            "restart": {"backoff": "20ms"},
            "plugins": {"own": {
                "command": [bin::binary("rr-test-custom")],
                "env": {"TEST_MODE": mode},
                "rpc_prefixes": ["own"],
            }},
        },
    });
    merge(&mut config, settings);
    config
}

fn launch(mode: &str, settings: Value) -> Server {
    let port = free_port();
    let config = config(port, mode, settings);
    Server::launch(Room::new(), port, &config.to_string(), &[])
}

fn start(mode: &str, settings: Value) -> Server {
    let server = launch(mode, settings);
    server.wait_log("RoadRunner server started");
    server
}

fn rpc(server: &Server) -> Rpc {
    Rpc::tcp(server.address())
}

/// What is in the control directory besides the server's own files.
fn left_behind(server: &Server) -> Vec<String> {
    let dir = rpc(server).call("own.Env", &json!("RR_CONTROL_DIR")).json();
    let dir = dir.as_str().unwrap();
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("own."))
        .collect();
    names.sort();
    names
}

#[test]
fn a_custom_plugin_is_treated_as_one_of_ours() {
    let status = free_port();
    let metrics = free_port();
    let server = start(
        "",
        json!({
            "status": {"address": format!("127.0.0.1:{status}")},
            "metrics": {"address": format!("127.0.0.1:{metrics}")},
        }),
    );
    // Nothing in the file is unknown, and its section came as it is written.
    server.wait_log(r#"my section: {\"free\":{\"to\":[\"be\",\"anything\"]}}"#);
    assert!(!server.log().contains("unknown key"), "{}", server.log());
    let said: Vec<Value> = server.log_json();
    let section = said
        .iter()
        .find(|line| line["msg"].as_str().unwrap_or_default().starts_with("my section"));
    assert_eq!(section.unwrap_or_else(|| panic!("{}", server.log()))["logger"], "own");

    let mut rpc = rpc(&server);
    let pid = rpc.call("own.Pid", &Value::Null).json();
    assert_eq!(u64::from(server.plugin("rr-test-custom")), pid);
    let unknown = rpc.call("own.Nothing", &Value::Null);
    assert_eq!(unknown.error().unwrap(), "rpc: can't find method own.Nothing");

    let own = seen(&server, "own");
    assert_eq!(
        (&own["version"], &own["state"], &own["workers"]),
        (&json!("1.2.3"), &json!("running"), &json!(1))
    );
    let workers = done(&server, &["workers", "own"]);
    assert!(workers.contains(&pid.to_string()), "{workers}");
    done(&server, &["reset", "own"]);
    server.wait_log("asked to reset");
    let health = rr_tests::Client::tcp(local(status)).get("/health?plugin=own");
    assert_eq!(health.status, 200, "{}", health.text());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("custom_answers_total 7"), "{page}");
    assert!(page.contains(r#"rr_plugin_up{plugin="own"} 1"#), "{page}");

    assert!(server.stop().success());
    assert!(server.log().contains("bye"), "{}", server.log());
}

/// FEATURES: a plugin's death costs no connection.
#[test]
fn killed_it_comes_back_on_the_same_connection_and_leaves_nothing() {
    let room = Room::new();
    let child = room.file("child");
    let port = free_port();
    let config = config(
        port,
        "",
        json!({"supervisor": {"plugins": {"own": {"env": {"TEST_CHILD": child}}}}}),
    );
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_log("RoadRunner server started");
    let mut rpc = rpc(&server);
    for _ in 0..3 {
        let before = rpc.call("own.Pid", &Value::Null).json();
        let orphan: u32 = fs::read_to_string(&child).unwrap().trim().parse().unwrap();
        process::kill_and_wait(u32::try_from(before.as_u64().unwrap()).unwrap());
        // The call waits for the next process; one that came before the death was seen fails with it.
        eventually(SOON, || {
            let answer = rpc.call("own.Pid", &Value::Null);
            answer.error().is_none() && answer.json() != before
        });
        eventually(SOON, || !process::alive(orphan));
        assert_eq!(left_behind(&server).len(), 1);
    }
    assert!(server.stop().success());
}

#[test]
fn it_is_upgraded_by_overlap_unless_it_keeps_state() {
    let server = start("", json!({}));
    let mut rpc = rpc(&server);
    let before = rpc.call("own.Pid", &Value::Null).json();
    done(&server, &["upgrade", "own"]);
    eventually(SOON, || rpc.call("own.Pid", &Value::Null).json() != before);
    let old = u32::try_from(before.as_u64().unwrap()).unwrap();
    eventually(SOON, || !process::alive(old));
    assert_eq!(left_behind(&server).len(), 1);
    assert!(server.stop().success());
}

#[test]
fn another_version_of_the_contract_is_refused_and_says_so_on_both_sides() {
    let server = launch("version", json!({}));
    let refusal = "the plugin own speaks version 99 of the control contract, this supervisor version 1";
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    let log = server.log();
    assert!(
        log.contains(&format!("the plugin own cannot start: {refusal}")),
        "{log}"
    );
    assert!(log.contains(&format!("refused: FailedPrecondition {refusal}")), "{log}");
}

#[test]
fn an_upgrade_to_another_version_of_the_contract_leaves_the_old_process() {
    let room = Room::new();
    // The program decides by a file, as a new release would.
    let next = room.file("next");
    let script = room.write(
        "own.sh",
        format!(
            "[ -e {} ] && export TEST_MODE=version\nexec {}\n",
            next.display(),
            bin::binary("rr-test-custom").display()
        ),
    );
    let port = free_port();
    let plugin = json!({"supervisor": {"plugins": {"own": {"command": ["sh", script]}}}});
    let config = config(port, "", plugin);
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_log("RoadRunner server started");
    let mut rpc = rpc(&server);
    let before = rpc.call("own.Pid", &Value::Null).json();
    fs::write(&next, "").unwrap();
    let told = refused(&rr(&server, &["upgrade", "own"]));
    assert!(told.contains("speaks version 99 of the control contract"), "{told}");
    assert_eq!(rpc.call("own.Pid", &Value::Null).json(), before);
    assert_eq!(left_behind(&server).len(), 1);
    assert!(server.stop().success());
}

#[test]
fn prefixes_of_two_plugins_do_not_meet() {
    let second = |prefixes: Value, registered: &str| {
        json!({"supervisor": {"plugins": {"two": {
            "command": [bin::binary("rr-test-custom")], "rpc_prefixes": prefixes, "env": {"TEST_PREFIXES": registered},
        }}}})
    };
    let declared = launch("", second(json!(["own"]), ""));
    assert_eq!(declared.wait_exit(SOON).code(), Some(1));
    let text =
        "supervisor.plugins.two.rpc_prefixes: methods with the prefix own are answered by the plugin own already";
    assert!(declared.log().contains(text), "{}", declared.log());

    let registered = launch("", second(json!([]), "two own"));
    assert_eq!(registered.wait_exit(SOON).code(), Some(1));
    let text = "the plugin two wants methods with the prefix own, which are answered by the plugin own already";
    assert!(registered.log().contains(text), "{}", registered.log());

    let ours = launch("", second(json!([]), "informer"));
    assert_eq!(ours.wait_exit(SOON).code(), Some(1));
    assert!(
        ours.log().contains("answered by the server itself already"),
        "{}",
        ours.log()
    );
}

#[test]
fn one_that_never_becomes_a_plugin_is_named_with_the_reason() {
    let quick = json!({"supervisor": {"plugins": {"own": {"start_timeout": "300ms"}}}});
    for (mode, reason) in [
        (
            "silent",
            "the plugin own cannot start: it took too long: it had not even registered within 300ms",
        ),
        ("unregistered", "it says Started, but has not registered"),
        (
            "stranger",
            "this supervisor has not started a plugin http with this process",
        ),
    ] {
        let server = launch(mode, quick.clone());
        assert_eq!(server.wait_exit(SOON).code(), Some(1), "{mode}");
        assert!(server.log().contains(reason), "{mode}: {}", server.log());
    }
    let script =
        json!({"supervisor": {"plugins": {"own": {"command": ["sh", "-c", "echo what is wrong >&2; exit 3"]}}}});
    let server = launch("", script);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("what is wrong");
    assert!(
        server.log().contains("the plugin own cannot start: exit code 3"),
        "{}",
        server.log()
    );
}

#[test]
fn rubbish_on_its_sockets_costs_only_its_own_calls() {
    for mode in ["rubbish", "rubbish-calls"] {
        let server = start(mode, json!({}));
        let mut rpc = rpc(&server);
        for _ in 0..3 {
            let answer = rpc.call("own.Pid", &Value::Null);
            assert!(answer.error().is_some(), "{mode}: {}", answer.text());
            assert_eq!(rpc.call("rpc.Version", &Value::Null).error(), None);
        }
        assert!(server.stop().success(), "{mode}: {}", server.log());
    }
}

#[test]
fn one_that_does_not_stop_is_killed_at_the_end_of_the_grace_period() {
    let server = start("hang", json!({"endure": {"grace_period": "700ms"}}));
    server.stop();
    let log = server.log();
    assert!(
        log.contains("asked to stop") && log.contains("killed: it took too long to stop"),
        "{log}"
    );
}

#[test]
fn a_plugin_calls_every_method_that_php_can_call() {
    let server = start("", json!({"kv": {"memory": {"driver": "memory"}}}));
    let mut rpc = rpc(&server);
    let mut ask = |method: &str, argument: Value| rpc.call("own.Ask", &json!([method, argument])).json();
    assert_eq!(ask("rpc.Version", Value::Null), "2025.1.15");
    let plugins = ask("supervisor.Plugins", Value::Null);
    assert!(plugins.as_array().unwrap().len() >= 3, "{plugins}");
    // Its own, and one that waits for the plugin that it wakes.
    assert_eq!(ask("own.Env", json!("RR_PLUGIN")), "own");
    let locked = ask("lock.Lock", json!({"resource": "x", "id": "me", "ttl": 0, "wait": 0}));
    assert!(
        locked.to_string().contains("protobuf") || locked.get("ok").is_some(),
        "{locked}"
    );
    for (method, code, text) in [
        ("nobody.Knows", "Unimplemented", "rpc: can't find service nobody.Knows"),
        ("own.Nothing", "Unimplemented", "rpc: can't find method own.Nothing"),
        (
            "informer.AddWorker",
            "Internal",
            "plugin nothing does not support workers management",
        ),
    ] {
        assert_eq!(ask(method, json!("nothing")), json!({"code": code, "text": text}));
    }
    assert!(server.stop().success());
}

#[test]
fn environment_directory_and_sockets_are_as_configured() {
    let room = Room::new();
    let web = free_port();
    let port = free_port();
    fs::create_dir(room.file("elsewhere")).unwrap();
    let settings = json!({"supervisor": {"plugins": {"own": {
        "dir": room.file("elsewhere"), "listen": [format!("127.0.0.1:{web}")], "env": {"colour": "blue"},
    }}}});
    let config = config(port, "", settings);
    let server = Server::launch(room, port, &config.to_string(), &[]);
    server.wait_log("RoadRunner server started");
    let mut rpc = rpc(&server);
    assert_eq!(rpc.call("own.Env", &json!("COLOUR")).json(), "blue");
    assert_eq!(rpc.call("own.Env", &json!("RR_LISTEN_FDS")).json(), "1");
    let dir = rpc.call("own.Dir", &Value::Null).json();
    assert!(dir.as_str().unwrap().ends_with("elsewhere"), "{dir}");
    let pid = server.plugin("rr-test-custom");
    let third = fs::read_link(format!("/proc/{pid}/fd/3")).unwrap();
    assert!(third.to_string_lossy().starts_with("socket:"), "{third:?}");
    // Nobody accepts there, and still nobody is refused: the socket is the supervisor's.
    assert!(std::net::TcpStream::connect(local(web)).is_ok());
    assert!(server.stop().success());
}

/// Who was not started by this supervisor registers nothing, whoever runs it.
#[test]
fn only_what_the_supervisor_started_may_register() {
    let server = start("", json!({}));
    let control = rpc(&server).call("own.Env", &json!("RR_CONTROL")).json();
    let control = control.as_str().unwrap().to_owned();
    let dir = server.room().path().to_owned();
    let intruder = |user: Option<u32>| {
        let program = dir.join("intruder");
        fs::copy(bin::binary("rr-test-custom"), &program).unwrap();
        let mut command = Command::new(program);
        command
            .env("RR_CONTROL", &control)
            .env("RR_CONTROL_DIR", &dir)
            .env("RR_PLUGIN", "own");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if let Some(user) = user {
            std::os::unix::process::CommandExt::uid(&mut command, user);
        }
        let ran = command.output().unwrap();
        String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
    };
    let said = intruder(None);
    let refusal = "refused: PermissionDenied this supervisor has not started a plugin own with this process";
    assert!(said.contains(refusal), "{said}");
    if nix::unistd::geteuid().is_root() {
        // Even with every door of the file system open the kernel tells who it is.
        let open = |path: &std::path::Path, mode| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        open(&dir, 0o777);
        open(std::path::Path::new(&control).parent().unwrap(), 0o711);
        open(std::path::Path::new(&control), 0o666);
        let said = intruder(Some(65534));
        assert!(!said.contains("my section"), "{said}");
        server.wait_log("a process of another user was turned away from the control socket");
    }
    assert!(server.running());
    server.signal(Signal::SIGTERM);
    assert!(server.wait_exit(SOON).success());
}

/// Serves an example of a plugin as its README says, on ports of its own; its RPC socket is in the room.
fn example(name: &str, overrides: &[String]) -> Server {
    let room = Room::new();
    let web = free_port();
    let mut command = Command::new(bin::server());
    command
        .current_dir(bin::repository())
        .args(["serve", "-c", &format!("examples/{name}/.rr.yaml")])
        .args(["-o", &format!("http.address=127.0.0.1:{web}")])
        .args(["-o", &format!("rpc.listen=unix://{}", room.file("rpc.sock").display())])
        .args(["-o", "logs.level=debug"]);
    for one in overrides {
        command.args(["-o", one]);
    }
    let server = Server::run(room, web, command);
    server.wait_ready();
    server
}

/// A plugin in Python, from the contract's file alone, called by PHP; killed, and upgraded, behind PHP's back.
#[test]
fn the_python_example() {
    if !bin::repository()
        .join("examples/plugin-python/.venv/bin/python")
        .exists()
    {
        assert!(
            std::env::var_os("CI").is_none(),
            "bin/setup test installs what the Python example needs"
        );
        println!("skipped: examples/plugin-python/.venv is not there; bin/setup test makes it");
        return;
    }
    let (metrics, status) = (free_port(), free_port());
    let server = example(
        "plugin-python",
        &[
            format!("metrics.address=127.0.0.1:{metrics}"),
            format!("status.address=127.0.0.1:{status}"),
        ],
    );
    server.wait_log("47 words are known");
    let workers = server.workers();
    let client = server.client();
    let suggests = || client.get("/?word=recieve");
    assert_eq!(suggests().json(), json!(["receive", "believe", "achieve"]));
    let health = rr_tests::Client::tcp(local(status)).get("/health?plugin=words");
    assert_eq!(health.status, 200, "{}", health.text());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("words_suggest_calls_total 1"), "{page}");

    let plugin = || {
        let found = process::named_by(server.pid(), |name| name.starts_with("python"));
        (found.len() == 1).then(|| found[0])
    };
    let first = plugin().unwrap();
    process::kill_and_wait(first);
    eventually(SOON, || suggests().status == 200);
    let second = plugin().unwrap();
    assert_ne!(first, second);
    // The same PHP processes, on the connections that they had.
    assert_eq!(server.workers(), workers);

    let over = std::sync::atomic::AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut connection = client.connect();
            let mut failed = Vec::new();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let reply = connection.get("/?word=recieve");
                if reply.status != 200 {
                    failed.push(reply.text());
                }
            }
            failed
        });
        let socket = format!("rpc.listen=unix://{}", server.room().file("rpc.sock").display());
        let config = bin::repository().join("examples/plugin-python/.rr.yaml");
        let upgrade = operator::command(&["upgrade", "words", "-o", &socket], &config)
            .output()
            .unwrap();
        eventually(SOON, || plugin().is_some_and(|pid| pid != second));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        succeeded(&server, &upgrade);
        load.join().unwrap()
    });
    assert_eq!(failed, Vec::<String>::new());
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn the_rust_example() {
    let metrics = free_port();
    let server = example(
        "plugin-rust",
        &[
            format!("metrics.address=127.0.0.1:{metrics}"),
            format!("supervisor.plugins.ids.command={}", bin::binary("rr-ids").display()),
        ],
    );
    let client = server.client();
    let ids: Vec<u64> = (0..10)
        .map(|_| client.get("/").json()["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (1000..1010).collect::<Vec<_>>());
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    assert!(page.contains("ids_calls_total 10"), "{page}");
    process::kill_and_wait(server.plugin("rr-ids"));
    eventually(SOON, || client.get("/").status == 200);
    assert!(server.stop().success(), "{}", server.log());
}
