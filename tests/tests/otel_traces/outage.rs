//! Collectors that are down, silent or refuse cost no request, and the end of the server loses no span.

use super::*;
use std::net::TcpListener;
use std::time::Instant;

// OTEL-01
#[test]
fn a_collector_that_is_down_costs_no_request_and_no_start() {
    // Taken and closed again: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = traced(json!({"endpoint": address.to_string(), "insecure": true}), json!({}));
    for _ in 0..20 {
        assert_eq!(get(&server, "/hello", &[]).status, 200);
    }
    server.wait_log("spans cannot be delivered");
    let began = Instant::now();
    assert!(server.stop().success());
    assert!(began.elapsed() < SOON, "the stop does not wait for it");
    let log = server.log();
    assert_eq!(log.matches("spans cannot be delivered").count(), 1, "{log}");
    assert!(log.contains("not all spans were delivered"), "{log}");
}

// OTEL-01
#[test]
fn a_collector_that_never_answers_delays_no_request() {
    // The kernel accepts for it, and nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let otel = json!({"endpoint": silent.local_addr().unwrap().to_string(), "insecure": true});
    let env = json!({"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "300"});
    let server = traced(otel, json!({"supervisor": {"plugins": {"http": {"env": env}}}}));
    let mut client = server.client().connect();
    for _ in 0..200 {
        assert_eq!(client.get("/hello").status, 200);
    }
    server.wait_log("spans are dropped");
    server.wait_log("no answer within 300ms");
    assert!(server.stop().success());
}

// OTEL-01
#[test]
fn a_refused_batch_comes_again() {
    let collector = Collector::http();
    let server = traced(otlp(&collector), json!({}));
    collector.refuse(&[503]);
    get(&server, "/hello", &[]);
    assert_eq!(spans(&collector, 2).len(), 2);
    server.wait_log("spans are delivered again");
    collector.refuse(&[400]);
    get(&server, "/hello", &[]);
    eventually(SOON, || server.log().matches("spans cannot be delivered").count() == 2);
    get(&server, "/hello?last", &[]);
    let spans = spans(&collector, 4);
    assert!(spans.iter().any(|span| span.name == "/hello?last"), "{spans:?}");
}

// OTEL-01
#[test]
fn the_stop_loses_no_finished_span() {
    let collector = Collector::http();
    let hour = json!({"supervisor": {"plugins": {"http": {"env": {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}}}}});
    let server = traced(otlp(&collector), hour);
    let mut client = server.client().connect();
    for number in 0..700 {
        assert_eq!(client.get(&format!("/hello?{number}")).status, 200);
    }
    assert!(server.stop().success());
    let spans = spans(&collector, 1400);
    let requests = spans.iter().filter(|span| span.name != "http").count();
    assert_eq!((spans.len(), requests), (1400, 700));
    assert!(collector.posts().len() >= 3, "in batches of 512");
}
