//! What one request's log line costs the thread that writes it, sending included: `cargo bench -p rr-common`.
//! Prints microseconds a line; the time of the writing thread is not in it but in the CPU time of the whole process.
#![allow(clippy::unwrap_used)]

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rr_common::config::section::{LogChannel, Logs};
use rr_common::telemetry::{log, request::Request};
use std::time::{Duration, Instant, SystemTime};

const LINES: u32 = 200_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    // Lines a second, as under load; without it as fast as they can be made.
    let pace = arguments.iter().skip_while(|argument| *argument != "--pace").nth(1);
    let pause = pace.map(|pace| Duration::from_secs(1) / pace.parse::<u32>().unwrap());
    let main = LogChannel {
        mode: "production".into(),
        output: vec!["/dev/null".into()],
        ..LogChannel::default()
    };
    let _guard = log::init(
        &Logs {
            main,
            ..Logs::default()
        },
        "http",
    )
    .unwrap();
    for _ in 0..2 {
        measure("direct", pause, direct);
        measure("tracing", pause, traced);
        measure("below the level", pause, || tracing::trace!(target: "http", "never"));
    }
}

fn measure(name: &str, pause: Option<Duration>, line: impl Fn()) {
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
        (usage.user_time() + usage.system_time()).num_microseconds()
    };
    let (begin, cpu_before) = (Instant::now(), cpu());
    let mut inside = Duration::ZERO;
    for number in 0..LINES {
        let before = Instant::now();
        line();
        inside += before.elapsed();
        while pause.is_some_and(|pause| begin.elapsed() < pause * number) {
            std::hint::spin_loop();
        }
    }
    let per_line = inside.as_secs_f64() * 1e6 / f64::from(LINES);
    let cpu = (cpu() - cpu_before) as f64 / f64::from(LINES);
    let wall = begin.elapsed().as_secs_f64() * 1e6 / f64::from(LINES);
    println!("{name:<16} {per_line:6.2} µs a line; CPU of all threads {cpu:6.2} µs a line, wall {wall:6.2}");
}

fn direct() {
    let request = Request {
        status: 200,
        method: "GET",
        uri: "/products/list?page=2&sort=name",
        url: "/products/list?page=2&sort=name",
        remote_address: "127.0.0.1:34182",
        read_bytes: 0,
        write_bytes: 5123,
        start: SystemTime::now(),
        elapsed: Duration::from_micros(3999),
        access: None,
        place: None,
    };
    std::hint::black_box(request).log("http");
}

fn traced() {
    let start = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let uri = std::hint::black_box("/products/list?page=2&sort=name");
    tracing::info!(
        target: "http", status = 200u16, method = "GET", URI = uri, URL = uri, remote_address = "127.0.0.1:34182",
        read_bytes = 0u64, write_bytes = 5123u64, start, elapsed = 3u64, "http log"
    );
}
