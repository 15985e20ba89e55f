//! The RPC port: framing, codecs, error texts, order of answers, and what a dying plugin costs.
#![allow(clippy::unwrap_used)]

use nix::unistd::geteuid;
use rr_common::frame::flag;
use rr_tests::{
    Room, Rpc, Server, bin,
    port::{at, free_port, local, tcp},
    process,
    rpc_place::{Place, config, start},
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// RPC-01: the request of goridge.md §5, byte for byte; only the version differs from what was seen there.
#[test]
fn the_version_is_asked_as_the_public_package_asks() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    let mut request = hex("15 08 0f000000 1c69ca8a 00 00 01000000 0b000000");
    request.extend(b"rpc.Versiontrue");
    assert!(rpc.send(&request));
    let answer = rpc.next_answer();
    assert_eq!(
        (answer.flags, answer.sequence, &*answer.method),
        (flag::JSON, 1, "rpc.Version")
    );
    assert_eq!(answer.json(), json!(rr_common::COMPATIBLE_VERSION));
    // The same connection, another codec.
    let version = rpc.exchange("rpc.Version", flag::MSGPACK, b"").body;
    assert_eq!(&version[1..], rr_common::COMPATIBLE_VERSION.as_bytes());

    let raw: Value = serde_json::from_slice(&rpc.exchange("rpc.Config", flag::RAW, b"").body).unwrap();
    assert_eq!(raw["rpc"]["listen"], json!(tcp(place.port)));
    let text = rpc.call("rpc.Config", &json!(true)).json();
    assert!(text.as_str().unwrap().starts_with("ey"), "base64 of an object: {text}");
    assert!(place.server.stop().success());
}

/// RPC-02: what goes wrong is told in the reference's words, with the codec's bit, and the connection goes on.
#[test]
fn errors_have_the_references_texts() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    for (method, codec, text) in [
        ("nodot", flag::JSON, "rpc: service/method request ill-formed: nodot"),
        ("nope.X", flag::PROTO, "rpc: can't find service nope.X"),
        ("rpc.X", flag::JSON, "rpc: can't find method rpc.X"),
        ("kv.X", flag::PROTO, "rpc: can't find method kv.X"),
        ("kv.Fail", flag::RAW, "argument"),
        ("rpc.Version", flag::RAW, "unknown Raw payload type"),
        (
            "rpc.Version",
            flag::PROTO,
            "goridge_read_request_body: message type is not a proto",
        ),
        (
            "rpc.Version",
            flag::GOB,
            "goridge_read_request_body: unknown decoder used in frame",
        ),
        (
            "kv.Echo",
            flag::GOB,
            "goridge_read_request_body: unknown decoder used in frame",
        ),
        (
            "kv.Panic",
            flag::JSON,
            "rpc: the call has failed by a defect of the plugin",
        ),
    ] {
        let answer = rpc.exchange(method, codec, b"argument");
        assert_eq!((answer.flags, &*answer.method), (codec | flag::ERROR, method));
        assert_eq!(answer.text(), text);
    }
    assert_eq!(
        rpc.exchange("kv.Echo", flag::JSON | flag::PROTO, b"x").flags,
        flag::PROTO
    );
    assert!(place.server.stop().success());
}

/// RPC-03: calls start in order and are answered as they complete.
#[test]
fn a_call_that_waits_holds_up_no_other() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    let waits = rpc.begin("kv.Wait", flag::RAW, b"waits");
    let echo = rpc.begin("kv.Echo", flag::RAW, b"echo");
    assert_eq!(rpc.next_answer().sequence, echo);
    assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
    assert_eq!(rpc.exchange("kv.Open", flag::RAW, b"").error(), None);
    assert_eq!(rpc.answer(waits).text(), "waits");
    assert!(place.server.stop().success());
}

/// RPC-04: `kill -9` of a plugin costs its calls in flight, and nothing else.
#[test]
fn a_plugins_death_costs_no_connection() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    let mut other = place.rpc();
    let first = rpc.call("kv.Pid", &json!(null)).json();
    let waits = rpc.begin("kv.Wait", flag::RAW, b"");
    let others = other.begin("kv.Wait", flag::RAW, b"");
    assert_eq!(rpc.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    assert_eq!(other.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    process::kill_and_wait(place.plugin());
    let text = "rpc: the plugin kv has ended before it answered";
    assert_eq!(rpc.answer(waits).error().as_deref(), Some(text));
    assert_eq!(other.answer(others).error().as_deref(), Some(text));
    let second = rpc.call("kv.Pid", &json!(null)).json();
    assert_ne!(first, second, "the same connection reaches the next process");
    assert_eq!(rpc.call("kv.Die", &json!(null)).error().as_deref(), Some(text));
    let third = other.call("kv.Pid", &json!(null)).json();
    assert_ne!(second, third);
    assert!(place.server.stop().success());
}

/// RPC-05: bytes that are no call close their own connection only.
#[test]
fn garbage_closes_its_connection_and_no_other() {
    let place = start(json!({}));
    let mut sound = place.rpc();
    let mut one_option = Vec::new();
    rr_common::frame::encode(&mut one_option, flag::JSON, 0, &[1], b"rpc.Version");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x15\x08\x0f\0\0\0\0\0\0\0\0\0",
        &one_option,
    ] {
        let mut rpc = place.rpc();
        rpc.send(bytes);
        assert!(rpc.closes_within(SOON) && rpc.seen().is_empty());
    }
    place
        .server
        .wait_log("a connection is closed: not a call: the frame has 1 options instead of two");
    assert_eq!(sound.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    assert!(place.server.stop().success());
}

/// RPC-06: the socket in the control directory speaks the same; a Unix socket has the mode that is asked for.
#[test]
fn unix_sockets_serve_it_as_well() {
    let room = Room::new();
    let (control, path) = (room.file("control"), room.file("rpc.sock"));
    let (_, config) = config(json!({
        "rpc": {"listen": format!("unix://{}?mode=0600", path.display())},
        "supervisor": {"control": {"dir": control}},
    }));
    let server = Server::launch(room, 0, &config.to_string(), &[]);
    server.wait_started();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for path in [path, control.join("rpc.sock")] {
        assert_eq!(Rpc::unix(&path).exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    }
    assert!(server.stop().success());
}

/// RPC-06: at a Unix socket the kernel says who calls; users that are not listed are turned away, whatever the file's mode.
#[test]
fn only_listed_users_may_call() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can act as other users");
    }
    let room = Room::new();
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = room.file("rpc.sock");
    let settings =
        |users: Value| json!({"rpc": {"listen": format!("unix://{}?mode=0666", path.display()), "allow_users": users}});
    let (_, listed) = config(settings(json!(["nobody", "12345"])));
    let server = Server::launch(room, 0, &listed.to_string(), &[]);
    server.wait_started();
    let answers = |uid: u32| {
        let script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); \
            s.sendall(bytes.fromhex(sys.argv[2])); sys.exit(0 if s.recv(1) else 1)";
        let mut python = Command::new("python3");
        let request = "15080f0000001c69ca8a0000010000000b0000007270632e56657273696f6e74727565";
        python.args(["-c", script]).arg(&path).arg(request);
        python.uid(uid).gid(uid).status().unwrap().success()
    };
    assert!(answers(65534), "nobody is listed");
    assert!(answers(12345), "a number is taken as well");
    assert!(!answers(12346));
    server.wait_log("a process of another user was turned away from the rpc socket");
    assert_eq!(Rpc::unix(&path).exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    assert!(server.stop().success());

    for (rpc, said) in [
        (json!({"allow_users": ["nobody"]}), "a unix:// address only"),
        (
            json!({"listen": "unix://never.sock", "allow_users": ["no-such-user"]}),
            "rpc.allow_users: no such user: no-such-user",
        ),
    ] {
        let (_, wrong) = config(json!({"rpc": rpc}));
        let server = Server::launch(Room::new(), 0, &wrong.to_string(), &[]);
        assert_eq!(server.wait_exit(SOON).code(), Some(1));
        server.wait_log(said);
    }
}

/// A server whose kv dies until that file is there, again and again.
#[track_caller]
fn start_without_kv(gate: &Path, restart: Value) -> Place {
    start(json!({
        "supervisor": {
            "start": "keep_going",
            "restart": restart,
            "plugins": {"kv": {"env": {"TEST_DIE_UNLESS": gate}}},
        },
    }))
}

/// RPC-07: a call for a plugin that is on its way waits for it.
#[test]
fn a_call_waits_for_its_plugin() {
    let room = Room::new();
    let gate = room.file("gate");
    let place = start_without_kv(&gate, json!({"backoff": "50ms", "max": 1000}));
    let mut rpc = place.rpc();
    let waits = rpc.begin("kv.Echo", flag::RAW, b"patient");
    // Others are not held up by it, nor is this connection.
    assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
    std::fs::write(&gate, "").unwrap();
    assert_eq!(rpc.answer(waits).text(), "patient");
    assert!(place.server.stop().success());
}

/// RPC-07: a call does not wait for ever, nor do more wait than there is room for.
#[test]
fn waiting_for_a_plugin_has_bounds() {
    let room = Room::new();
    let gate = room.file("never");
    let place = start_without_kv(&gate, json!({"backoff": "100ms", "max": 100_000}));
    let mut clients: Vec<Rpc> = (0..5).map(|_| place.rpc()).collect();
    let mut calls = Vec::new();
    for (index, rpc) in clients.iter_mut().enumerate() {
        calls.extend((0..250).map(|_| (index, rpc.begin("kv.Echo", flag::RAW, b"x"))));
    }
    let mut refused = 0;
    for (index, call) in calls {
        assert!(clients[index].came(call, 3 * SOON), "every call is answered");
        let told = clients[index].answer(call).error().unwrap();
        assert!(told.starts_with("rpc: the plugin kv is "), "{told}");
        refused += usize::from(told.ends_with(", and too many calls wait for it"));
    }
    assert_eq!(refused, 5 * 250 - 1024);
    assert!(place.server.stop().success());
}

/// RPC-08: a plugin that was given up is told at once, and a stop ends calls that wait.
#[test]
fn a_plugin_that_was_given_up_is_an_error_at_once() {
    let (port, config) = config(json!({
        "supervisor": {
            "start": "keep_going",
            "restart": {"backoff": "1ms", "max": 2},
            "plugins": {"kv": {"env": {"TEST_DIE_AT_START": "3"}}},
        },
    }));
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    server.wait_log("it is given up");
    let mut rpc = Rpc::tcp(local(port));
    let told = rpc.call("kv.Echo", &json!(1)).error();
    assert_eq!(
        told.as_deref(),
        Some("rpc: the plugin kv has failed too often and was given up")
    );
    assert!(server.stop().success());
}

/// RPC-09: a plugin that runs alone serves its own methods, and says of others what a server without them says.
#[test]
fn a_plugin_alone_serves_its_own_methods() {
    let room = Room::new();
    let (port, http) = (free_port(), free_port());
    let config = json!({
        "version": "3",
        "rpc": {"listen": tcp(port)},
        "http": {"address": at(http)},
    });
    let file = room.write(".rr.yaml", config.to_string());
    let mut command = Command::new(bin::binary("rr-test-plugin"));
    command.arg("--config").arg(&file);
    let alone = Server::run(room, port, command);
    rr_tests::eventually(SOON, || std::net::TcpStream::connect(("127.0.0.1", http)).is_ok());
    let mut rpc = Rpc::tcp(local(port));
    assert_eq!(
        rpc.call("rpc.Version", &json!(true)).json(),
        json!(rr_common::COMPATIBLE_VERSION)
    );
    let waits = rpc.begin("test.Wait", flag::RAW, b"waits");
    assert_eq!(rpc.exchange("test.Echo", flag::RAW, b"x").text(), "x");
    assert_eq!(
        rpc.call("kv.Echo", &json!(1)).error().as_deref(),
        Some("rpc: can't find service kv.Echo")
    );
    assert_eq!(
        rpc.call("test.Panic", &json!(1)).error().as_deref(),
        Some("rpc: the call has failed by a defect of the plugin")
    );
    // The stop answers what still waits.
    alone.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(
        rpc.answer(waits).error().as_deref(),
        Some("rpc: the plugin test is starting or stopping")
    );
    assert!(alone.wait_exit(SOON).success());
}

/// RPC-10: a server without any plugin answers for itself.
#[test]
fn no_plugin_is_needed() {
    let place = start(json!({"kv": null, "supervisor": {"plugins": null}}));
    let mut rpc = place.rpc();
    assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
    assert_eq!(
        rpc.call("kv.Has", &json!(1)).error().as_deref(),
        Some("rpc: can't find service kv.Has")
    );
    assert!(place.server.stop().success());
}

/// RPC-11: a taken port ends the start, and is named.
#[test]
fn a_taken_port_ends_the_start() {
    let (port, config) = config(json!({}));
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_log("the plugin rpc cannot start: rpc.listen: listen tcp://127.0.0.1");
}
