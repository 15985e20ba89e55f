//! The client commands against a running server with PHP below (CLI-03, CLI-04, CLI-05, CLI-08, CLI-11, CLI-17, RPC-05, RPC-06, LOG-03).
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Server, bin, client::Rpc, eventually, process, room::free_port, server::http_config, standin, wait::SOON,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// A server with PHP and its RPC port.
struct Served {
    server: Server,
    rpc: u16,
}

impl Served {
    fn start(settings: Value) -> Self {
        let rpc = free_port();
        let mut all = json!({"rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")}});
        rr_tests::server::merge(&mut all, settings);
        let server = Server::http(all);
        Self { server, rpc }
    }

    /// Runs a command in the server's directory to its end.
    fn rr(&self, arguments: &[&str]) -> Output {
        rr(self.server.room(), arguments)
    }

    fn rpc(&self) -> Rpc {
        Rpc::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.rpc)))
    }
}

fn rr(room: &Room, arguments: &[&str]) -> Output {
    let mut command = Command::new(bin::server());
    command.args(arguments).current_dir(room.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that succeeds prints; its stderr is empty.
#[track_caller]
fn printed(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out}\n{err}");
    out
}

#[track_caller]
fn parsed(output: &Output) -> Value {
    let out = printed(output);
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap()
}

/// What a command that fails says: one line.
#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr).trim_end().to_owned()
}

/// The cells of the rows of all tables.
fn cells(drawn: &str) -> Vec<Vec<String>> {
    let rows = drawn.lines().filter(|line| line.starts_with('│'));
    let cells = |line: &str| {
        line.trim_matches('│')
            .split('│')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

/// The row of that name.
fn row(rows: &[Vec<String>], name: &str) -> Vec<String> {
    rows.iter()
        .find(|row| row[0] == name)
        .cloned()
        .unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
}

fn pids(plugins: &Value) -> Vec<u32> {
    let workers = plugins["plugins"][0]["workers"].as_array().unwrap();
    workers
        .iter()
        .map(|worker| u32::try_from(worker["pid"].as_u64().unwrap()).unwrap())
        .collect()
}

/// CLI-03: the reference's table, and JSON beside it.
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

/// CLI-03: services have a table of their own, and are reset like workers.
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

/// CLI-04, RPC-06, and Laravel Octane's way of calling: without the file's help, and with an empty stderr.
#[test]
fn a_reset_under_load_loses_no_request_and_replaces_all_workers() {
    let served = Served::start(json!({}));
    let room = Room::new();
    let listen = format!("rpc.listen=tcp://127.0.0.1:{}", served.rpc);
    let (over, answers) = (AtomicBool::new(false), AtomicU32::new(0));
    /// Ends the load however this ends, a failed assertion included.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(served.server.client().get("/hello").text(), "hello");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut before = served.server.workers();
        for (place, arguments) in [
            // No file at all, an empty one, and the server's own.
            (&room, vec!["reset", "-o", &listen, "-s"]),
            (&room, vec!["reset", "-o", &listen, "-s"]),
            (served.server.room(), vec!["reset", "http"]),
        ] {
            let seen = answers.load(Ordering::Relaxed);
            let output = rr(place, &arguments);
            let said = printed(&output);
            if arguments.contains(&"-s") {
                assert_eq!(said, "");
                room.write(".rr.yaml", "");
            } else {
                let lines: Vec<&str> = said.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap()).collect();
                assert_eq!(lines, ["resetting plugin: [http]", "plugin reset: [http]"]);
            }
            // None of the old ones serves any more; the last may be on its way out.
            let gone = |pid: &u32| !served.server.workers().contains(pid);
            eventually(SOON, || before.iter().all(gone));
            before = served.server.workers();
            eventually(SOON, || answers.load(Ordering::Relaxed) > seen + 5);
        }
    });
    let done = parsed(&served.rr(&["reset", "--json"]));
    assert_eq!(
        (&done["plugins"][0]["plugin"], &done["plugins"][0]["error"]),
        (&json!("http"), &Value::Null)
    );
    assert!(served.server.stop().success());
}

/// The reference exits with 0 whatever happened.
#[test]
fn a_reset_that_fails_is_told() {
    let room = Room::new();
    let broken = room.file("broken");
    let script = bin::script("worker.php");
    // With the file there PHP does not start any more.
    let command = format!("test -e {} && exit 7; exec php {}", broken.display(), script.display());
    let rpc = free_port();
    let server = Server::http_in(
        Room::new(),
        json!({
            "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
            "server": {"command": ["sh", "-c", command]},
            "http": {"pool": {"allocate_timeout": "2s"}},
        }),
    );
    room.write("broken", "");
    let served = Served { server, rpc };
    let output = served.rr(&["reset", "http"]);
    let said = refused(&output);
    assert!(
        said.starts_with("the reset of [http] failed: resetter_rpc_reset:"),
        "{said}"
    );
    assert_eq!(
        served.server.client().get("/hello").text(),
        "hello",
        "the old workers serve on"
    );
    let said = refused(&served.rr(&["reset", "nope"]));
    assert!(said.contains("no such plugin: nope"), "{said}");
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

/// CLI-05, with a stand-in for the plugin.
#[test]
fn pipelines_are_listed_paused_resumed_and_destroyed() {
    let (port, rpc) = (free_port(), free_port());
    let stat = "0a160a02703112066d656d6f72791a02703120013801400a";
    let plugin = json!({"binary": bin::binary("rr-test-plugin"), "env": {"TEST_STAT": stat}});
    let settings = json!({
        "rpc": {"listen": format!("tcp://127.0.0.1:{rpc}")},
        "http": null,
        "jobs": {},
        "supervisor": {"plugins": {"http": null, "jobs": plugin}},
    });
    let config = standin::config(port, json!({}), settings);
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    server.wait_log("RoadRunner server started");
    let served = Served { server, rpc };
    let listed = cells(&printed(&served.rr(&["jobs", "--list"])));
    assert_eq!(listed, [["PIPELINE ( S )"], ["p1"], ["p2"]]);
    assert_eq!(
        parsed(&served.rr(&["jobs", "--list", "--json"])),
        json!({"pipelines": ["p1", "p2"]})
    );
    assert_eq!(cells(&printed(&served.rr(&["jobs", "--pause", "p1,p2"]))).len(), 3);
    assert_eq!(printed(&served.rr(&["jobs", "--resume", "p1", "-s"])), "");
    let gone = parsed(&served.rr(&["jobs", "--destroy", "p2,p1", "--json"]));
    assert_eq!(gone, json!({"pipelines": ["p1", "p2"]}));
    assert_eq!(
        refused(&served.rr(&["jobs", "--pause", "nope"])),
        "no such pipeline, requested: nope"
    );
    let usage = refused(&served.rr(&["jobs", "--pause"]));
    assert_eq!(usage, "incorrect command usage, should be: rr jobs --pause pipe1,pipe2");
    assert!(refused(&served.rr(&["jobs"])).starts_with("command should be in form of"));

    let drawn = printed(&served.rr(&["workers", "jobs"]));
    assert!(drawn.starts_with("Jobs of [jobs]:\n"), "{drawn}");
    assert_eq!(cells(&drawn)[1][..5], ["READY", "p1", "memory", "p1", "1"]);
}

/// CLI-17, and clear words when nobody is there.
#[test]
fn errors_are_one_line() {
    let room = Room::new();
    let port = free_port();
    for (config, arguments, said) in [
        (
            "version: '3'",
            vec!["workers"],
            "rpc service not specified in the configuration. Tip: add",
        ),
        (
            "",
            vec!["reset", "-o", "rpc.listen=nonsense"],
            "rpc.listen: expected host:port",
        ),
        ("", vec!["jobs", "--list", "-c", "missing.yaml"], "missing.yaml"),
    ] {
        room.write(".rr.yaml", config);
        let words = refused(&rr(&room, &arguments));
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
        let words = refused(&rr(&room, &[&verb[..], &["-o", &listen]].concat()));
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
    let mut command = Command::new(bin::server());
    command
        .arg("serve")
        .arg("-c")
        .arg(&file)
        .env("XDG_RUNTIME_DIR", runtime.path());
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

/// LOG-03: the levels of the `logs` section, fields, JSON as it is, and no forged line.
#[test]
fn applications_log_over_rpc() {
    let served = Served::start(json!({"logs": {"channels": {"app": {"mode": "production", "level": "info"}}}}));
    let mut rpc = served.rpc();
    let mut log = |method: &str, argument: Value| {
        assert_eq!(rpc.call(method, &argument).error(), None, "{method}");
    };
    log("app.Debug", json!("too low"));
    log("app.Info", json!("{\"order\": 7}"));
    log("app.Error", json!("a\n{\"level\":\"info\",\"msg\":\"forged\"}"));
    let attributes = json!([{"key": "user", "value": "ada"}, {"key": "level", "value": "debug"}]);
    log(
        "app.WarningWithContext",
        json!({"message": "with fields", "log_attrs": attributes}),
    );
    // A verbatim text has no line end of its own: what follows would stand on its line.
    served.server.wait_log("with fields");
    log("app.Log", json!("verbatim text\n"));
    log(
        "app.LogWithContext",
        json!({"message": "m", "log_attrs": [{"key": "k", "value": "value"}]}),
    );
    served.server.wait_log("verbatim text\nm k:value");
    let lines: Vec<Value> = served
        .server
        .log_json()
        .into_iter()
        .filter(|line| line["logger"] == "app")
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["msg"]),
        (&json!("info"), &json!("{\"order\": 7}"))
    );
    assert_eq!(lines[1]["level"], "error");
    assert_eq!(
        (&lines[2]["user"], &lines[2]["attr.level"]),
        (&json!("ada"), &json!("debug"))
    );
    assert_eq!(lines[2]["level"], "warn");
    assert!(served.server.stop().success());
}

/// CLI-11. At a port of the test's own: the reference's exists once on a machine.
#[test]
fn debug_pages_tell_what_there_is() {
    let room = Room::new();
    let port = free_port();
    let config = http_config(port, json!({"server": {"env": {"DB_PASSWORD": "hunter2"}}}));
    let debug = free_port();
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = Command::new(bin::server());
    command.args(["serve", "-d", "-c"]).arg(&file);
    command.env("RR_DEBUG_ADDRESS", format!("127.0.0.1:{debug}"));
    let server = Server::run(room, port, command);
    server.wait_ready();
    let client = rr_tests::Client::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, debug)));
    assert!(client.get("/debug/pprof/").text().contains("/debug/threads"));
    let plugins = client.get("/debug/plugins").json();
    assert_eq!(plugins["plugins"][1]["pid"], server.plugin("rr-http"));
    let threads = client.get("/debug/threads").json();
    let of_http = threads["processes"][1]["threads"].to_string();
    assert!(of_http.contains("frames-0"), "{threads}");
    assert!(!client.get("/debug/config").text().contains("hunter2"));
    let profile = client.get("/debug/pprof/profile");
    assert!(profile.status == 404 && profile.text().contains("perf record"));
    assert!(server.stop().success());
}
