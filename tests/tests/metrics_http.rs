//! The middleware `http_metrics` (HTTP-30): requests by status and time, over the deaths of the plugin.
#![allow(clippy::unwrap_used)]

use rr_tests::metrics::{sample, serve};
use rr_tests::{Client, Server, eventually, load::Load, operator::upgrade, process, rounds, wait::SOON};
use serde_json::json;

fn total(page: &Client, status: &str) -> f64 {
    let name = format!("rr_http_request_total{{status=\"{status}\"}}");
    sample(&page.get("/").text(), &name).unwrap_or(0.0)
}

#[test]
fn requests_are_counted_by_the_status_that_was_written() {
    let settings = json!({"http": {"middleware": ["http_metrics"], "internal_error_code": 555}});
    let (server, page) = serve(settings);
    let client = server.client();
    for path in [
        "/hello",
        "/stream?n=3",
        "/hints",
        "/trailers",
        "/nothing",
        "/status?code=503",
        "/error",
        "/implicit",
    ] {
        client.get(path);
    }
    // A body that cannot be read, a client that goes away, and a head that no layer sees.
    let broken = client.post("/hello", "multipart/form-data; boundary=x", "no form");
    assert_eq!(broken.status, 500);
    let mut gone = server.raw();
    gone.send("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
    drop(gone);
    let mut refused = server.raw();
    refused.send("GET / HTTP/1.1\r\n\r\n");
    assert!(refused.closes_within(SOON));

    for (status, count) in [
        ("200", 4.0),
        ("404", 1.0),
        ("503", 1.0),
        ("555", 1.0),
        ("500", 1.0),
        ("-1", 2.0),
        ("400", 0.0),
    ] {
        eventually(SOON, || total(&page, status) == count);
    }
    let text = page.get("/").text();
    let count = sample(&text, "rr_http_request_duration_seconds_count{status=\"200\"}");
    assert_eq!(count, Some(4.0));
    let largest = sample(
        &text,
        "rr_http_request_duration_seconds_bucket{status=\"200\",le=\"60\"}",
    );
    assert_eq!(largest, Some(4.0));
    let buckets = text
        .matches("rr_http_request_duration_seconds_bucket{status=\"404\"")
        .count();
    assert_eq!(buckets, 15);
    assert_eq!(sample(&text, "rr_http_requests_queue"), Some(0.0));
    eventually(SOON, || {
        sample(&page.get("/").text(), "rr_http_uptime_seconds").is_some_and(|uptime| uptime >= 1.0)
    });
}

/// One worker, busy until it is killed.
fn busy(pool: &serde_json::Value) -> (Server, Client, impl Fn() + use<>) {
    let mut settings = json!({"http": {"middleware": ["http_metrics"], "pool": {"num_workers": 1}}});
    rr_tests::server::merge(&mut settings["http"]["pool"], pool.clone());
    let (server, page) = serve(settings);
    let worker = server.workers()[0];
    (server, page, move || process::kill_and_wait(worker))
}

#[test]
fn requests_that_wait_or_are_worked_on_are_in_the_queue() {
    let (server, page, free) = busy(&json!({}));
    let queue = || sample(&page.get("/").text(), "rr_http_requests_queue").unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| server.client().get("/sleep?ms=60000").status);
        eventually(SOON, || queue() == 1.0);
        let waiting = scope.spawn(|| server.client().get("/hello").status);
        eventually(SOON, || queue() == 2.0);
        free();
        assert_eq!((slow.join().unwrap(), waiting.join().unwrap()), (500, 200));
    });
    eventually(SOON, || queue() == 0.0);
}

#[test]
fn a_request_without_a_worker_is_counted() {
    let (server, page, free) = busy(&json!({"allocate_timeout": "300ms"}));
    let missed = || sample(&page.get("/").text(), "rr_http_no_free_workers_total");
    assert_eq!(missed(), None);
    std::thread::scope(|scope| {
        scope.spawn(|| server.client().get("/sleep?ms=60000").status);
        eventually(SOON, || {
            sample(&page.get("/").text(), "rr_http_workers_working") == Some(1.0)
        });
        assert_eq!(server.client().get("/hello").status, 500);
        eventually(SOON, || missed() == Some(1.0));
        free();
    });
}

#[test]
fn counts_go_on_when_the_plugin_is_killed() {
    let (server, page) = serve(json!({"http": {"middleware": ["http_metrics"]}}));
    let client = server.client();
    for round in 1..=3 {
        for _ in 0..5 {
            assert_eq!(client.get("/hello").status, 200);
        }
        let expected = f64::from(5 * round);
        eventually(SOON, || total(&page, "200") == expected);
        process::kill_and_wait(server.plugin("rr-http"));
        assert_eq!(total(&page, "200"), expected, "while it is down, or has just come back");
        server.wait_ready();
        assert_eq!(total(&page, "200"), expected);
    }
    let text = page.get("/").text();
    let count = sample(&text, "rr_http_request_duration_seconds_count{status=\"200\"}");
    assert_eq!(count, Some(15.0));
}

/// What a replaced process does to its last moment is counted, also what it began before.
#[test]
fn an_upgrade_under_load_loses_no_count() {
    let (server, page) = serve(json!({"http": {"middleware": ["http_metrics"], "pool": {"num_workers": 4}}}));
    let load = Load::start(server.address(), 3, "/echo?body=hi");
    let mut slow = Vec::new();
    for _ in 0..rounds(5) {
        load.goes_on();
        let address = server.address();
        slow.push(std::thread::spawn(move || {
            Client::tcp(address).get("/sleep?ms=300").status
        }));
        load.goes_on();
        upgrade(&server, "http");
    }
    let answers = load.stop_unharmed(&server).answers + slow.len();
    assert!(slow.into_iter().all(|slow| slow.join().unwrap() == 200));
    eventually(SOON, || process::named(server.pid(), "rr-http").len() == 1);
    assert_eq!(total(&page, "200"), answers as f64);
    let count = sample(
        &page.get("/").text(),
        "rr_http_request_duration_seconds_count{status=\"200\"}",
    );
    assert_eq!(count, Some(answers as f64));
}

#[test]
fn without_the_middleware_only_the_queue_is_there() {
    let (server, page) = serve(json!({}));
    assert_eq!(server.client().get("/hello").status, 200);
    let text = page.get("/").text();
    assert_eq!(sample(&text, "rr_http_requests_queue"), Some(0.0));
    assert!(!text.contains("rr_http_request_total"), "{text}");
}
