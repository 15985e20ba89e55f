//! Traces end to end (OTEL-01, HTTP-31): from a client's headers through PHP to the log and to a collector.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::Request;
use rr_tests::collector::{Collector, Seen};
use rr_tests::wait::{SOON, eventually, holds_within};
use rr_tests::{Reply, Room, Server, room::free_port, server::http_config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_rustls::TlsAcceptor;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const WAIT: &str = "wait for a worker";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that traces; the batches leave quickly.
fn traced(otel: Value, more: Value) -> Server {
    let mut settings = json!({
        "http": {"middleware": ["otel"]},
        "otel": otel,
        "supervisor": {"plugins": {"http": {"env": {"OTEL_BSP_SCHEDULE_DELAY": "50"}}}},
    });
    rr_tests::server::merge(&mut settings, more);
    Server::http(settings)
}

/// The `otel` section for a collector of OTLP in the clear.
fn otlp(collector: &Collector) -> Value {
    json!({"endpoint": collector.address().to_string(), "insecure": true})
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.client().send(request.body(Bytes::new()).unwrap())
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// The headers that PHP saw.
fn seen_by_php(reply: &Reply) -> Value {
    let dump: Value = serde_json::from_slice(&reply.body).unwrap();
    dump["header"].clone()
}

/// The spans that came, once there are this many. A busy machine may let any request wait for its worker: those spans are
/// left out.
#[track_caller]
fn spans(collector: &Collector, count: usize) -> Vec<Seen> {
    let all = || {
        let mut all = collector.spans();
        all.retain(|span| span.name != WAIT);
        all
    };
    let came = holds_within(SOON, || all().len() >= count);
    assert!(came, "{count} spans: {:?}", all());
    all()
}

fn find<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name}: {spans:?}"))
}

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
fn grpc_takes_the_same_spans() {
    let collector = Collector::grpc();
    let otel = json!({
        "client": "grpc", "endpoint": collector.address().to_string(), "insecure": true, "compress": true,
        "headers": {"x-token": "secret"},
    });
    let server = traced(otel, json!({}));
    // Its first answer is no answer: the batch comes again.
    collector.refuse(&[503]);
    get(&server, "/hello", &[("traceparent", &parent("01"))]);
    let spans = spans(&collector, 2);
    assert_eq!((spans.len(), &*find(&spans, "/hello").parent), (2, PARENT));
    let post = &collector.posts()[0];
    assert_eq!(post.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    assert_eq!(post.headers["x-token"], "secret");
}

// OTEL-01
#[test]
fn zipkin_gets_its_json() {
    let collector = Collector::http();
    let endpoint = format!("http://{}/api/v2/spans", collector.address());
    let server = traced(json!({"exporter": "zipkin", "endpoint": endpoint}), json!({}));
    get(&server, "/hello", &[("traceparent", &parent("01"))]);
    eventually(SOON, || !collector.posts().is_empty());
    let post = &collector.posts()[0];
    assert_eq!(post.path, "/api/v2/spans");
    assert_eq!(post.headers["content-type"], "application/json");
    let spans: Vec<Value> = serde_json::from_slice(&post.body).unwrap();
    let request = spans.iter().find(|span| span["name"] == "/hello").unwrap();
    assert_eq!(
        (&request["traceId"], &request["parentId"]),
        (&json!(TRACE), &json!(PARENT))
    );
    assert_eq!(
        (&request["kind"], &request["localEndpoint"]["serviceName"]),
        (&json!("SERVER"), &json!("roadrunner"))
    );
    assert_eq!(request["tags"]["http.response.status_code"], "200");
}

// OTEL-01
#[test]
fn stdout_and_stderr_show_spans() {
    for exporter in ["stdout", "stderr"] {
        let server = traced(json!({"exporter": exporter}), json!({}));
        get(&server, "/hello", &[("traceparent", &parent("01"))]);
        server.wait_log("\t\"Name\": \"/hello\",");
        server.wait_log(&format!("\t\t\"SpanID\": \"{PARENT}\","));
        assert!(server.stop().success());
    }
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

// OTEL-01
#[test]
fn tls_is_the_default_and_certificates_are_checked() {
    for grpc in [false, true] {
        let room = Room::new();
        room.certificate();
        let chain = CertificateDer::pem_file_iter(room.file("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(room.file("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        config.alpn_protocols = vec![if grpc { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let collector = Collector::tls(grpc, TlsAcceptor::from(Arc::new(config)));
        let endpoint = format!("localhost:{}", collector.address().port());
        let otel = json!({"endpoint": endpoint, "client": if grpc { "grpc" } else { "http" }});
        let trust = json!({"OTEL_EXPORTER_OTLP_CERTIFICATE": room.file("cert.pem")});
        let server = traced(
            otel.clone(),
            json!({"supervisor": {"plugins": {"http": {"env": trust}}}}),
        );
        get(&server, "/hello", &[]);
        assert_eq!(spans(&collector, 2).len(), 2);
        assert!(server.stop().success());
        // The system's authorities know nothing of this certificate.
        let server = traced(otel, json!({}));
        get(&server, "/hello", &[]);
        server.wait_log("spans cannot be delivered");
        server.wait_log("UnknownIssuer");
        assert_eq!(spans(&collector, 2).len(), 2);
    }
}

// OTEL-01
#[test]
fn jaeger_is_an_error_with_its_line() {
    let room = Room::new();
    let port = free_port();
    let config = http_config(port, json!({"otel": {"exporter": "jaeger"}}));
    let server = Server::launch(room, port, &config.to_string(), &[]);
    assert!(!server.wait_exit(SOON).success());
    let told = holds_within(SOON, || {
        server
            .log()
            .contains("otel.exporter: jaeger exporter is deprecated, use OTLP instead")
    });
    assert!(told, "{}", server.log());
}
