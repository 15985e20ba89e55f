//! A changed configuration takes effect for those who come in: the RPC port moves while PHP calls, and others may come.
#![allow(clippy::unwrap_used)]

use nix::unistd::geteuid;
use rr_common::frame::flag;
use rr_tests::{
    Room, Rpc, bin, eventually,
    load::Load,
    operator::{done, parsed, printed, rr, upgrade_self},
    port::{closed, free_port, local, tcp},
    process,
    reload::{Place, action, endpoint, error},
    rounds,
    wait::SOON,
};
use serde_json::json;
use std::{
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// Calls of a storage.
const HAS: &str =
    "/rpc?method=kv.Has&argument=%7B%22storage%22%3A%22memory%22%2C%22items%22%3A%5B%7B%22key%22%3A%22k%22%7D%5D%7D";

/// The command line finds the server by its file.
#[track_caller]
fn clients_find_it(place: &Place) {
    parsed(&rr(&place.server, &["workers", "--json"]));
    let shown = printed(&rr(&place.server, &["plugins"]));
    assert!(shown.contains("http"), "{shown}");
}

/// PHP calls all the time, over connections that it never makes anew.
#[test]
fn the_rpc_port_moves_and_no_call_fails() {
    let first = free_port();
    let mut place = Place::quiet(json!({
        "rpc": {"listen": tcp(first)},
        "kv": {"memory": {"driver": "memory", "config": {}}},
        "http": {"http2": {"h2c": true}},
    }));
    let kv = place.server.plugin("rr-kv");
    let calls = Load::start(place.server.address(), 2, "/rpc?method=rpc.Version");
    let kept = Load::start(place.server.address(), 2, HAS);
    let requests = Load::start_h2(place.server.address(), 1, "/echo?body=hi");
    let mut stays = Rpc::tcp(local(first));
    let mut old: Box<dyn Fn() -> bool> = Box::new(move || closed(first));
    for round in 0..rounds(5) {
        calls.goes_on();
        kept.goes_on();
        let file = place.server.room().file(&format!("rpc-{round}.sock"));
        let port = free_port();
        let (listen, gone): (String, Box<dyn Fn() -> bool>) = match round % 2 {
            0 => (format!("unix://{}", file.display()), Box::new(move || !file.exists())),
            _ => (tcp(port), Box::new(move || closed(port))),
        };
        place.change(json!({"rpc": {"listen": listen}}));
        let answer = place.reload();
        assert_eq!(endpoint(&answer, "rpc"), "moved");
        assert_eq!(
            (action(&answer, "http"), action(&answer, "kv")),
            ("replaced", "unchanged")
        );
        clients_find_it(&place);
        let shown = stays.exchange("rpc.Config", flag::RAW, b"").text();
        assert!(shown.contains(&listen), "{shown}");
        eventually(SOON, &old);
        old = gone;
        assert_eq!(
            stays.call("rpc.Version", &json!(true)).error(),
            None,
            "it was not closed"
        );
    }
    calls.goes_on();
    kept.goes_on();
    for load in [calls, kept, requests] {
        load.stop_unharmed(&place.server);
    }
    assert_eq!(place.server.plugin("rr-kv"), kv);

    // The next program of the supervisor finds everything where it is now.
    let port = free_port();
    place.change(json!({"rpc": {"listen": tcp(port)}}));
    place.reload();
    eventually(SOON, || process::named(place.server.pid(), "rr-http").len() == 1);
    let calls = Load::start(place.server.address(), 2, "/rpc?method=rpc.Version");
    calls.goes_on();
    upgrade_self(&place.server);
    calls.goes_on();
    // And it changes as the one before did.
    place.change(json!({"rpc": {"listen": tcp(first)}}));
    assert_eq!(endpoint(&place.reload(), "rpc"), "moved");
    eventually(SOON, || closed(port));
    calls.goes_on();
    calls.stop_unharmed(&place.server);
    clients_find_it(&place);
    assert!(place.server.stop().success());
}

#[test]
fn the_rpc_section_comes_and_goes() {
    let mut place = Place::quiet(json!({"service": {"beside": {"command": ["sleep", "1000"]}}}));
    let load = Load::start(place.server.address(), 2, "/echo?body=hi");
    assert_eq!(place.server.client().get("/rpc?method=rpc.Version").status, 500);
    clients_find_it(&place);
    for _ in 0..2 {
        let port = free_port();
        place.change(json!({"rpc": {"listen": tcp(port)}}));
        let answer = place.reload();
        assert_eq!((endpoint(&answer, "rpc"), action(&answer, "lock")), ("opened", "added"));
        eventually(SOON, || {
            place.server.client().get("/rpc?method=rpc.Version").status == 200
        });
        let lock = json!({"resource": "r", "id": "a", "ttl": 60_000_000, "wait": 0});
        assert_eq!(error(port, "lock.Lock", &lock), None, "it starts with its first call");
        clients_find_it(&place);
        place.change(json!({"rpc": null}));
        let answer = place.reload();
        assert_eq!(
            (endpoint(&answer, "rpc"), action(&answer, "lock")),
            ("closed", "removed")
        );
        eventually(SOON, || closed(port));
        clients_find_it(&place);
    }
    load.stop_unharmed(&place.server);
    assert!(place.server.stop().success());
}

/// The new port is there before the workers that are to call there.
#[test]
fn workers_call_while_they_boot() {
    let room = Room::new();
    let autoload = bin::repository().join("php/autoload.php");
    let worker = format!(
        "<?php require '{}';\n$text = Rr\\Rpc\\Client::fromEnvironment()->call('rpc.Version', true);
        Rr\\Http\\HttpWorker::fromEnvironment()->serve(fn () => $text . getenv('RR_RPC'));",
        autoload.display()
    );
    let worker = room.write("worker.php", worker);
    let command = json!({"command": ["php", worker]});
    let mut place = Place::at(
        room,
        ".rr.yaml",
        json!({"rpc": {"listen": tcp(free_port())}, "server": command}),
    );
    for _ in 0..2 {
        let port = free_port();
        place.change(json!({"rpc": {"listen": tcp(port)}}));
        assert_eq!(endpoint(&place.reload(), "rpc"), "moved");
        eventually(SOON, || place.get("/").ends_with(&format!(":{port}")));
    }
    // One that fails takes its port with it, and its workers' connections.
    let port = free_port();
    place.change(json!({"rpc": {"listen": tcp(port)}, "service": {"beside": {"command": ["/nowhere"]}}}));
    assert!(place.refused().contains("the service beside cannot start"));
    eventually(SOON, || closed(port));
    assert!(!place.get("/").ends_with(&format!(":{port}")));
    assert!(place.server.stop().success());
}

/// A process of before the reload, which is still busy, calls for the first time.
#[test]
fn who_has_the_old_address_may_still_call_there() {
    let (first, second) = (free_port(), free_port());
    let mut place = Place::quiet(json!({"rpc": {"listen": tcp(first)}, "http": {"pool": {"num_workers": 1}}}));
    let old = place.server.plugin("rr-http");
    let mut slow = place.server.client().connect();
    let busy = std::thread::spawn(move || {
        let slept = slow.get("/sleep?ms=3000").text();
        (slept, slow)
    });
    eventually(SOON, || done(&place.server, &["workers", "--json"]).contains("working"));
    place.change(json!({"rpc": {"listen": tcp(second)}}));
    place.reload();
    assert!(process::alive(old));
    assert_eq!(error(first, "rpc.Version", &json!(true)), None);
    assert_eq!(error(second, "rpc.Version", &json!(true)), None);
    assert_eq!(busy.join().unwrap().0, "slept");
    eventually(SOON, || !process::alive(old) && closed(first));
    assert!(place.server.stop().success());
}

#[test]
fn callers_are_listed_anew() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can act as other users");
    }
    let room = Room::new();
    std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = room.file("rpc.sock");
    let listen = format!("unix://{}?mode=0666", socket.display());
    let mut place = Place::at(
        room,
        ".rr.yaml",
        json!({"rpc": {"listen": listen, "allow_users": ["12345"]}}),
    );
    let http = place.server.plugin("rr-http");
    let answered = |path: &Path, uid: u32| {
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); \
            s.sendall(bytes.fromhex(sys.argv[2])); sys.exit(0 if s.recv(1) else 1)";
        let request = "15080f0000001c69ca8a0000010000000b0000007270632e56657273696f6e74727565";
        let mut python = Command::new("python3");
        python.args(["-c", script]).arg(path).arg(request);
        python.uid(uid).gid(uid).output().unwrap().status.success()
    };
    assert!(answered(&socket, 12345) && !answered(&socket, 12346));
    place.change(json!({"rpc": {"allow_users": ["12346"]}}));
    let answer = place.reload();
    assert_eq!(
        (endpoint(&answer, "rpc"), action(&answer, "http")),
        ("changed", "unchanged")
    );
    eventually(SOON, || answered(&socket, 12346) && !answered(&socket, 12345));

    // The file's mode is another one, and the place the same.
    let private = format!("unix://{}?mode=0600", socket.display());
    place.change(json!({"rpc": {"listen": private}}));
    let answer = place.reload();
    assert_eq!(
        (endpoint(&answer, "rpc"), action(&answer, "http")),
        ("changed", "unchanged")
    );
    assert!(!answered(&socket, 12346));
    assert!(UnixStream::connect(&socket).is_ok());
    assert_eq!(place.server.plugin("rr-http"), http);
    clients_find_it(&place);

    // The control sockets.
    let dir = control_dir(&place);
    let mode = || std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    let parent_is_open = std::fs::metadata(dir.parent().unwrap()).unwrap().permissions().mode() & 0o001 != 0;
    place.change(json!({"supervisor": {"control": {"allow_users": ["12345"]}}}));
    let answer = place.reload();
    assert_eq!(answer["settings"], json!(["supervisor.control.allow_users"]));
    assert_eq!(mode(), 0o711);
    let rpc = dir.join("rpc.sock");
    assert!(!parent_is_open || answered(&rpc, 12345) && !answered(&rpc, 12346));
    place.change(json!({"supervisor": {"control": null}}));
    place.reload();
    eventually(SOON, || mode() == 0o700);
    assert!(place.server.stop().success());
}

/// The control directory, as its plugins know it.
fn control_dir(place: &Place) -> PathBuf {
    let environment = process::environment(place.server.plugin("rr-http")).unwrap();
    let found = environment.iter().find_map(|one| one.strip_prefix("RR_CONTROL="));
    Path::new(found.unwrap()).parent().unwrap().to_owned()
}

#[test]
fn a_plugin_gets_another_user() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can act as other users");
    }
    let rpc = free_port();
    let mut place = Place::quiet(json!({
        "rpc": {"listen": tcp(rpc)},
        "kv": {"memory": {"driver": "memory", "config": {}}},
    }));
    let items = json!({"storage": "memory", "items": [{"key": "k", "value": "dmFsdWU="}]});
    assert_eq!(error(rpc, "kv.Set", &items), None);
    let load = Load::start(place.server.address(), 2, HAS);
    let user = |place: &Place, program: &str| {
        let pid = place.server.plugin(program);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for (name, uid) in [("nobody", "65534"), ("daemon", "1"), ("", "0")] {
        load.goes_on();
        place.change(json!({"supervisor": {"plugins": {"kv": {"user": name}, "http": {"user": name}}}}));
        let answer = place.reload();
        assert_eq!(
            (action(&answer, "http"), action(&answer, "kv")),
            ("replaced", "replaced")
        );
        for program in ["rr-http", "rr-kv"] {
            eventually(SOON, || process::named(place.server.pid(), program).len() == 1);
            assert_eq!(user(&place, program), uid, "{program}");
        }
    }
    place.change(json!({"supervisor": {"plugins": {"kv": {"user": "nobody at all"}}}}));
    let told = place.refused();
    assert!(told.contains("no such user: nobody at all"), "{told}");
    load.goes_on();
    load.stop_unharmed(&place.server);
    let has = json!({"storage": "memory", "items": [{"key": "k"}]});
    let kept = Rpc::tcp(local(rpc)).call("kv.Has", &has).json();
    assert_eq!(kept["items"][0]["key"], "k");
    assert!(place.server.stop().success());
}
