//! The supervisor's own program is replaced while calls are under way: those that plugins have are answered all the same, however long
//! they wait, connections that are lent stay lent, and what only the old program can answer is waited for.
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_common::{frame::flag, rpc::wire};
use rr_tests::{
    Rpc, Server, eventually,
    operator::{self, renewals, upgrade_self},
    port::{free_port, local, tcp},
    process, rounds,
    rpc_place::{self, Place},
    server::merge,
    standin,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// More calls than a connection needs to be lent.
const ENOUGH: usize = 40;

fn start(settings: Value) -> Place {
    let mut all = json!({"supervisor": {"adopt_timeout": "20s"}});
    merge(&mut all, settings);
    rpc_place::start(all)
}

#[track_caller]
fn echo(rpc: &mut Rpc, text: &str) {
    assert_eq!(rpc.exchange("kv.Echo", flag::RAW, text.as_bytes()).text(), text);
}

/// Connections that are lent: sockets that both the plugin and the supervisor have.
fn lent(place: &Place) -> usize {
    let sockets = |pid: u32| -> HashSet<_> { process::sockets(pid).into_iter().collect() };
    sockets(place.plugin())
        .intersection(&sockets(place.server.pid()))
        .count()
}

#[test]
fn a_call_that_waits_is_answered_however_often_the_program_is_replaced() {
    let place = start(json!({}));
    let (mut waits, mut other) = (place.rpc(), place.rpc());
    let patient = waits.begin("kv.Wait", flag::RAW, b"patient");
    // Another one of the same connection goes past it.
    echo(&mut waits, "past it");
    for _ in 0..rounds(3) {
        upgrade_self(&place.server);
        echo(&mut waits, "still past it");
        echo(&mut other, "and on another one");
    }
    assert_eq!(other.exchange("kv.Open", flag::RAW, b"").error(), None);
    assert_eq!(waits.answer(patient).text(), "patient");
    // The plugin's death is an error for what it has, as it always was.
    let lost = waits.begin("kv.Wait", flag::RAW, b"lost");
    echo(&mut waits, "behind it");
    upgrade_self(&place.server);
    process::kill_and_wait(place.plugin());
    assert_eq!(
        waits.answer(lost).error().as_deref(),
        Some("rpc: the plugin kv has ended before it answered")
    );
    eventually(SOON, || {
        waits.exchange("kv.Echo", flag::RAW, b"again").error().is_none()
    });
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn a_caller_that_has_hung_up_leaves_no_trace() {
    let place = start(json!({}));
    let (mut waits, mut other) = (place.rpc(), place.rpc());
    waits.begin("kv.Wait", flag::RAW, b"patient");
    echo(&mut waits, "begun");
    drop(waits);
    upgrade_self(&place.server);
    assert_eq!(other.exchange("kv.Open", flag::RAW, b"").error(), None);
    echo(&mut other, "on");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn a_lent_connection_stays_lent() {
    let place = start(json!({}));
    let (mut rpc, mut other) = (place.rpc(), place.rpc());
    echo(&mut other, "here");
    assert_eq!(lent(&place), 0);
    for number in 0..ENOUGH {
        echo(&mut rpc, &number.to_string());
    }
    eventually(SOON, || lent(&place) == 1);
    for _ in 0..rounds(3) {
        upgrade_self(&place.server);
        echo(&mut rpc, "lent");
        assert_eq!(lent(&place), 1, "{}", place.server.log());
    }
    // It comes back for any other call, goes again, and is one of many.
    assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
    eventually(SOON, || lent(&place) == 0);
    for number in 0..4 * ENOUGH {
        echo(&mut rpc, &number.to_string());
        echo(&mut other, &number.to_string());
    }
    eventually(SOON, || lent(&place) == 2);
    // The plugin's death costs it nothing but a call in flight, also when another program has lent it.
    upgrade_self(&place.server);
    process::kill_and_wait(place.plugin());
    eventually(SOON, || rpc.exchange("kv.Echo", flag::RAW, b"on").error().is_none());
    echo(&mut other, "on");
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn under_load_every_answer_is_of_its_call() {
    let place = start(json!({}));
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|client: usize| {
            let (mut rpc, over, answered) = (place.rpc(), Arc::clone(&over), Arc::clone(&answered));
            thread::spawn(move || {
                let mut call = 0;
                while !over.load(Ordering::Relaxed) {
                    call += 1;
                    // Half of them keep to one plugin and are lent, the others are not; some send several at once.
                    let text = format!("{client}.{call}");
                    match client % 3 {
                        0 => echo(&mut rpc, &text),
                        1 => {
                            echo(&mut rpc, &text);
                            assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
                        }
                        _ => {
                            let texts: Vec<String> = (0..20).map(|part| format!("{text}.{part}")).collect();
                            let calls: Vec<u32> = texts
                                .iter()
                                .map(|text| rpc.begin("kv.Echo", flag::RAW, text.as_bytes()))
                                .collect();
                            for (call, text) in calls.into_iter().zip(texts) {
                                assert_eq!(rpc.answer(call).text(), text);
                            }
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..rounds(3) {
        let before = answered.load(Ordering::Relaxed);
        eventually(SOON, || answered.load(Ordering::Relaxed) > before + 200);
        upgrade_self(&place.server);
    }
    let before = answered.load(Ordering::Relaxed);
    eventually(SOON, || answered.load(Ordering::Relaxed) > before + 200);
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn large_calls_and_answers_go_on_where_they_stood() {
    let place = start(json!({}));
    let size = 20 << 20;
    // An answer that the client does not take, and a call that it has not sent to its end.
    let mut slow = place.rpc();
    let big = slow.begin("kv.Big", flag::JSON, size.to_string().as_bytes());
    let mut half = place.rpc();
    let body: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
    let mut frame = Vec::new();
    wire::answer(&mut frame, flag::RAW, 77, b"kv.Echo", &body);
    assert!(half.send(&frame[..size / 2]));
    // One that is refused by its length is passed over, as far as it has come.
    let mut refused = place.rpc();
    let mut long = Vec::new();
    wire::answer(&mut long, flag::RAW, 78, b"kv.Echo", &vec![b'x'; 65 << 20]);
    assert!(refused.send(&long[..30 << 20]));
    assert_eq!(refused.answer(78).error().as_deref(), Some(wire::TOO_LONG));
    for _ in 0..2 {
        upgrade_self(&place.server);
    }
    assert!(refused.send(&long[30 << 20..]));
    echo(&mut refused, "behind it");
    assert!(half.send(&frame[size / 2..]));
    assert!(half.answer(77).body == body);
    assert_eq!(slow.answer(big).body.len(), size);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn what_only_the_old_program_can_answer_is_waited_for() {
    // A reset that waits for a request, answered by ours; it takes seconds, and the upgrade waits for it.
    let port = free_port();
    let server = Server::http(json!({
        "rpc": {"listen": tcp(port)},
        "supervisor": {"adopt_timeout": "20s"},
    }));
    let slow = thread::spawn({
        let client = server.client();
        move || client.get("/stubborn?s=2").text()
    });
    let mut rpc = Rpc::tcp(local(port));
    eventually(SOON, || {
        let workers = rpc.call("informer.Workers", &json!("http")).json();
        workers["workers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|worker| worker["statusStr"] == "working")
    });
    let mut resetting = Rpc::tcp(local(port));
    let reset = resetting.begin("resetter.Reset", flag::JSON, br#""http""#);
    assert_eq!(renewals(&mut rpc), 0);
    upgrade_self(&server);
    assert_eq!(renewals(&mut rpc), 1);
    assert_eq!(resetting.answer(reset).json(), json!(true));
    assert_eq!(slow.join().unwrap(), "woke");
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn a_call_over_the_contract_that_never_ends_keeps_the_program_as_it_is() {
    // A plugin without a connection for calls: its answers come over the contract, and this one never comes.
    let rpc = free_port();
    let server = standin::start(
        json!({}),
        json!({
            "rpc": {"listen": tcp(rpc)},
            "supervisor": {"adopt_timeout": "20s", "plugins": {"mine": {
                "command": [rr_tests::bin::binary("rr-test-custom")], "rpc_prefixes": ["mine"],
            }}},
        }),
    );
    let (mut waits, mut other) = (Rpc::tcp(local(rpc)), Rpc::tcp(local(rpc)));
    let waiting = waits.begin("mine.Wait", flag::JSON, b"true");
    assert_eq!(other.call("mine.Pid", &json!(true)).error(), None);
    let refused = operator::rr(&server, &["upgrade", "self"]);
    let text = operator::text(&refused.stderr);
    assert!(!refused.status.success() && text.contains("mine.Wait"), "{text}");
    assert_eq!(renewals(&mut other), 0);
    assert_eq!(other.call("mine.Open", &json!(true)).error(), None);
    assert_eq!(waits.answer(waiting).json(), json!("opened"));
    upgrade_self(&server);
    assert_eq!(renewals(&mut other), 1);
    assert!(server.stop().success(), "{}", server.log());
}

#[test]
fn a_wish_waits_for_a_plugin_that_is_on_its_way() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    let before = place.plugin();
    // Killed, it has to come back first; a signal waits for that as the command does.
    process::signal(place.server.pid(), Signal::SIGUSR2);
    process::kill_and_wait(before);
    eventually(SOON, || renewals(&mut rpc) == 1);
    eventually(SOON, || rpc.exchange("kv.Echo", flag::RAW, b"on").error().is_none());
    process::kill_and_wait(place.plugin());
    upgrade_self(&place.server);
    assert_eq!(renewals(&mut rpc), 2);
    echo(&mut rpc, "on");
    assert_eq!(process::named(place.server.pid(), "rr-test-plugin").len(), 1);
    assert!(place.server.stop().success(), "{}", place.server.log());
}

#[test]
fn a_stop_ends_the_wait() {
    let place = start(json!({}));
    let mut waits = place.rpc();
    waits.begin("resetter.Reset", flag::JSON, br#""kv""#);
    let asked = operator::start(&place.server, &["upgrade", "self"]);
    assert!(place.server.stop().success(), "{}", place.server.log());
    asked.wait_with_output().unwrap();
}
