//! The ways to send spans: gRPC, Zipkin, the streams, TLS, and the one that is no more.

use super::*;
use rr_tests::{Room, port::free_port, server::http_config};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

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
