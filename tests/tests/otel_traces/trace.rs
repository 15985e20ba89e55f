//! What is in the spans, in the headers that PHP gets and in the lines of the log.

use super::*;
use std::time::Duration;

// OTEL-01, HTTP-31
#[test]
fn one_trace_from_the_client_through_php_to_the_log() {
    let collector = Collector::http();
    let otel = json!({
        "endpoint": collector.address().to_string(), "insecure": true, "compress": true,
        "headers": {"x-token": "secret"}, "resource": {"service_name": "shop"},
    });
    let server = traced(otel, json!({}));
    let headers = [
        ("traceparent", &*parent("01")),
        ("tracestate", "a=b"),
        ("baggage", "user=1"),
    ];
    let php = seen_by_php(&get(&server, "/dump?x=1", &headers));

    let spans = spans(&collector, 2);
    let (request, worker) = (find(&spans, "/dump?x=1"), find(&spans, "http"));
    assert_eq!((&*request.trace, &*request.parent, request.kind), (TRACE, PARENT, 2));
    assert_eq!((&*worker.trace, &worker.parent, worker.kind), (TRACE, &request.id, 1));
    assert_eq!((&*request.state, request.error.as_ref()), ("a=b", None));
    assert!(worker.took <= request.took);
    let port = server.address().port().to_string();
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/dump"),
        ("url.scheme", "http"),
        ("server.port", &*port),
        ("network.peer.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
    ] {
        assert_eq!(request.attributes.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(request.resource["service.name"], "shop");
    assert_eq!(request.resource["webengine.name"], "RoadRunner");

    assert_eq!(php["Traceparent"], json!([format!("00-{TRACE}-{}-01", worker.id)]));
    assert_eq!(php["Uber-Trace-Id"], json!([format!("{TRACE}:{}:0:1", worker.id)]));
    assert_eq!(
        (&php["Tracestate"], &php["Baggage"]),
        (&json!(["a=b"]), &json!(["user=1"]))
    );

    server.wait_log("\"http log\"");
    let lines = server.log_json();
    let line = lines.iter().find(|line| line["msg"] == "http log").unwrap();
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&json!(TRACE), &json!(request.id))
    );

    let post = &collector.posts()[0];
    assert_eq!(post.path, "/v1/traces");
    assert_eq!(post.headers["content-type"], "application/x-protobuf");
    assert_eq!(post.headers["x-token"], "secret");
    assert_eq!(post.headers["content-encoding"], "gzip");
    assert!(server.stop().success());
}

// OTEL-01, HTTP-31
#[test]
fn a_new_trace_begins_where_nobody_sends_one() {
    let collector = Collector::http();
    let server = traced(otlp(&collector), json!({}));
    let first = seen_by_php(&get(&server, "/dump", &[("traceparent", "broken")]));
    let second = seen_by_php(&get(&server, "/dump", &[("uber-trace-id", "a1:b2:0:3")]));
    let spans = spans(&collector, 4);
    let mut requests = spans.iter().filter(|span| span.name == "/dump");
    let (one, two) = (requests.next().unwrap(), requests.next().unwrap());
    assert_eq!((&*one.parent, one.trace.len()), ("", 32));
    assert!(first["Traceparent"][0].as_str().unwrap().contains(&one.trace));
    assert_eq!(two.parent, "00000000000000b2");
    let jaeger = second["Uber-Trace-Id"][0].as_str().unwrap();
    assert!(
        jaeger.starts_with("000000000000000000000000000000a1:") && jaeger.ends_with(":0:3"),
        "{jaeger}"
    );
}

// OTEL-01
#[test]
fn failures_are_in_the_spans_and_their_lines_in_the_trace() {
    let collector = Collector::http();
    let server = traced(otlp(&collector), json!({}));
    assert_eq!(
        get(&server, "/error?text=boom", &[("traceparent", &parent("01"))]).status,
        500
    );
    let spans = spans(&collector, 2);
    let (request, worker) = (find(&spans, "/error?text=boom"), find(&spans, "http"));
    for span in [request, worker] {
        assert!(
            span.error
                .as_ref()
                .is_some_and(|error| error.contains("SoftJobError: boom")),
            "{span:?}"
        );
    }
    assert_eq!(request.attributes["http.response.status_code"], "500");
    for (message, id) in [
        ("soft worker error", &worker.id),
        ("execute", &request.id),
        ("http log", &request.id),
    ] {
        server.wait_log(&format!("\"{message}\""));
        let lines = server.log_json();
        let line = lines.iter().find(|line| line["msg"] == message).unwrap();
        assert_eq!(
            (&line["trace_id"], &line["span_id"]),
            (&json!(TRACE), &json!(id)),
            "{line}"
        );
    }
}

// OTEL-01
#[test]
fn the_wait_for_a_worker_is_a_span() {
    let collector = Collector::http();
    let server = traced(otlp(&collector), json!({"http": {"pool": {"num_workers": 1}}}));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| get(&server, "/sleep?ms=100", &[]));
        }
    });
    let waited = || collector.spans().iter().any(|span| span.name == WAIT);
    eventually(SOON, waited);
    spans(&collector, 4);
    let spans = collector.spans();
    let wait = find(&spans, WAIT);
    let request = spans.iter().find(|span| span.id == wait.parent).unwrap();
    assert!(
        wait.took >= Duration::from_millis(1) && wait.took <= request.took,
        "{spans:?}"
    );
    assert!(
        spans
            .iter()
            .any(|span| span.name == "http" && span.parent == request.id)
    );
}

// OTEL-01
#[test]
fn what_is_not_sampled_is_passed_on_and_not_sent() {
    let collector = Collector::http();
    let server = traced(otlp(&collector), json!({}));
    let php = seen_by_php(&get(&server, "/dump", &[("traceparent", &parent("00"))]));
    assert!(php["Traceparent"][0].as_str().unwrap().ends_with("-00"), "{php}");
    get(&server, "/hello", &[]);
    let sent = spans(&collector, 2);
    assert!(sent.iter().all(|span| span.trace != TRACE), "{sent:?}");
    assert!(server.log().contains(TRACE), "the log has it all the same");
    // OTEL_TRACES_SAMPLER decides where no parent does.
    let off = json!({"supervisor": {"plugins": {"http": {"env": {"OTEL_TRACES_SAMPLER": "parentbased_always_off"}}}}});
    let server = traced(otlp(&collector), off);
    get(&server, "/hello?never", &[]);
    get(&server, "/hello?yes", &[("traceparent", &parent("01"))]);
    let spans = spans(&collector, 4);
    assert!(spans.iter().all(|span| span.name != "/hello?never"), "{spans:?}");
}

// HTTP-31
#[test]
fn without_the_middleware_nothing_is_traced() {
    let collector = Collector::http();
    let server = Server::http(json!({"otel": otlp(&collector)}));
    let php = seen_by_php(&get(&server, "/dump", &[("traceparent", &parent("01"))]));
    assert_eq!(
        (&php["Traceparent"], &php["Uber-Trace-Id"]),
        (&json!([parent("01")]), &Value::Null)
    );
    assert!(server.stop().success());
    assert!(!server.log().contains("trace_id"), "{}", server.log());
    assert!(collector.posts().is_empty());
}
