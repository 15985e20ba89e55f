//! The RPC port under clients that send anything, read nothing, or come in crowds: bounded memory, and others are served.
#![allow(clippy::unwrap_used)]

use rr_common::frame::{self, Head, flag};
use rr_common::rpc::wire::MAX_FRAME;
use rr_tests::{process, rpc_place::start, wait::SOON};
use serde_json::json;
use std::time::Duration;

/// RPC-20: 100,000 frames that are calls in form only. Each is answered, and nothing dies.
#[test]
fn a_hundred_thousand_malformed_frames_are_answered() {
    const COUNT: u32 = 100_000;
    let place = start(json!({"logs": {"level": "error"}}));
    let (supervisor, plugin) = (place.server.pid(), place.plugin());
    let mut sound = place.rpc();
    let mut rpc = place.rpc();
    let mut seed = 1_u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    let payloads: [&[u8]; 8] = [
        b"",
        b"nodot",
        b".",
        b"kv.\xff\xfe",
        b"kv.Nope",
        b"nope.Echo",
        b"rpc.Config{",
        b"kv.Pid\x00\x00",
    ];
    let mut answered = 0;
    for batch in 0..COUNT / 250 {
        let mut bytes = Vec::new();
        for i in 0..250 {
            let payload = payloads[random() as usize % payloads.len()];
            // Mostly the true length of the name, sometimes any.
            let name = match random() % 3 {
                0 => random() << 8 | random(),
                1 => random() % 12,
                _ => payload.len() as u32,
            };
            let flags = if random() % 2 == 0 {
                flag::GOB
            } else {
                (random() as u8) & !flag::ERROR
            };
            frame::encode(&mut bytes, flags, 0, &[batch * 250 + i, name], payload);
        }
        assert!(rpc.send(&bytes), "the connection is closed after {answered} answers");
        for _ in 0..250 {
            rpc.next_answer();
            answered += 1;
        }
    }
    assert_eq!(answered, COUNT);
    // And those that close their connection: another number of options, a wrong checksum, no frame at all.
    for _ in 0..100 {
        let mut one = Vec::new();
        frame::encode(&mut one, flag::JSON, 0, &[random()], b"rpc.Version");
        let mut damaged = one.clone();
        damaged[7] ^= 1;
        for bytes in [&one[..], &damaged, b"\r\n", &[0; 64]] {
            let mut rpc = place.rpc();
            rpc.send(bytes);
            assert!(rpc.closes_within(SOON));
        }
    }
    assert_eq!(sound.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    assert_eq!(
        (place.server.pid(), place.plugin()),
        (supervisor, plugin),
        "nothing was restarted"
    );
    assert!(place.server.stop().success());
}

/// RPC-21: a client that stops reading is not read from, its answers are kept up to a bound, and others are served.
#[test]
fn a_client_that_stops_reading_costs_bounded_memory() {
    const EACH: usize = 4 << 20;
    let place = start(json!({}));
    let mut deaf = place.rpc();
    // A gigabyte, if all were kept.
    let calls: Vec<u32> = (0..250)
        .map(|_| deaf.begin("kv.Big", flag::JSON, EACH.to_string().as_bytes()))
        .collect();
    let mut other = place.rpc();
    // The plugin has answered all when it answers this: calls start in order.
    assert_eq!(other.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    let peak = process::peak_resident(place.server.pid()).unwrap();
    assert!(peak < 256 << 20, "the supervisor had {} MiB", peak >> 20);
    // It reads after all: every call has an answer, and the connection lives.
    let mut whole = 0;
    for call in calls {
        let answer = deaf.answer(call);
        match answer.error() {
            None => whole += usize::from(answer.body.len() == EACH),
            Some(text) => assert_eq!(
                text,
                "rpc: the answer is dropped, because earlier ones have not been read"
            ),
        }
    }
    assert!(whole >= 1);
    assert_eq!(deaf.exchange("kv.Echo", flag::RAW, b"y").text(), "y");
    assert!(place.server.stop().success());
}

/// RPC-22: more calls than may be in flight: the rest waits in the socket, and all are answered.
#[test]
fn calls_in_flight_are_bounded() {
    let place = start(json!({}));
    let mut many = place.rpc();
    let waits: Vec<u32> = (0..600).map(|_| many.begin("kv.Wait", flag::RAW, b"w")).collect();
    let mut opener = place.rpc();
    let mut rest = waits.into_iter().peekable();
    while rest.peek().is_some() {
        assert_eq!(opener.exchange("kv.Open", flag::RAW, b"").error(), None);
        while let Some(wait) = rest.next_if(|wait| many.came(*wait, Duration::from_millis(20))) {
            assert_eq!(many.answer(wait).text(), "w");
        }
    }
    assert!(place.server.stop().success());
}

/// RPC-23: a call that is too long is refused, its bytes are passed over, and the connection lives; a long one is carried.
#[test]
fn long_calls_are_carried_and_too_long_ones_passed_over() {
    let place = start(json!({}));
    let mut rpc = place.rpc();
    let body: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    assert!(rpc.exchange("kv.Echo", flag::RAW, &body).body == body);
    let too_long = rpc.exchange("kv.Echo", flag::RAW, &vec![7; MAX_FRAME]);
    assert_eq!(too_long.error().as_deref(), Some("rpc: the call is longer than 64 MiB"));
    assert_eq!(rpc.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    let answer = rpc.exchange("kv.Big", flag::JSON, (MAX_FRAME + 1).to_string().as_bytes());
    assert_eq!(
        answer.error().as_deref(),
        Some("rpc: the answer is too long for a frame")
    );

    // A header alone takes no memory, however much it claims.
    let before = process::resident(place.server.pid()).unwrap();
    let head = Head {
        flags: flag::RAW,
        stream: 0,
        options: 2,
        payload: (MAX_FRAME - 100) as u32,
    };
    let mut claims: Vec<_> = (0..50).map(|_| place.rpc()).collect();
    for rpc in &mut claims {
        assert!(rpc.send(&[&head.encode()[..], &[1, 0, 0, 0, 7, 0, 0, 0], b"kv.Echo"].concat()));
    }
    assert_eq!(rpc.exchange("kv.Echo", flag::RAW, b"x").text(), "x");
    let after = process::resident(place.server.pid()).unwrap();
    assert!(after < before + (64 << 20), "{before} {after}");
    assert!(place.server.stop().success());
}

/// RPC-24: hundreds of connections at once; those that go while a call waits leave nothing behind.
#[test]
fn many_connections_are_served() {
    let place = start(json!({}));
    let mut all: Vec<_> = (0..400).map(|_| place.rpc()).collect();
    let calls: Vec<u32> = all
        .iter_mut()
        .map(|rpc| rpc.begin("kv.Echo", flag::RAW, b"x"))
        .collect();
    for (rpc, call) in all.iter_mut().zip(calls) {
        assert_eq!(rpc.answer(call).text(), "x");
    }
    for rpc in &mut all {
        rpc.begin("kv.Wait", flag::RAW, b"gone");
    }
    drop(all);
    let mut rpc = place.rpc();
    assert_eq!(rpc.exchange("kv.Open", flag::RAW, b"x").text(), "x");
    let sockets = || process::sockets(place.server.pid()).len();
    rr_tests::eventually(SOON, || {
        let _ = rpc.exchange("kv.Open", flag::RAW, b"");
        sockets() < 100
    });
    assert!(place.server.stop().success());
}
